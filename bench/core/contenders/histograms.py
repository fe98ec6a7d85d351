"""Recorders of latencies: ours, the original's lists, and the libraries that people use."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.core.contenders import COMPILED, ORIGINAL, PURE, Call, WrongAnswerError, expect, original

__all__ = ["METRICS", "POINTS", "QUANTILES", "RECORDERS", "Array", "Metrics", "Recorder", "ranked"]

Array = np.ndarray[tuple[int], np.dtype[np.float64]]
POINTS = (50.0, 90.0, 99.0, 99.9)


class Recorder:
    """What remembers latencies; most also give percentiles.

    Parameters
    ----------
    name
        The contender's.
    held
        The library's object, which is ``held`` in the code below.
    """

    record_code: str
    percentiles_code = ""
    """Empty where there are none."""
    error = 0.001
    """Relative error of a percentile that its documentation allows."""
    ranks = 0.0
    """Part of all ranks by which a percentile may be off."""

    def __init__(self, name: str, held: Any) -> None:
        self.name = name
        self.held = held
        self.names = {"held": held, "points": POINTS, "quantiles": [p / 100 for p in POINTS]}
        self.percentiles = Call(self.percentiles_code, self.names)

    def as_recorded(self, values: Array) -> Array:
        """Return the values in the unit that is recorded; the conversion is not timed."""
        return values

    def record(self, values: Array) -> Call:
        """Record the next of the values."""
        return Call(self.record_code, self.names, self.as_recorded(values).tolist())

    def fill(self, values: Array) -> None:
        """Record all of the values, one by one where there is no faster way."""
        call = self.record(values)
        record = call.function()
        for item in call.items or ():
            record(item)

    def count(self) -> int:
        """Return how many values have been recorded."""
        raise NotImplementedError

    def check(self, values: Array) -> None:
        """Raise unless exactly these values were recorded, within what is documented."""
        expect(self.name, "count", self.count(), len(values))
        found = list(self.percentiles.function()())
        ranked(self.name, found, self.as_recorded(values), self.error, self.ranks)


def ranked(
    who: str, found: Sequence[float], values: Array, error: float = 0.0, ranks: float = 0.0
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


class Histogram(Recorder):
    """Our `LatencyHistogram`, of one implementation: all but percentiles are exact."""

    record_code = "held.record(item)"
    percentiles_code = "held.percentiles(points)"

    def __init__(self, name: str, package: str) -> None:
        module = import_module(f"kaizen_nexus.{package}.latency_histogram")
        super().__init__(name, module.LatencyHistogram())

    def fill(self, values: Array) -> None:
        self.held.record_many(values)

    def count(self) -> int:
        return int(self.held.count)

    def check(self, values: Array) -> None:
        """Check the extremes and the sum besides."""
        super().check(values)
        expect(self.name, "range", (self.held.min, self.held.max), (values.min(), values.max()))
        expect(self.name, "sum", self.held.sum, math.fsum(values))


class Hdr(Recorder):
    """hdrhistogram over microseconds up to a day, with three significant digits: 0.1 %."""

    record_code = "held.record_value(item)"
    percentiles_code = "[held.get_value_at_percentile(p) for p in points]"

    def __init__(self, name: str) -> None:
        super().__init__(name, import_module("hdrh.histogram").HdrHistogram(1, 86_400_000_000, 3))

    def as_recorded(self, values: Array) -> Array:
        return np.rint(values * 1e6).astype(np.int64)

    def count(self) -> int:
        return int(self.held.get_total_count())


class Sketch(Recorder):
    """ddsketch with the accuracy of ours, 0.1 %."""

    record_code = "held.add(item)"
    percentiles_code = "[held.get_quantile_value(q) for q in quantiles]"

    def __init__(self, name: str) -> None:
        super().__init__(name, import_module("ddsketch").DDSketch(0.001))

    def count(self) -> int:
        return int(self.held.count)


class Digest(Recorder):
    """crick's t-digest, which documents no bound; a hundredth of the ranks is allowed."""

    record_code = "held.add(item)"
    percentiles_code = "held.quantile(quantiles)"
    error = 0.0
    ranks = 0.01

    def __init__(self, name: str) -> None:
        super().__init__(name, import_module("crick").TDigest())

    def fill(self, values: Array) -> None:
        self.held.update(values)

    def count(self) -> int:
        return round(float(self.held.size()))


class Prometheus(Recorder):
    """prometheus_client's histogram with its default buckets; it has no percentiles."""

    record_code = "held.observe(item)"

    def __init__(self, name: str) -> None:
        module = import_module("prometheus_client")
        registry = module.CollectorRegistry()
        super().__init__(name, module.Histogram("latency", "Seconds.", registry=registry))

    def check(self, values: Array) -> None:
        """Every bucket counts the values up to its bound."""
        (metric,) = self.held.collect()
        for sample in metric.samples:
            if sample.name == "latency_bucket":
                bound = float(sample.labels["le"])
                counted = int(np.count_nonzero(values <= bound))
                expect(self.name, f"bucket {bound}", sample.value, counted)


class Metrics(Recorder):
    """`PerformanceMetrics`: ours on the compiled core, or the original's."""

    record_code = "held.record_api_latency(item)"

    def __init__(self, name: str, metrics: Any, monitor: Any) -> None:
        super().__init__(name, metrics)
        names = {"metrics": metrics, "Monitor": monitor}
        self.summary = Call("metrics.get_summary()", names)
        self.monitor = Call("with Monitor(metrics, 'api'):\n    pass", names)

    def record(self, values: Array) -> Call:
        """Record the next of the values."""
        # The original keeps every value: it starts each measurement with none.
        before = self.held.reset if self.name == ORIGINAL else None
        return Call(self.record_code, self.names, values.tolist(), before)

    def fill(self, values: Array) -> None:
        if self.name == ORIGINAL:
            self.held.api_latencies.extend(values.tolist())
        else:
            self.held.histograms["api"].record_many(values)

    def check(self, values: Array) -> None:
        """Every statistic that both give is exact, but ours of the median of many values."""
        api = self.held.get_summary()["api"]
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
    monitor = import_module("kaizen_nexus._fallback.performance_monitor").PerformanceMonitor
    histogram = module.LatencyHistogram()
    metrics = SimpleNamespace(
        histograms={"api": histogram},
        record_api_latency=histogram.record,
        get_summary=lambda: {"api": histogram.summary()},
    )
    return Metrics(PURE, metrics, monitor)


def their_metrics() -> Metrics:
    """Return the original's metrics."""
    package = original()
    return Metrics(ORIGINAL, package.PerformanceMetrics(), package.PerformanceMonitor)


QUANTILES: dict[str, Callable[[], Recorder]] = {
    COMPILED: lambda: Histogram(COMPILED, "_core"),
    PURE: lambda: Histogram(PURE, "_fallback"),
    "hdrhistogram": lambda: Hdr("hdrhistogram"),
    "ddsketch": lambda: Sketch("ddsketch"),
    "crick": lambda: Digest("crick"),
}
RECORDERS: dict[str, Callable[[], Recorder]] = {
    **QUANTILES,
    "prometheus_client": lambda: Prometheus("prometheus_client"),
}
METRICS: dict[str, Callable[[], Metrics]] = {
    COMPILED: our_metrics,
    PURE: pure_metrics,
    ORIGINAL: their_metrics,
}
