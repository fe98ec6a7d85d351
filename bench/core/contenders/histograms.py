"""Recorders of latencies: ours, the original's lists, and the libraries that people use."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from bench.core.contenders import (
    COMPILED,
    ORIGINAL,
    PURE,
    Call,
    WrongAnswerError,
    expect,
    original,
)
from bench.core.contenders.instruments import OpenTelemetry, Prometheus

__all__ = [
    "METRICS",
    "POINTS",
    "QUANTILES",
    "RECORDERS",
    "Array",
    "Metrics",
    "Quantiles",
    "Recorder",
    "ranked",
]

Array = np.ndarray[tuple[int], np.dtype[np.float64]]
POINTS = (50.0, 90.0, 99.0, 99.9)


class Recorder(Protocol):
    """What remembers latencies."""

    def record(self, values: Array) -> Call:
        """Record the next of the values."""

    def fill(self, values: Array) -> None:
        """Record all of the values, in the fastest way there is."""

    def check(self, values: Array) -> None:
        """Raise unless exactly these values were recorded, within what is documented."""


class Quantiles(Recorder, Protocol):
    """What also gives percentiles."""

    @property
    def percentiles(self) -> Call:
        """Return the four `POINTS`."""


def ranked(
    who: str,
    found: Sequence[float],
    values: Array,
    error: float = 0.0,
    ranks: float = 0.0,
) -> None:
    """Raise unless percentiles are within a relative error of the order statistics.

    Parameters
    ----------
    who
        The contender.
    found
        What it gives for `POINTS`.
    values
        What was recorded.
    error
        Relative error of a value.
    ranks
        Part of all ranks by which it may be off; the neighbouring rank is always allowed,
        because libraries round ranks in different ways.
    """
    ordered = np.sort(values)
    last = len(ordered) - 1
    slack = 1 + math.ceil(ranks * len(ordered))
    for point, estimate in zip(POINTS, found, strict=True):
        rank = math.ceil(point / 100 * len(ordered)) - 1
        low = float(ordered[max(rank - slack, 0)]) * (1 - error)
        high = float(ordered[min(rank + slack, last)]) * (1 + error)
        # A sum of roundings in the last place is no wrong answer.
        if not low * (1 - 1e-12) <= estimate <= high * (1 + 1e-12):
            raise WrongAnswerError(
                f"{who}: percentile {point} is {estimate!r}, not within {low!r} to {high!r}"
            )


class Histogram:
    """Our `LatencyHistogram`, of one implementation."""

    def __init__(self, name: str, package: str) -> None:
        self.name = name
        self.histogram = import_module(
            f"kaizen_nexus.{package}.latency_histogram"
        ).LatencyHistogram()
        self.names = {"histogram": self.histogram, "points": POINTS}
        self.percentiles = Call("histogram.percentiles(points)", self.names)

    def record(self, values: Array) -> Call:
        """Record the next of the values."""
        return Call("histogram.record(item)", self.names, values.tolist())

    def fill(self, values: Array) -> None:
        """Record the array."""
        self.histogram.record_many(values)

    def check(self, values: Array) -> None:
        """Percentiles are within 0.1 %; the count and the extremes are exact."""
        held = self.histogram
        expect(self.name, "count", held.count, len(values))
        expect(self.name, "range", (held.min, held.max), (values.min(), values.max()))
        expect(self.name, "sum", held.sum, math.fsum(values))
        ranked(self.name, held.percentiles(POINTS), values, error=0.001)


class Hdr:
    """hdrhistogram over microseconds up to a day, with three significant digits: 0.1 %."""

    def __init__(self) -> None:
        from hdrh.histogram import HdrHistogram

        self.histogram = HdrHistogram(1, 86_400_000_000, 3)
        self.names = {"histogram": self.histogram, "points": POINTS}
        self.percentiles = Call(
            "[histogram.get_value_at_percentile(p) for p in points]", self.names
        )

    def record(self, values: Array) -> Call:
        """Record the next of the values; making them whole microseconds is not timed."""
        return Call("histogram.record_value(item)", self.names, microseconds(values).tolist())

    def fill(self, values: Array) -> None:
        """Record one by one: it has no other way for values that differ."""
        for value in microseconds(values).tolist():
            self.histogram.record_value(value)

    def check(self, values: Array) -> None:
        """Percentiles are within 0.1 % of the microseconds that were recorded."""
        expect("hdrhistogram", "count", self.histogram.get_total_count(), len(values))
        found = [self.histogram.get_value_at_percentile(point) for point in POINTS]
        ranked("hdrhistogram", found, microseconds(values), error=0.001)


class Sketch:
    """ddsketch with the accuracy of ours, 0.1 %."""

    def __init__(self) -> None:
        from ddsketch import DDSketch

        self.sketch = DDSketch(0.001)
        self.names = {"sketch": self.sketch, "quantiles": [point / 100 for point in POINTS]}
        self.percentiles = Call("[sketch.get_quantile_value(q) for q in quantiles]", self.names)

    def record(self, values: Array) -> Call:
        """Record the next of the values."""
        return Call("sketch.add(item)", self.names, values.tolist())

    def fill(self, values: Array) -> None:
        """Record one by one: it has no other way."""
        for value in values.tolist():
            self.sketch.add(value)

    def check(self, values: Array) -> None:
        """Percentiles are within 0.1 %."""
        expect("ddsketch", "count", self.sketch.count, len(values))
        ranked("ddsketch", self.percentiles.function()(), values, error=0.001)


class Digest:
    """crick's t-digest, which documents no bound; a hundredth of the ranks is allowed."""

    def __init__(self) -> None:
        from crick import TDigest

        self.digest = TDigest()
        self.names = {"digest": self.digest, "quantiles": [point / 100 for point in POINTS]}
        self.percentiles = Call("digest.quantile(quantiles)", self.names)

    def record(self, values: Array) -> Call:
        """Record the next of the values."""
        return Call("digest.add(item)", self.names, values.tolist())

    def fill(self, values: Array) -> None:
        """Record the array."""
        self.digest.update(values)

    def check(self, values: Array) -> None:
        """Percentiles are within a hundredth of the ranks."""
        expect("crick", "count", round(self.digest.size()), len(values))
        ranked("crick", self.percentiles.function()().tolist(), values, ranks=0.01)


