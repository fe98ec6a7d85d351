"""Latencies of the five operations and of each workflow, and the monitor that times blocks."""

from kaizen_nexus._accel import PerformanceMonitor
from kaizen_nexus.monitoring.metrics import (
    OPERATIONS,
    PerformanceMetrics,
    get_global_metrics,
    reset_global_metrics,
)
from kaizen_nexus.monitoring.samples import RecentSamples
from kaizen_nexus.monitoring.workflows import WorkflowMeter, WorkflowMeters, WorkflowStats

__all__ = [
    "OPERATIONS",
    "PerformanceMetrics",
    "PerformanceMonitor",
    "RecentSamples",
    "WorkflowMeter",
    "WorkflowMeters",
    "WorkflowStats",
    "get_global_metrics",
    "reset_global_metrics",
]
