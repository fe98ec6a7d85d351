"""Operations of the latency histogram, for day-to-day use: ``pytest bench``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import pytest

from bench.core.contenders.histograms import METRICS, QUANTILES, RECORDERS, Metrics, Recorder
from bench.core.histograms import latencies

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from bench.core.contenders.histograms import Quantiles

VALUES = latencies(10_000)


def loaded(contender: Recorder) -> None:
    """Record all values, and check that they are there."""
    contender.fill(VALUES)
    contender.check(VALUES)


@pytest.mark.benchmark(group="record")
@pytest.mark.parametrize("name", RECORDERS)
def test_record(benchmark: BenchmarkFixture, make: Callable[[object], Recorder], name: str) -> None:
    """Record one value."""
    recorder = make(RECORDERS[name])
    loaded(recorder)
    call = recorder.record(VALUES)
    benchmark(call.function(), (call.items or VALUES)[0])


@pytest.mark.benchmark(group="metrics.record_api_latency")
@pytest.mark.parametrize("name", METRICS)
def test_record_api_latency(
    benchmark: BenchmarkFixture, make: Callable[[object], Metrics], name: str
) -> None:
    """Record one value as users do."""
    metrics = make(METRICS[name])
    loaded(metrics)
    benchmark(metrics.record(VALUES).function(), 0.0123)


@pytest.mark.benchmark(group="PerformanceMonitor")
@pytest.mark.parametrize("name", METRICS)
def test_monitor(benchmark: BenchmarkFixture, make: Callable[[object], Metrics], name: str) -> None:
    """Time an empty block."""
    benchmark(make(METRICS[name]).monitor.function())


@pytest.mark.benchmark(group="summary")
@pytest.mark.parametrize("name", METRICS)
def test_summary(benchmark: BenchmarkFixture, make: Callable[[object], Metrics], name: str) -> None:
    """Summarise what was recorded."""
    metrics = make(METRICS[name])
    loaded(metrics)
    assert benchmark(metrics.summary.function())["api"]["count"] == len(VALUES)


@pytest.mark.benchmark(group="four percentiles")
@pytest.mark.parametrize("name", QUANTILES)
def test_percentiles(
    benchmark: BenchmarkFixture, make: Callable[[object], Recorder], name: str
) -> None:
    """Read four percentiles."""
    recorder = cast("Quantiles", make(QUANTILES[name]))
    loaded(recorder)
    assert len(benchmark(recorder.percentiles.function())) == 4
