"""The histograms of monitoring systems: buckets that are fixed beforehand, and no percentiles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bench.core.contenders import Call, WrongAnswerError, expect

__all__ = ["OpenTelemetry", "Prometheus"]

Array = np.ndarray[tuple[int], np.dtype[np.float64]]


class Prometheus:
    """prometheus_client's histogram with its default buckets."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Histogram

        self.histogram = Histogram("latency", "Seconds.", registry=CollectorRegistry())

    def record(self, values: Array) -> Call:
        """Record the next of the values."""
        return Call("histogram.observe(item)", {"histogram": self.histogram}, values.tolist())

    def fill(self, values: Array) -> None:
        """Record one by one: it has no other way."""
        for value in values.tolist():
            self.histogram.observe(value)

    def check(self, values: Array) -> None:
        """Every bucket counts the values up to its bound."""
        (metric,) = self.histogram.collect()
        for sample in metric.samples:
            if sample.name == "latency_bucket":
                bound = float(sample.labels["le"])
                counted = int(np.count_nonzero(values <= bound))
                expect("prometheus_client", f"bucket {bound}", sample.value, counted)
            elif sample.name == "latency_sum":
                close("prometheus_client", sample.value, values)


class OpenTelemetry:
    """The OpenTelemetry SDK's histogram, read by its reader in memory."""

    def __init__(self) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider(metric_readers=[self.reader])
        self.histogram = self.provider.get_meter("bench").create_histogram("latency", unit="s")

    def record(self, values: Array) -> Call:
        """Record the next of the values."""
        return Call("histogram.record(item)", {"histogram": self.histogram}, values.tolist())

    def fill(self, values: Array) -> None:
        """Record one by one: it has no other way."""
        for value in values.tolist():
            self.histogram.record(value)

    def check(self, values: Array) -> None:
        """Every bucket counts the values up to its bound."""
        data: Any = self.reader.get_metrics_data()
        (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
        below = np.searchsorted(np.sort(values), point.explicit_bounds, side="right").tolist()
        counts = np.diff([0, *below, len(values)]).tolist()
        expect("OpenTelemetry", "buckets", list(point.bucket_counts), counts)
        close("OpenTelemetry", point.sum, values)


def close(who: str, total: float, values: Array) -> None:
    """Raise unless a sum is right but for roundings."""
    if not math.isclose(total, math.fsum(values), rel_tol=1e-9):
        raise WrongAnswerError(f"{who}: the sum is {total}, and should be {math.fsum(values)}")
