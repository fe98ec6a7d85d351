"""What the tests of ``pytest bench`` share: the same contenders as the harness has."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

# Last, so that an installed package is measured rather than the checkout's.
sys.path.append(str(Path(__file__).resolve().parent.parent))

T = TypeVar("T")


@pytest.fixture
def make() -> Callable[[Callable[[], T]], T]:
    """Make a contender, or skip the test where its library is not installed."""

    def made(maker: Callable[[], T]) -> T:
        try:
            return maker()
        except ModuleNotFoundError as error:
            pytest.skip(f"{error.name} is not installed")

    return made
