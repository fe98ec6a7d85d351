"""Endpoints about the service itself: health, metrics, OpenAPI and the documentation page."""

from __future__ import annotations

from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from kaizen_nexus.access.policy import MONITOR
from kaizen_nexus.channels.api.execute import CHANNEL
from kaizen_nexus.channels.api.openapi import openapi_document
from kaizen_nexus.http.credentials import caller_of
from kaizen_nexus.http.responses import json_response
from kaizen_nexus.http.streams import Streams
from kaizen_nexus.runtime.health import Health
from kaizen_nexus.runtime.service import Runtime

__all__ = ["ServiceEndpoints"]


class ServiceEndpoints:
    """The endpoints that concern no workflow and no session.

    Parameters
    ----------
    runtime
        What is described.
    health
        What reports on it.
    streams
        The open streams, which are counted.
    monitoring
        Whether measurements are published.
    limited
        Whether callers may ask so often and no more.
    """

    def __init__(
        self, runtime: Runtime, health: Health, streams: Streams, *, monitoring: bool, limited: bool
    ) -> None:
        self._runtime = runtime
        self._monitoring = monitoring
        self._limited = limited
        self._health = health
        self._streams = streams

    async def live(self, _: Request) -> Response:
        """Answer as long as the process can: ``GET /health/live``."""
        return json_response({"status": "alive"})

    async def ready(self, _: Request) -> Response:
        """Answer 200 while new requests are welcome, else 503: ``GET /health/ready``."""
        report = self._health.check()
        return json_response(report, status_code=200 if self._health.ready else 503)

    async def metrics(self, request: Request) -> Response:
        """Return all measurements: ``GET /metrics.json``."""
        if not self._monitoring:
            raise HTTPException(404)
        self._runtime.access.require(caller_of(request.scope), MONITOR)
        return json_response({**self._health.stats(), "streams": self._streams.stats()})

    async def openapi(self, request: Request) -> Response:
        """Return the OpenAPI 3.1 description of what is deployed now: ``GET /openapi.json``."""
        root = request.scope.get("root_path", "")
        caller = caller_of(request.scope)
        shown = {
            name: deployment
            for name, deployment in self._runtime.registry.on_channel(CHANNEL).items()
            if self._runtime.access.allows(caller, name)
        }
        document = openapi_document(
            shown, root, secured=self._runtime.access.enforced, limited=self._limited
        )
        if not self._monitoring:
            del document["paths"]["/metrics.json"]
        return json_response(document)

    async def docs(self, _: Request) -> Response:
        """Return the documentation page: ``GET /docs``."""
        page = files("kaizen_nexus.channels.api").joinpath("docs.html").read_bytes()
        return Response(page, media_type="text/html")
