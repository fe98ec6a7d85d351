"""`PerformanceMetrics`, on both implementations of the histogram."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import kaizen_nexus
from kaizen_nexus import _accel
from kaizen_nexus.monitoring import (
    OPERATIONS,
    PerformanceMetrics,
    PerformanceMonitor,
    get_global_metrics,
    reset_global_metrics,
)

RECORDERS = {
    "deployment": ("record_deployment", "deployment_times"),
    "api": ("record_api_latency", "api_latencies"),
    "cli": ("record_cli_latency", "cli_latencies"),
    "mcp": ("record_mcp_latency", "mcp_latencies"),
    "session_sync": ("record_session_sync", "session_sync_times"),
}
STATISTICS = [
    "mean", "median", "min", "max", "count", "p50", "p90", "p95", "p99", "p999", "stddev",
    "failures",
]  # fmt: skip
GUIDE = Path(__file__).parents[3] / "docs" / "performance-guide.md"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_recorder_records_its_own_operation(monitoring: Any, operation: str) -> None:
    recorder, view = RECORDERS[operation]
    metrics = monitoring.metrics()
    assert getattr(metrics, recorder)(0.25) is None
    metrics.record(operation, 0.5)
    summary = metrics.get_summary()
    assert list(summary) == list(OPERATIONS)
    for name, figures in summary.items():
        assert list(figures) == STATISTICS
        assert figures["count"] == (2 if name == operation else 0)
        assert figures["mean"] == (0.375 if name == operation else 0)
    assert getattr(metrics, view) == [0.25, 0.5]
    assert metrics.histograms[operation].recent() == [0.25, 0.5]


def test_the_summary_is_that_of_the_statistics_module(monitoring: Any) -> None:
    values = [0.1 * 1.001**power for power in range(4096)]
    figures = monitoring.metrics(api_latencies=values).get_summary()["api"]
    assert figures["mean"] == statistics.mean(values)
    assert figures["median"] == statistics.median(values)
    assert figures["p99"] == sorted(values)[4056 - 1]
    assert figures["stddev"] == pytest.approx(statistics.pstdev(values), rel=1e-15)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_latency_may_be_given_by_name(monitoring: Any, operation: str) -> None:
    metrics = monitoring.metrics()
    record = getattr(metrics, RECORDERS[operation][0])
    record(duration=0.5)
    record(1)
    assert metrics.histograms[operation].recent() == [0.5, 1.0]
    for arguments, keywords in ([], {}), ([1, 2], {}), ([], {"seconds": 1}), ([1], {"duration": 1}):
        with pytest.raises(TypeError, match=r"argument"):
            record(*arguments, **keywords)
    with pytest.raises(TypeError, match="must be a real number"):
        record(duration="1")
    assert metrics.histograms[operation].count == 2


def test_nothing_recorded_is_all_zeros(monitoring: Any) -> None:
    summary = monitoring.metrics().get_summary()
    assert all(figure == 0 for figures in summary.values() for figure in figures.values())


def test_failures_are_counted_apart(monitoring: Any) -> None:
    metrics = monitoring.metrics()
    metrics.record("mcp", 1.0, failed=True)
    metrics.record("mcp", 3.0)
    assert metrics.get_summary()["mcp"]["failures"] == 1
    assert metrics.get_summary()["mcp"]["count"] == 2
    assert metrics.get_summary()["api"]["failures"] == 0


@pytest.mark.parametrize("operation", ["http", "", "API", None, ["api"]])
def test_an_unknown_operation_is_refused(monitoring: Any, operation: Any) -> None:
    metrics = monitoring.metrics()
    with pytest.raises(ValueError, match=r"^unknown operation .*: use 'deployment', 'api', ") as e:
        metrics.record(operation, 1.0)
    assert all(repr(name) in str(e.value) for name in OPERATIONS)
    assert metrics == monitoring.metrics()


def test_a_value_that_is_not_a_number_is_refused_and_not_counted(monitoring: Any) -> None:
    metrics = monitoring.metrics()
    with pytest.raises(TypeError, match=r"^seconds must be a real number, not str$"):
        metrics.record("api", "1", failed=True)
    assert metrics == monitoring.metrics()


def guide_output() -> str:
    """Return the summary that the guide shows, without the comment signs."""
    lines = GUIDE.read_text(encoding="utf-8").split("# Output:\n")[1].split("```")[0].splitlines()
    return "".join(f"{line.removeprefix('#').removeprefix(' ')}\n" for line in lines)


def test_the_guides_summary_is_printed_exactly(
    monitoring: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = monitoring.metrics()
    for seconds in (1.4321, 1.4873, 1.4873, 1.4873, 1.5425):
        metrics.record_deployment(seconds)
    for seconds in (0.2712, *[0.2891] * 60, *[0.28467] * 38, 0.3053):
        metrics.record_api_latency(seconds)
    metrics.print_summary()
    assert capsys.readouterr().out == guide_output() + "\n"


def test_every_line_of_the_summary_has_the_prefix(
    monitoring: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    monitoring.metrics(session_sync_times=[0.1]).print_summary("X ")
    assert capsys.readouterr().out.splitlines() == [
        "X === Performance Summary ===",
        "X ",
        "X SESSION_SYNC:",
        "X   Mean:   100.0ms",
        "X   Median: 100.0ms",
        "X   Min:    100.0ms",
        "X   Max:    100.0ms",
        "X   Count:  1",
        "X ",
    ]


def test_an_empty_summary_is_its_title(monitoring: Any, capsys: pytest.CaptureFixture[str]) -> None:
    monitoring.metrics().print_summary()
    assert capsys.readouterr().out == "=== Performance Summary ===\n\n"


def test_the_recent_samples_read_like_a_list(monitoring: Any) -> None:
    values = [float(number) for number in range(10)]
    view = monitoring.metrics(cli_latencies=values).cli_latencies
    assert isinstance(view, Sequence)
    assert (len(view), view[-1], view[0], view[3], view[-10]) == (10, 9.0, 0.0, 3.0, 0.0)
    assert [view[index] for index in range(10)] == values == list(view)
    assert view[2:8:2] == [2.0, 4.0, 6.0]
    assert view[::-1] == list(reversed(view)) == values[::-1]
    assert 4.0 in view
    assert 4.5 not in view
    assert (view.index(4.0), view.count(4.0)) == (4, 1)
    assert repr(view) == repr(values)
    assert view == values
    assert view != values[:-1]
    assert view != tuple(values)
    assert statistics.mean(view) == 4.5
    for index in (10, -11):
        with pytest.raises(IndexError, match=r"^sample index out of range$"):
            view[index]


def test_the_recent_samples_are_live_bounded_and_cannot_be_changed(monitoring: Any) -> None:
    metrics = monitoring.metrics()
    view = metrics.api_latencies
    assert not view
    for number in range(5000):
        metrics.record_api_latency(float(number))
    assert (len(view), view[0], view[-1]) == (4096, 904.0, 4999.0)
    assert metrics.get_summary()["api"]["count"] == 5000
    assert view == metrics.api_latencies
    with pytest.raises(TypeError):
        view[0] = 1.0
    with pytest.raises(TypeError):
        del view[0]
    metrics.reset()
    assert view == []


def test_what_is_put_into_the_recent_samples_is_recorded(monitoring: Any) -> None:
    metrics = monitoring.metrics()
    view = metrics.api_latencies
    view.append(0.5)
    view.extend([0.25, 0.75])
    view.extend(view)
    assert view == [0.5, 0.25, 0.75] * 2
    assert metrics.get_summary()["api"]["count"] == 6
    with pytest.raises(TypeError):
        view.append("0.5")
    view.clear()
    assert metrics.get_summary()["api"]["count"] == 0


def test_assigning_values_begins_an_operation_anew(monitoring: Any) -> None:
    metrics = monitoring.metrics(api_latencies=[1.0], cli_latencies=[2.0])
    view = metrics.api_latencies
    metrics.api_latencies = [0.25, 0.75]
    assert view == metrics.api_latencies == [0.25, 0.75]
    assert metrics.get_summary()["api"]["mean"] == 0.5
    metrics.api_latencies = metrics.api_latencies
    assert view == [0.25, 0.75]
    assert metrics.cli_latencies == [2.0]


def test_metrics_pass_for_a_dataclass(monitoring: Any) -> None:
    metrics = monitoring.metrics(api_latencies=[0.5])
    assert dataclasses.asdict(metrics) == {
        "deployment_times": [],
        "api_latencies": [0.5],
        "cli_latencies": [],
        "mcp_latencies": [],
        "session_sync_times": [],
    }
    assert type(dataclasses.asdict(metrics)["api_latencies"]) is list
    changed = dataclasses.replace(metrics, api_latencies=[0.25])
    assert (changed.api_latencies, metrics.api_latencies) == ([0.25], [0.5])
    copied = metrics.api_latencies.copy()
    copied.append(1.0)
    assert metrics.api_latencies == [0.5]


def test_the_constructor_takes_values_to_begin_with(monitoring: Any) -> None:
    metrics = monitoring.metrics_class([1.0], iter([2.0, 3.0]), session_sync_times=(4.0,))
    assert metrics.deployment_times == [1.0]
    assert metrics.api_latencies == [2.0, 3.0]
    assert metrics.session_sync_times == [4.0]
    assert repr(metrics) == "PerformanceMetrics(deployment=1, api=2, cli=0, mcp=0, session_sync=1)"


def test_equality_is_of_what_was_recorded(monitoring: Any) -> None:
    metrics = monitoring.metrics(api_latencies=[1.0, 2.0])
    assert metrics == monitoring.metrics(api_latencies=[1.0, 2.0])
    assert metrics != monitoring.metrics(cli_latencies=[1.0, 2.0])
    assert metrics != "metrics"
    failing = monitoring.metrics(api_latencies=[1.0])
    failing.record("api", 2.0, failed=True)
    assert metrics != failing
    with pytest.raises(TypeError, match="unhashable type"):
        hash(metrics)


def test_reset_forgets_and_keeps_recording(monitoring: Any) -> None:
    metrics = monitoring.metrics(api_latencies=[1.0])
    record = metrics.record_api_latency
    metrics.record("api", 1.0, failed=True)
    metrics.reset()
    assert metrics == monitoring.metrics()
    record(2.0)
    assert metrics.api_latencies == [2.0]


def test_merge_adds_everything(monitoring: Any) -> None:
    metrics = monitoring.metrics(api_latencies=[1.0], mcp_latencies=[5.0])
    other = monitoring.metrics(api_latencies=[2.0])
    other.record("cli", 3.0, failed=True)
    metrics.merge(other)
    metrics.merge(other)
    assert metrics.api_latencies == [1.0, 2.0, 2.0]
    assert metrics.get_summary()["cli"]["failures"] == 2
    assert other.api_latencies == [2.0]
    metrics.merge(metrics)
    assert metrics.get_summary()["cli"]["failures"] == 4
    assert metrics.get_summary()["mcp"]["count"] == 2


def test_copies_are_independent(monitoring: Any) -> None:
    metrics = monitoring.metrics(api_latencies=[1.0])
    metrics.record("api", 2.0, failed=True)
    for duplicate in (
        copy.copy(metrics),
        copy.deepcopy(metrics),
        pickle.loads(pickle.dumps(metrics)),  # noqa: S301 - our own bytes
    ):
        assert duplicate == metrics
        duplicate.record_api_latency(3.0)
        assert duplicate.api_latencies == [1.0, 2.0, 3.0]
    assert metrics.api_latencies == [1.0, 2.0]


def test_a_subclass_may_override_a_recorder(monitoring: Any) -> None:
    class Milliseconds(monitoring.metrics_class):
        def record_api_latency(self, milliseconds: float) -> None:
            super().record_api_latency(milliseconds / 1000)

    metrics = Milliseconds()
    metrics.record_api_latency(250)
    assert metrics.api_latencies == [0.25]


def test_threads_lose_nothing(monitoring: Any) -> None:
    metrics = monitoring.metrics()

    def record(_: int) -> None:
        for _ in range(1000):
            metrics.record_api_latency(0.001)
            metrics.record("mcp", 0.002, failed=True)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(8)))
    summary = metrics.get_summary()
    assert summary["api"]["count"] == summary["mcp"]["count"] == 8000
    assert summary["mcp"]["failures"] == 8000


def test_the_global_metrics_are_one_object() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = {id(metrics) for metrics in pool.map(lambda _: get_global_metrics(), range(64))}
    metrics = get_global_metrics()
    assert found == {id(metrics)}
    metrics.record_api_latency(1.0)
    reset_global_metrics()
    assert get_global_metrics() is metrics
    assert metrics == PerformanceMetrics()


def test_metrics_and_monitor_are_of_the_chosen_implementation() -> None:
    metrics = PerformanceMetrics()
    assert type(metrics.histograms["api"]) is _accel.LatencyHistogram
    assert isinstance(metrics, _accel.LatencyRecorders)
    assert PerformanceMonitor is _accel.PerformanceMonitor


@pytest.mark.parametrize("implementation", ["c", "py"])
def test_numpy_is_imported_when_first_needed(implementation: str) -> None:
    script = (
        "import sys\n"
        "from kaizen_nexus.monitoring import PerformanceMetrics, PerformanceMonitor\n"
        "PerformanceMetrics().get_summary()\n"
        "assert not {'numpy', 'starlette', 'msgspec', 'mcp', 'click'} & set(sys.modules)\n"
        "with PerformanceMonitor(metrics := PerformanceMetrics(), 'api'):\n"
        "    pass\n"
        "assert metrics.get_summary()['api']['count'] == 1\n"
        f"assert ('numpy' in sys.modules) == ({implementation!r} == 'c')\n"
    )
    subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        cwd=Path(kaizen_nexus.__file__).parents[1],
        env={"KAIZEN_NEXUS_IMPL": implementation},
    )
