"""Latency metrics of the five operations, and the monitor that times them."""

from kaizen_nexus._accel import PerformanceMonitor
from kaizen_nexus.monitoring.metrics import (
    OPERATIONS,
    PerformanceMetrics,
    get_global_metrics,
    reset_global_metrics,
)
from kaizen_nexus.monitoring.samples import RecentSamples

__all__ = [
    "OPERATIONS",
    "PerformanceMetrics",
    "PerformanceMonitor",
    "RecentSamples",
    "get_global_metrics",
    "reset_global_metrics",
]
