"""Metrics and monitor."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import statistics
from types import ModuleType, SimpleNamespace
from typing import Any

from observations import outcome

OPERATIONS = ("deployment", "api", "cli", "mcp", "session_sync")
LISTS = (
    "deployment_times",
    "api_latencies",
    "cli_latencies",
    "mcp_latencies",
    "session_sync_times",
)
RECORDERS = (
    "record_deployment",
    "record_api_latency",
    "record_cli_latency",
    "record_mcp_latency",
    "record_session_sync",
)
STATISTICS = ("mean", "median", "min", "max", "count")


def _filled(nexus: ModuleType) -> Any:
    metrics = nexus.PerformanceMetrics()
    for number, recorder in enumerate(RECORDERS, 1):
        for seconds in (0.25, 0.5, 0.125):
            getattr(metrics, recorder)(number * seconds)
    return metrics


def printed(metrics: Any, *arguments: Any, **options: Any) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        metrics.print_summary(*arguments, **options)
    return text.getvalue()


def each_recorder_fills_its_list(nexus: ModuleType) -> Any:
    metrics = _filled(nexus)
    return [
        [list(getattr(metrics, name)), getattr(metrics, name)[-1], len(getattr(metrics, name))]
        for name in LISTS
    ]


def the_lists_read_like_lists(nexus: ModuleType) -> Any:
    metrics = _filled(nexus)
    values = metrics.api_latencies
    return [
        values == [0.5, 1.0, 0.25],
        [values[0], values[-1], values[1:], values[::-1]],
        [sum(values), max(values), sorted(values), statistics.mean(values)],
        [0.5 in values, values.index(1.0), values.count(2.0), list(reversed(values))],
        bool(nexus.PerformanceMetrics().api_latencies),
        repr(values),
        [values.copy(), type(copy.copy(values)).__name__],
    ]


def the_lists_can_be_added_to_and_replaced(nexus: ModuleType) -> Any:
    metrics = nexus.PerformanceMetrics(api_latencies=[0.5])
    metrics.api_latencies.append(0.25)
    metrics.api_latencies.extend([0.75, 1.0])
    before = list(metrics.api_latencies), metrics.get_summary()["api"]["mean"]
    metrics.api_latencies.clear()
    cleared = metrics.get_summary()["api"]["count"]
    metrics.api_latencies = [2.0]
    return [*before, cleared, list(metrics.api_latencies), metrics.get_summary()["api"]["max"]]


def metrics_by_position(nexus: ModuleType) -> Any:
    metrics = nexus.PerformanceMetrics([0.5], [0.25], [0.125], [1.0], [2.0])
    return [list(getattr(metrics, name)) for name in LISTS]


def the_summary(nexus: ModuleType) -> Any:
    summaries = [nexus.PerformanceMetrics().get_summary(), _filled(nexus).get_summary()]
    return [
        [[name, [summary[name][key] for key in STATISTICS]] for name in summary]
        for summary in summaries
    ]


def a_summary_is_a_new_one_each_time(nexus: ModuleType) -> Any:
    metrics = _filled(nexus)
    summary = metrics.get_summary()
    summary["api"]["mean"] = -1
    del summary["cli"]
    return [metrics.get_summary()["api"]["mean"], list(metrics.get_summary())]


def the_printed_summary(nexus: ModuleType) -> Any:
    one = nexus.PerformanceMetrics(deployment_times=[1.4873, 1.4321, 1.5425])
    return [
        printed(nexus.PerformanceMetrics()),
        printed(one),
        printed(one, "> "),
        printed(_filled(nexus), prefix="  "),
    ]


def forgetting(nexus: ModuleType) -> Any:
    metrics = _filled(nexus)
    values = metrics.api_latencies
    metrics.reset()
    metrics.record_api_latency(0.5)
    return [list(values), [len(getattr(metrics, name)) for name in LISTS]]


def equality_and_copies(nexus: ModuleType) -> Any:
    metrics, twin = _filled(nexus), _filled(nexus)
    equal = metrics == twin
    copied = copy.deepcopy(metrics)
    copied.record_api_latency(1.0)
    return [equal, copied == metrics, len(metrics.api_latencies), dataclasses.asdict(metrics)]


def each_operation_is_monitored(nexus: ModuleType) -> Any:
    metrics = nexus.PerformanceMetrics()
    seen = []
    for operation in OPERATIONS:
        monitor = nexus.PerformanceMonitor(metrics, operation)
        with monitor as entered:
            seen.append(entered is monitor)
    return [seen, [[name, len(getattr(metrics, name))] for name in LISTS]]


def a_block_that_raises(nexus: ModuleType) -> Any:
    metrics = nexus.PerformanceMetrics()

    def block() -> None:
        with nexus.PerformanceMonitor(metrics=metrics, operation="api"):
            raise KeyError("lost")

    return [outcome(block), len(metrics.api_latencies), metrics.api_latencies[0] >= 0]


def a_monitor_used_twice(nexus: ModuleType) -> Any:
    metrics = nexus.PerformanceMetrics()
    monitor = nexus.PerformanceMonitor(metrics, "mcp")
    for _ in range(3):
        with monitor:
            pass
    return [len(metrics.mcp_latencies), all(0 <= value < 5 for value in metrics.mcp_latencies)]


def the_global_metrics(nexus: ModuleType) -> Any:
    metrics = nexus.get_global_metrics()
    nexus.reset_global_metrics()
    metrics.record_cli_latency(0.5)
    seen = [
        metrics is nexus.get_global_metrics(),
        type(metrics) is nexus.PerformanceMetrics,
        list(nexus.get_global_metrics().cli_latencies),
    ]
    nexus.reset_global_metrics()
    return [*seen, len(metrics.cli_latencies), nexus.get_global_metrics() is metrics]


def recording_by_name(nexus: ModuleType) -> Any:
    """`record_api_latency(duration=0.5)`, by name"""
    return outcome(nexus.PerformanceMetrics().record_api_latency, duration=0.5)


def metrics_of_ones_own(nexus: ModuleType) -> Any:
    """A `PerformanceMonitor` of metrics that are no `PerformanceMetrics`"""
    collected: list[float] = []
    metrics = SimpleNamespace(record_api_latency=collected.append)
    made, monitor = outcome(nexus.PerformanceMonitor, metrics, "api")
    if made == "returned":
        with monitor:
            pass
    return [made, len(collected)]


def recorders_of_ones_own(nexus: ModuleType) -> Any:
    """A `PerformanceMonitor` of metrics whose class overrides a `record_` method"""
    collected: list[float] = []

    class Collecting(nexus.PerformanceMetrics):  # type: ignore[misc, name-defined]
        def record_api_latency(self, duration: float) -> None:
            collected.append(duration)

    with nexus.PerformanceMonitor(Collecting(), "api"):
        pass
    return len(collected)


def attributes_of_a_monitor(nexus: ModuleType) -> Any:
    """`metrics`, `operation` and `start_time` of a monitor"""
    monitor = nexus.PerformanceMonitor(nexus.PerformanceMetrics(), "api")
    return [hasattr(monitor, name) for name in ("metrics", "operation", "start_time")]