class Metrics:
    """`PerformanceMetrics`: ours on the compiled core, or the original's."""

    def __init__(self, name: str, metrics: Any, monitor: Any) -> None:
        self.name = name
        self.metrics = metrics
        self.names = {"metrics": metrics, "Monitor": monitor}
        self.summary = Call("metrics.get_summary()", self.names)
        self.monitor = Call("with Monitor(metrics, 'api'):\n    pass", self.names)

    def record(self, values: Array) -> Call:
        """Record the next of the values."""
        # The original keeps every value: it starts each measurement with none.
        before = self.metrics.reset if self.name == ORIGINAL else None
        return Call("metrics.record_api_latency(item)", self.names, values.tolist(), before)

    def record_bound(self, values: Array) -> Call:
        """Record the next of the values, by the method looked up before."""
        call = self.record(values)
        names = {"record": self.metrics.record_api_latency}
        return replace(call, code="record(item)", names=names)

    def fill(self, values: Array) -> None:
        """Record the array, where there is a way, or put it where it would lie."""
        if self.name == ORIGINAL:
            self.metrics.api_latencies.extend(values.tolist())
        else:
            self.metrics.histograms["api"].record_many(values)

    def check(self, values: Array) -> None:
        """Every statistic that both give is exact, but ours of the median of many values."""
        api = self.metrics.get_summary()["api"]
        expect(self.name, "count", api["count"], len(values))
        expect(self.name, "range", (api["min"], api["max"]), (values.min(), values.max()))
        for statistic, true in (("mean", np.mean(values)), ("median", np.median(values))):
            if not math.isclose(api[statistic], float(true), rel_tol=0.001):
                raise WrongAnswerError(f"{self.name}: {statistic} {api[statistic]}, not {true}")


def our_metrics() -> Metrics:
    """Return our metrics, if they run on the compiled core."""
    module = import_module("kaizen_nexus._core.latency_histogram")
    from kaizen_nexus import PerformanceMetrics

    metrics = PerformanceMetrics()
    if not isinstance(metrics.histograms["api"], module.LatencyHistogram):
        raise ModuleNotFoundError("not in use", name="the compiled core, by KAIZEN_NEXUS_IMPL,")
    return Metrics(COMPILED, metrics, module.PerformanceMonitor)


def pure_metrics() -> Metrics:
    """Return what a monitor and a caller need of metrics, on the pure-Python histogram."""
    module = import_module("kaizen_nexus._fallback.latency_histogram")
    from kaizen_nexus._fallback.performance_monitor import PerformanceMonitor

    histogram = module.LatencyHistogram()
    metrics = SimpleNamespace(
        histograms={"api": histogram},
        record_api_latency=histogram.record,
        get_summary=lambda: {"api": histogram.summary()},
    )
    return Metrics(PURE, metrics, PerformanceMonitor)


def their_metrics() -> Metrics:
    """Return the original's metrics."""
    package = original()
    return Metrics(ORIGINAL, package.PerformanceMetrics(), package.PerformanceMonitor)


def microseconds(values: Array) -> Array:
    """Return seconds as whole microseconds."""
    return np.rint(values * 1e6).astype(np.int64)


RECORDERS: dict[str, Callable[[], Recorder]] = {
    COMPILED: lambda: Histogram(COMPILED, "_core"),
    PURE: lambda: Histogram(PURE, "_fallback"),
    "crick": Digest,
    "prometheus_client": Prometheus,
    "hdrhistogram": Hdr,
    "ddsketch": Sketch,
    "OpenTelemetry": OpenTelemetry,
}
QUANTILES: dict[str, Callable[[], Quantiles]] = {
    COMPILED: lambda: Histogram(COMPILED, "_core"),
    PURE: lambda: Histogram(PURE, "_fallback"),
    "hdrhistogram": Hdr,
    "ddsketch": Sketch,
    "crick": Digest,
}
METRICS: dict[str, Callable[[], Metrics]] = {
    COMPILED: our_metrics,
    PURE: pure_metrics,
    ORIGINAL: their_metrics,
}
