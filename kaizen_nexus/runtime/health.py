"""What the app reports of itself: health, readiness and statistics."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypedDict

from kaizen_nexus._accel import IMPLEMENTATION
from kaizen_nexus.deployment.cache import get_deployment_cache

if TYPE_CHECKING:
    from kaizen_nexus.deployment.cache import CacheStats
    from kaizen_nexus.monitoring import WorkflowStats
    from kaizen_nexus.runtime.admission import LimitStats
    from kaizen_nexus.runtime.breaker import BreakerStats
    from kaizen_nexus.runtime.executor import ExecutorStats
    from kaizen_nexus.runtime.replays import ReplayStats
    from kaizen_nexus.runtime.service import Runtime

__all__ = ["Health", "RuntimeStats"]


class RuntimeStats(TypedDict):
    """All measurements of an app."""

    operations: dict[str, Any]
    workflows: WorkflowStats
    sessions: dict[str, Any]
    deployment_cache: CacheStats
    replays: ReplayStats
    executor: ExecutorStats
    limits: dict[str, LimitStats]
    quarantine: dict[str, list[BreakerStats]]


class Health:
    """Reports on a runtime.

    Parameters
    ----------
    runtime
        The runtime to report on.
    clock
        Monotonic seconds.
    """

    def __init__(self, runtime: Runtime, clock: Callable[[], float] = time.monotonic) -> None:
        self._runtime = runtime
        self._clock = clock
        self._since = clock()
        self.ready = True
        """Whether new requests are welcome; not from the start of a stop to the next start."""
        self.discovery: dict[str, Any] = {}
        """What automatic discovery found, and which files it could not load."""

    def check(self) -> dict[str, Any]:
        """Return a report; ``status`` is ``"healthy"`` while the app takes requests."""
        report: dict[str, Any] = {
            "status": "healthy" if self.ready else "stopped",
            "workflows": len(self._runtime.registry.names()),
            "active_sessions": self._runtime.sessions.get_session_metrics()["active_sessions"],
            "executions_in_progress": self._runtime.executor.pending,
            "implementation": IMPLEMENTATION,
            "uptime_seconds": self._clock() - self._since,
        }
        if self.discovery:
            report["discovery"] = self.discovery
        return report

    def stats(self) -> RuntimeStats:
        """Return all measurements; durations in seconds."""
        runtime = self._runtime
        return {
            "operations": runtime.metrics.get_summary(),
            "workflows": runtime.registry.meters.stats(),
            "sessions": runtime.sessions.get_session_metrics(),
            "deployment_cache": get_deployment_cache().stats(),
            "replays": runtime.replays.stats(),
            "executor": runtime.executor.stats(),
            "limits": runtime.limits.stats(),
            "quarantine": runtime.registry.breaker_stats(),
        }
