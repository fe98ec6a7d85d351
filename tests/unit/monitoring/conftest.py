from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from kaizen_nexus import _accel
from kaizen_nexus.monitoring import metrics as metrics_module


class FakeClock:
    """Nanoseconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1_000_000_000

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)


@dataclass
class Monitoring:
    """Metrics and monitors of one implementation, with a clock that the test turns."""

    module: ModuleType
    monitor_class: Any
    clock: FakeClock

    @property
    def metrics_class(self) -> Any:
        return self.module.PerformanceMetrics

    def metrics(self, **values: list[float]) -> Any:
        return self.metrics_class(**values)

    def monitor(self, metrics: Any, operation: str = "api") -> Any:
        return self.monitor_class(metrics, operation, clock=self.clock)


@pytest.fixture
def monitoring(core: Any, monkeypatch: pytest.MonkeyPatch) -> Monitoring:
    """The module of `PerformanceMetrics` anew, on the core that is asked for."""
    module = core.module("latency_histogram")
    for name in ("LatencyHistogram", "LatencyRecorders"):
        monkeypatch.setattr(_accel, name, getattr(module, name))
    name = f"kaizen_nexus.monitoring.metrics_{core.name}"
    spec = importlib.util.spec_from_file_location(name, metrics_module.__file__)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, loaded)  # where pickle looks for the class
    spec.loader.exec_module(loaded)
    return Monitoring(loaded, module.PerformanceMonitor, FakeClock())
