from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from kaizen_nexus import _accel
from kaizen_nexus.monitoring import PerformanceMetrics


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

    monitor_class: Any
    clock: FakeClock

    def metrics(self, **values: list[float]) -> PerformanceMetrics:
        return PerformanceMetrics(**values)

    def monitor(self, metrics: PerformanceMetrics, operation: str = "api") -> Any:
        return self.monitor_class(metrics, operation, clock=self.clock)


@pytest.fixture
def monitoring(core: Any, monkeypatch: pytest.MonkeyPatch) -> Monitoring:
    module = core.module("latency_histogram")
    monkeypatch.setattr(_accel, "LatencyHistogram", module.LatencyHistogram)
    return Monitoring(module.PerformanceMonitor, FakeClock())
