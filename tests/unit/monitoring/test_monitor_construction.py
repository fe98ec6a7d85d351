"""How monitors come into being and go, on both implementations."""

from __future__ import annotations

import contextlib
import gc
import sys
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from kaizen_nexus._common.latency_values import RECORDERS


def test_all_forms_of_the_call_are_one(monitoring: Any) -> None:
    metrics, make, clock = monitoring.metrics(), monitoring.monitor_class, monitoring.clock
    operation = "".join(["a", "pi"])  # not the string that the compiler has interned
    for monitor in (
        make(metrics, "api"),
        make(metrics, operation),
        make(metrics, operation="api"),
        make(metrics=metrics, operation="api"),
        make(metrics, "api", clock=clock),
        make(metrics, "api", clock=None),
        make(clock=clock, operation="api", metrics=metrics),
        type.__call__(make, metrics, "api"),
    ):
        assert type(monitor) is make
        assert repr(monitor) == "PerformanceMonitor('api')"
        with monitor as entered:
            assert entered is monitor
    assert metrics.histograms["api"].count == 8


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        ((), {}),
        (("metrics",), {}),
        (("metrics", "api", None), {}),
        (("metrics", "api"), {"clocks": None}),
        (("metrics", "api"), {"operation": "api"}),
    ],
)
def test_other_arguments_are_refused(
    monitoring: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> None:
    given = [monitoring.metrics() if value == "metrics" else value for value in arguments]
    with pytest.raises(TypeError, match=r"argument"):
        monitoring.monitor_class(*given, **keywords)


def test_any_str_may_name_the_operation(monitoring: Any) -> None:
    class Name(str):
        __slots__ = ()

    metrics = monitoring.metrics()
    with monitoring.monitor_class(metrics, Name("mcp")):
        pass
    assert metrics.histograms["mcp"].count == 1


@pytest.mark.parametrize("failing", [False, True])
@pytest.mark.parametrize(("operation", "recorder"), RECORDERS.items())
def test_whatever_has_recording_methods_may_be_measured(
    monitoring: Any, operation: str, recorder: str, failing: bool
) -> None:
    recorded: list[float] = []
    collector = SimpleNamespace(**{recorder: recorded.append})
    with (
        contextlib.suppress(ZeroDivisionError),
        monitoring.monitor_class(collector, operation, clock=monitoring.clock),
    ):
        monitoring.clock.advance(2)
        if failing:
            raise ZeroDivisionError
    assert recorded == [2.0]


@pytest.mark.parametrize("failing", [False, True])
def test_a_subclass_of_metrics_records_in_its_own_way(monitoring: Any, failing: bool) -> None:
    class Doubled(monitoring.module.PerformanceMetrics):
        def record_api_latency(self, duration: float) -> None:
            super().record_api_latency(2 * duration)

    class Derived(Doubled):
        pass

    metrics = Derived()
    with (
        contextlib.suppress(ZeroDivisionError),
        monitoring.monitor_class(metrics, "api", clock=monitoring.clock),
    ):
        monitoring.clock.advance(2)
        if failing:
            raise ZeroDivisionError
    assert metrics.api_latencies == [4.0]
    assert metrics.get_summary()["api"]["failures"] == failing
    with monitoring.monitor_class(metrics, "cli", clock=monitoring.clock):
        monitoring.clock.advance(1)
    assert metrics.cli_latencies == [1.0]


def test_a_monitor_says_what_it_measures_and_since_when(monitoring: Any) -> None:
    metrics = monitoring.metrics()
    monitor = monitoring.monitor_class(metrics, "api", clock=monitoring.clock)
    assert (monitor.metrics, monitor.operation, monitor.start_time) == (metrics, "api", None)
    begun = monitoring.clock() / 1e9
    with monitor:
        monitoring.clock.advance(2)
    assert monitor.start_time == begun


def test_a_subclass_is_constructed_as_it_says(monitoring: Any) -> None:
    class ApiMonitor(monitoring.monitor_class):
        def __init__(self, metrics: Any) -> None:
            super().__init__(metrics, "api", clock=monitoring.clock)
            self.name = "api"

    metrics = monitoring.metrics()
    with ApiMonitor(metrics) as monitor:
        monitoring.clock.advance(2)
    assert (monitor.name, monitor.duration) == ("api", 2.0)
    assert type(monitor) is ApiMonitor
    assert metrics.api_latencies == [2.0]


def test_a_monitor_that_was_not_initialised_fails_cleanly(monitoring: Any) -> None:
    monitor = monitoring.monitor_class.__new__(monitoring.monitor_class)
    with pytest.raises(AttributeError), monitor:
        pass


def test_a_monitor_keeps_nothing_alive(monitoring: Any) -> None:
    metrics = monitoring.metrics()
    held = sys.getrefcount(metrics)
    for _ in range(100):
        with monitoring.monitor_class(metrics, "api"):
            pass
        with pytest.raises(TypeError, match=r"argument"):
            monitoring.monitor_class(metrics, "api", "surplus")
        with pytest.raises(ValueError, match=r"^unknown operation"):
            monitoring.monitor_class(metrics, "unknown")
    gc.collect()
    assert sys.getrefcount(metrics) == held


def test_a_monitor_in_a_cycle_is_collected(monitoring: Any) -> None:
    class Clock:
        def __init__(self) -> None:
            self.monitor: Any = None

        def __call__(self) -> int:
            return 0

    clock = Clock()
    clock.monitor = monitoring.monitor_class(monitoring.metrics(), "api", clock=clock)
    gone = weakref.ref(clock)
    del clock
    gc.collect()
    assert gone() is None


def test_metrics_in_a_cycle_are_collected(monitoring: Any) -> None:
    class Owner(monitoring.metrics_class):
        pass

    metrics = Owner()
    metrics.me = metrics
    metrics.monitor = monitoring.monitor_class(metrics, "api")
    gone = weakref.ref(metrics)
    del metrics
    gc.collect()
    assert gone() is None


def test_metrics_record_before_their_constructor_has_run(monitoring: Any) -> None:
    metrics = monitoring.metrics_class.__new__(monitoring.metrics_class)
    metrics.record_cli_latency(1.0)
    assert metrics.histograms["cli"].recent() == [1.0]


@pytest.mark.parametrize("value", ["1", None, True, 1j])
def test_recorders_refuse_what_is_no_number(monitoring: Any, value: Any) -> None:
    metrics = monitoring.metrics()
    for recorder in ("deployment", "api_latency", "cli_latency", "mcp_latency", "session_sync"):
        with pytest.raises(TypeError, match=r"^seconds must be a real number, not "):
            getattr(metrics, f"record_{recorder}")(value)
    assert metrics == monitoring.metrics()


def test_a_subclass_inherits_the_recorders(monitoring: Any) -> None:
    class Milliseconds(monitoring.metrics_class):
        def record_api_latency(self, milliseconds: float) -> None:
            super().record_api_latency(milliseconds / 1000)

    class Further(Milliseconds):
        pass

    metrics = Further()
    metrics.record_api_latency(250)
    metrics.record_mcp_latency(2)
    assert metrics.api_latencies == [0.25]
    assert metrics.mcp_latencies == [2.0]
    with pytest.raises(TypeError):
        monitoring.metrics_class.record_api_latency(object(), 1.0)


def test_the_histograms_cannot_be_exchanged(monitoring: Any) -> None:
    metrics = monitoring.metrics()
    with pytest.raises(TypeError):
        metrics.histograms["api"] = None
