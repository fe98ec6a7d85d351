"""What the app says of itself: health, readiness and its numbers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kaizen_nexus._accel import IMPLEMENTATION
from kaizen_nexus.deployment.cache import get_deployment_cache
from kaizen_nexus.runtime.service import Runtime

__all__ = ["Health"]


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

    def numbers(self) -> dict[str, Any]:
        """Return all measurements as plain data; durations in seconds."""
        executor = self._runtime.executor
        return {
            "operations": self._runtime.metrics.get_summary(),
            "workflows": self._runtime.registry.meters.summary(),
            "sessions": self._runtime.sessions.get_session_metrics(),
            "deployment_cache": get_deployment_cache().stats(),
            "replays": self._runtime.replays.figures(),
            "executor": {
                "pending": executor.pending,
                "waiting": executor.waiting,
                "max_running": executor.max_running,
                "max_pending": executor.max_pending,
                "max_threads": executor.max_threads,
                "refused": executor.refused,
                "timed_out": executor.timed_out,
                "given_up": executor.given_up,
                "abandoned_threads": executor.abandoned_threads,
            },
            "limits": self._runtime.limits.numbers(),
            "quarantine": self._runtime.registry.breakers(),
        }
