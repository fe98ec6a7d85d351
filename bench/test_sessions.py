"""Operations of the session table, for day-to-day use: ``pytest bench``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from bench.core.contenders.sessions import CACHES, TABLES, Cache, Sessions
from bench.core.ids import random_ids
from bench.core.sessions import check_state

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

SIZE = 10_000
EVERY = {**TABLES, **CACHES}


@pytest.fixture(params=EVERY)
def filled(request: pytest.FixtureRequest, make: Callable[[object], Cache]) -> tuple[Cache, str]:
    """Fill a contender; return it and the id of one of its many sessions."""
    ids = random_ids(SIZE)
    contender = make(EVERY[request.param])
    contender.fill(ids)
    check_state(request.param, contender, ids)
    return contender, ids[SIZE // 2]


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest, make: Callable[[object], Sessions]) -> Sessions:
    """Fill a table with many sessions."""
    contender = make(TABLES[request.param])
    contender.fill(random_ids(SIZE))
    assert contender.active() == SIZE
    return contender


@pytest.mark.benchmark(group="get")
def test_get(benchmark: BenchmarkFixture, filled: tuple[Cache, str]) -> None:
    """Read a state."""
    contender, session_id = filled
    assert benchmark(contender.get.function(), session_id)["topic"] == "benchmarks"


@pytest.mark.benchmark(group="update")
def test_update(benchmark: BenchmarkFixture, filled: tuple[Cache, str]) -> None:
    """Change a state."""
    contender, session_id = filled
    benchmark(contender.update.function(), session_id)
    assert contender.get.function()(session_id)["turn"] == 2


@pytest.mark.benchmark(group="create")
def test_create(benchmark: BenchmarkFixture, table: Sessions) -> None:
    """Create sessions, starting from an empty table."""
    assert table.create.before is not None
    table.create.before()
    # A fixed number, because a table is bounded. The plugin types nothing but its own call.
    benchmark.pedantic(table.create.function(), rounds=100, iterations=100)  # type: ignore[no-untyped-call]
    assert table.active() >= 10_000


@pytest.mark.benchmark(group="sweep, none expired")
def test_sweep(benchmark: BenchmarkFixture, table: Sessions) -> None:
    """Sweep live sessions."""
    assert benchmark(table.sweep.function()) == 0


@pytest.mark.benchmark(group="session metrics")
def test_metrics(benchmark: BenchmarkFixture, table: Sessions) -> None:
    """Count the sessions."""
    benchmark(table.metrics.function())
