"""`PerformanceMetrics`: one latency histogram for each of the five operations.

Memory is constant however much is recorded. Labels, time windows and exporters belong elsewhere:
they read `PerformanceMetrics.histograms`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, overload

from kaizen_nexus._accel import LatencyHistogram, LatencyRecorders
from kaizen_nexus._common.dataclass_fields import DataclassFields
from kaizen_nexus._common.fork_locks import fork_lock
from kaizen_nexus._common.latency_values import OPERATIONS, RECORDERS
from kaizen_nexus._common.timed_blocks import unknown_operation
from kaizen_nexus.monitoring.samples import RecentSamples

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from typing_extensions import Self

__all__ = ["OPERATIONS", "PerformanceMetrics", "get_global_metrics", "reset_global_metrics"]


class _Samples:
    """An attribute with an operation's samples; assigning to it replaces all its records."""

    def __init__(self, operation: str, doc: str) -> None:
        self._operation = operation
        self.__doc__ = doc

    @overload
    def __get__(self, metrics: None, owner: type) -> Self: ...
    @overload
    def __get__(self, metrics: PerformanceMetrics, owner: type) -> RecentSamples: ...
    def __get__(self, metrics: PerformanceMetrics | None, owner: type) -> Self | RecentSamples:
        if metrics is None:
            return self
        return RecentSamples(metrics.histograms[self._operation])

    def __set__(self, metrics: PerformanceMetrics, values: Iterable[float]) -> None:
        histogram = metrics.histograms[self._operation]
        initial = list(values)  # may be a view of this very histogram
        histogram.reset()
        for seconds in initial:
            histogram.record(seconds)


