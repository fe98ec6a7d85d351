"""Latency histograms and what records into them: the pure-Python twin of the compiled module."""

from kaizen_nexus._common.sliding_histogram import SlidingWindow
from kaizen_nexus._fallback.bucket_histogram import LatencyHistogram
from kaizen_nexus._fallback.latency_recorders import LatencyRecorders
from kaizen_nexus._fallback.performance_monitor import PerformanceMonitor

__all__ = ["LatencyHistogram", "LatencyRecorders", "PerformanceMonitor", "SlidingLatencyHistogram"]


class SlidingLatencyHistogram(SlidingWindow):
    _histogram = LatencyHistogram
