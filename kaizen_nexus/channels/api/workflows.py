"""``/api/workflows``: what is deployed."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from kaizen_nexus.channels.api.execute import CHANNEL
from kaizen_nexus.http.credentials import caller_of
from kaizen_nexus.http.responses import json_response
from kaizen_nexus.runtime.deployed import Channels
from kaizen_nexus.runtime.service import Runtime

__all__ = ["WorkflowEndpoints"]


class WorkflowEndpoints:
    """The endpoints that concern workflows.

    Parameters
    ----------
    runtime
        What runs them.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def index(self, request: Request) -> Response:
        """List what is deployed, and the caller may run: ``GET /api/workflows``."""
        registry, access = self._runtime.registry, self._runtime.access
        caller = caller_of(request.scope)
        shown = [
            _summary(name, channels)
            for name, channels in registry.deployed().items()
            if access.allows(caller, name)
        ]
        return json_response({"workflows": shown})

    async def show(self, request: Request) -> Response:
        """Describe one workflow with its schemas: ``GET /api/workflows/{name}``."""
        name = request.path_params["name"]
        self._runtime.access.require(caller_of(request.scope), name)
        registry = self._runtime.registry
        history = registry.history_of(name)
        return json_response(
            {
                **_description(name, history.current.channels),
                "since": history.current.since.isoformat(),
                "kept": [state.version for state in history.kept],
                "in_flight": registry.meters.in_flight(name),
            }
        )


def _summary(name: str, channels: Channels) -> dict[str, Any]:
    description = _description(name, channels)
    return {
        key: description[key]
        for key in (
            "name",
            "description",
            "version",
            "circuit",
            "channels",
            "execute",
            "streaming",
            "stream",
        )
    }


def _description(name: str, channels: Channels) -> dict[str, Any]:
    api = channels.get(CHANNEL)
    shown = api or max(channels.values(), key=lambda deployment: deployment.version)
    return {
        "name": name,
        "description": shown.workflow.description,
        "version": shown.version,
        "circuit": shown.breaker.state,
        "channels": sorted(channels),
        "execute": None if api is None else f"{api.prefix}/{name}/execute",
        "streaming": shown.workflow.is_streaming,
        "stream": None if api is None else f"{api.prefix}/{name}/stream",
        "input_schema": shown.workflow.input_schema,
        "output_schema": shown.workflow.output_schema,
    }