class PerformanceMetrics(LatencyRecorders):
    """Latencies of the operations ``deployment``, ``api``, ``cli``, ``mcp``, ``session_sync``.

    Parameters
    ----------
    deployment_times, api_latencies, cli_latencies, mcp_latencies, session_sync_times
        Values, in seconds, to begin with.

    Attributes
    ----------
    histograms : Mapping[str, LatencyHistogram]
        The histogram of each operation.

    Notes
    -----
    Thread-safe. Up to 4,096 values of an operation every statistic is exact; beyond, all but
    percentiles and median are, and those are within 0.1 % of the true order statistic.

    ``record_deployment``, ``record_api_latency``, ``record_cli_latency``, ``record_mcp_latency``
    and ``record_session_sync`` record one latency each, in seconds, and raise `TypeError` for what
    is not a real number. The base class defines them: calling them through a second function would
    take twice as long.
    """

    __slots__ = ("__weakref__", "_failures", "_failures_lock")

    __dataclass_fields__ = DataclassFields(
        "deployment_times",
        "api_latencies",
        "cli_latencies",
        "mcp_latencies",
        "session_sync_times",
    )

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not vars(cls).keys().isdisjoint(RECORDERS.values()):
            cls._overrides = True

    def __init__(
        self,
        deployment_times: Iterable[float] = (),
        api_latencies: Iterable[float] = (),
        cli_latencies: Iterable[float] = (),
        mcp_latencies: Iterable[float] = (),
        session_sync_times: Iterable[float] = (),
    ) -> None:
        initial = (
            deployment_times,
            api_latencies,
            cli_latencies,
            mcp_latencies,
            session_sync_times,
        )
        self._failures = dict.fromkeys(OPERATIONS, 0)
        # Re-entrant: the garbage collector may run a finaliser that records a failure meanwhile.
        self._failures_lock = fork_lock()
        for operation, values in zip(OPERATIONS, initial, strict=True):
            for seconds in values:
                self.histograms[operation].record(seconds)

    deployment_times = _Samples("deployment", "The most recent deployment times, in seconds.")
    api_latencies = _Samples("api", "The most recent latencies of API requests, in seconds.")
    cli_latencies = _Samples("cli", "The most recent latencies of commands, in seconds.")
    mcp_latencies = _Samples("mcp", "The most recent latencies of MCP tool calls, in seconds.")
    session_sync_times = _Samples(
        "session_sync", "The most recent times of session synchronisations, in seconds."
    )

    def record(self, operation: str, seconds: float, *, failed: bool = False) -> None:
        """Record one latency, in seconds, of the named operation.

        Parameters
        ----------
        operation
            One of `OPERATIONS`.
        seconds
            How long it took. A value out of range is clamped and counted by the histogram.
        failed
            Whether to count it as a failure as well.

        Raises
        ------
        ValueError
            `operation` is not one of the five.
        TypeError
            `seconds` is not a real number.
        """
        try:
            recorder = RECORDERS[operation]
        except (KeyError, TypeError):
            raise unknown_operation(operation, OPERATIONS) from None
        getattr(self, recorder)(seconds)
        if failed:
            with self._failures_lock:
                self._failures[operation] += 1

    def get_summary(self) -> dict[str, dict[str, float]]:
        """Return the statistics of every operation, in seconds.

        Returns
        -------
        dict
            For each operation ``mean``, ``median``, ``min``, ``max``, ``count``, ``p50``,
            ``p90``, ``p95``, ``p99``, ``p999``, ``stddev`` (of the population) and ``failures``;
            zeros for one without records.
        """
        return {
            operation: {**histogram.summary(), "failures": self._failures[operation]}
            for operation, histogram in self.histograms.items()
        }

    def print_summary(self, prefix: str = "") -> None:
        """Print mean, median, minimum, maximum and count of every operation that has records.

        Parameters
        ----------
        prefix
            Put at the start of every line.
        """
        lines = ["=== Performance Summary ===", ""]
        for operation, summary in self.get_summary().items():
            if summary["count"]:
                lines += [
                    f"{operation.upper()}:",
                    f"  Mean:   {summary['mean'] * 1000:.1f}ms",
                    f"  Median: {summary['median'] * 1000:.1f}ms",
                    f"  Min:    {summary['min'] * 1000:.1f}ms",
                    f"  Max:    {summary['max'] * 1000:.1f}ms",
                    f"  Count:  {summary['count']}",
                    "",
                ]
        sys.stdout.write("".join(f"{prefix}{line}\n" for line in lines))

    def reset(self) -> None:
        """Remove all records."""
        for histogram in self.histograms.values():
            histogram.reset()
        with self._failures_lock:
            self._failures.update(dict.fromkeys(OPERATIONS, 0))

    def merge(self, other: PerformanceMetrics) -> None:
        """Record all that `other` has recorded; `other` is unchanged."""
        for operation, histogram in self.histograms.items():
            histogram.merge(other.histograms[operation])
        failures = dict(other._failures)
        with self._failures_lock:
            for operation, number in failures.items():
                self._failures[operation] += number

    def __eq__(self, other: object) -> bool:
        """Whether both have recorded the same: statistics, recent samples and failures."""
        if not isinstance(other, PerformanceMetrics):
            return NotImplemented
        return self._failures == other._failures and self.histograms == other.histograms

    __hash__ = None  # type: ignore[assignment]  # not hashable, since it changes

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Copy and pickle by way of the histograms' bytes."""
        dumps = [held.to_bytes() for held in self.histograms.values()]
        return _restore, (type(self), dumps, dict(self._failures))

    def __repr__(self) -> str:
        """Return the number of records of each operation."""
        counts = (f"{operation}={held.count}" for operation, held in self.histograms.items())
        return f"PerformanceMetrics({', '.join(counts)})"


PerformanceMetrics._own_recorders()


def _restore(
    cls: type[PerformanceMetrics], dumps: Iterable[bytes], failures: Mapping[str, int]
) -> PerformanceMetrics:
    """Undo `PerformanceMetrics.__reduce__`."""
    metrics = cls.__new__(cls)
    PerformanceMetrics.__init__(metrics)
    metrics._adopt(map(LatencyHistogram.from_bytes, dumps))
    metrics._failures.update(failures)
    return metrics


_GLOBAL: dict[str, PerformanceMetrics] = {}


def get_global_metrics() -> PerformanceMetrics:
    """Return the metrics of the process: always the same object."""
    metrics = _GLOBAL.get("metrics")
    # Threads that race here may each make one, but `setdefault` keeps a single one, atomically.
    return metrics if metrics is not None else _GLOBAL.setdefault("metrics", PerformanceMetrics())


def reset_global_metrics() -> None:
    """Remove all records of the process-wide metrics."""
    get_global_metrics().reset()
