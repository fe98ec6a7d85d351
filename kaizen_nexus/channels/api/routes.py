"""The HTTP channel's table of routes."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from kaizen_nexus.channels.api.cache import CacheEndpoints
from kaizen_nexus.channels.api.execute import Execution, PrefixedExecution
from kaizen_nexus.channels.api.service import ServiceEndpoints
from kaizen_nexus.channels.api.sessions import SessionEndpoints
from kaizen_nexus.channels.api.stream import Streaming
from kaizen_nexus.channels.api.workflows import WorkflowEndpoints
from kaizen_nexus.deployment.target import API_PREFIX
from kaizen_nexus.http.streams import Streams
from kaizen_nexus.runtime.health import Health
from kaizen_nexus.runtime.service import Runtime

__all__ = ["api_routes", "prefixed_routes"]


def api_routes(  # noqa: PLR0917  # what each of them answers with
    runtime: Runtime,
    health: Health,
    execution: Execution,
    streaming: Streaming,
    streams: Streams,
    sessions: SessionEndpoints,
    *,
    monitoring: bool,
    limited: bool,
) -> list[BaseRoute]:
    """Return the routes of the HTTP channel."""
    workflows = WorkflowEndpoints(runtime)
    service = ServiceEndpoints(runtime, health, streams, monitoring=monitoring, limited=limited)
    cache = CacheEndpoints(runtime)
    return [
        Route(f"{API_PREFIX}/{{name}}/execute", execution, methods=["POST"]),
        Route(f"{API_PREFIX}/{{name}}/stream", streaming, methods=["POST"]),
        Route(API_PREFIX, workflows.index),
        Route(f"{API_PREFIX}/{{name}}", workflows.show),
        Route("/api/sessions", sessions.create, methods=["POST"]),
        Route("/api/sessions/{id}", sessions.one, methods=["GET", "PATCH", "DELETE"]),
        Route("/api/sessions/{id}/rotate", sessions.rotate, methods=["POST"]),
        Route("/api/cache", cache.index),
        Route("/api/cache/why", cache.why),
        Route("/health/live", service.live),
        Route("/health/ready", service.ready),
        Route("/metrics.json", service.metrics),
        Route("/openapi.json", service.openapi),
        Route("/docs", service.docs),
    ]


def prefixed_routes(
    runtime: Runtime, execution: Execution, streaming: Streaming
) -> list[BaseRoute]:
    """Return the routes for workflows deployed under prefixes of their own; they go last."""
    return [
        Route(
            f"/{{prefix:path}}/{{name}}/{verb}",
            PrefixedExecution(runtime, answering),
            methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        )
        for verb, answering in (("execute", execution), ("stream", streaming))
    ]
