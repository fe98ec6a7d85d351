"""The cache key of a configuration, for day-to-day use: ``pytest bench``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from bench.core.contenders.keys import CONFIGURATION, KEYS, Keys, check

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture


@pytest.mark.benchmark(group="cache key")
@pytest.mark.parametrize("name", KEYS)
def test_key(benchmark: BenchmarkFixture, make: Callable[[object], Keys], name: str) -> None:
    """Make the key of a configuration of about a kilobyte."""
    contender = make(KEYS[name])
    check(name, contender)
    assert benchmark(contender.key(CONFIGURATION).function())
