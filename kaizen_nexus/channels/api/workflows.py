"""``/api/workflows``: what is deployed, and running it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from kaizen_nexus.channels.body import read_json_object, until_disconnected
from kaizen_nexus.channels.callers import caller_of
from kaizen_nexus.deployment.target import API_PREFIX
from kaizen_nexus.runtime.errors import WorkflowNotFoundError
from kaizen_nexus.runtime.invocation import Invocation
from kaizen_nexus.runtime.registry import Deployment
from kaizen_nexus.runtime.service import Runtime

__all__ = ["SESSION_HEADER", "WorkflowEndpoints", "json_response"]

CHANNEL = "api"
SESSION_HEADER = "X-Session-ID"


def json_response(
    content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return `content` as a JSON response."""
    return Response(
        msgspec.json.encode(content),
        status_code=status_code,
        headers=headers,
        media_type="application/json",
    )


class WorkflowEndpoints:
    """The endpoints that concern workflows.

    Parameters
    ----------
    runtime
        What runs them.
    max_body
        How many bytes a request body may have.
    """

    def __init__(self, runtime: Runtime, max_body: int) -> None:
        self._runtime = runtime
        self._max_body = max_body

    async def execute(self, request: Request) -> Response:
        """Run a workflow: ``POST /api/workflows/{name}/execute``."""
        return await self._execute(request, request.path_params["name"])

    async def execute_at_prefix(self, request: Request) -> Response:
        """Run a workflow that was deployed with a prefix of its own."""
        name = request.path_params["name"]
        deployment = self._runtime.registry.channels_of(name).get(CHANNEL)
        prefix = f"/{request.path_params['prefix']}"
        if prefix != API_PREFIX and (deployment is None or deployment.prefix != prefix):
            raise HTTPException(404)
        if request.method != "POST":
            raise HTTPException(405, headers={"Allow": "POST"})
        return await self._execute(request, name)

    async def _execute(self, request: Request, name: str) -> Response:
        deployment = self._runtime.registry.find(name, CHANNEL)
        body = await read_json_object(request, self._max_body)
        result = await self._runtime.execute(
            Invocation(
                name=name,
                channel=CHANNEL,
                inputs=_inputs_of(body, deployment),
                session_id=request.headers.get(SESSION_HEADER),
                caller=caller_of(request.scope),
                caller_gone=partial(until_disconnected, request.receive),
            )
        )
        headers = {SESSION_HEADER: result.session_id} if result.session_id else None
        return json_response(
            {
                "status": "success",
                "result": msgspec.Raw(result.body),
                "session_id": result.session_id,
                "duration_ms": result.duration_ns / 1e6,
            },
            headers=headers,
        )

    async def index(self, _: Request) -> Response:
        """List what is deployed: ``GET /api/workflows``."""
        registry = self._runtime.registry
        return json_response({"workflows": [_summary(registry, name) for name in registry.names()]})

    async def show(self, request: Request) -> Response:
        """Describe one workflow with its schemas: ``GET /api/workflows/{name}``."""
        name = request.path_params["name"]
        deployments = self._runtime.registry.channels_of(name)
        if not deployments:
            raise WorkflowNotFoundError(name)
        return json_response(_description(name, deployments))


def _inputs_of(body: dict[str, Any], deployment: Deployment) -> dict[str, Any]:
    """Return the inputs in `body`, which is them or has them under ``inputs``."""
    wrapped = body.get("inputs")
    if (
        len(body) == 1
        and isinstance(wrapped, dict)
        and "inputs" not in deployment.workflow.input_schema["properties"]
    ):
        return wrapped
    return body


def _summary(registry: Any, name: str) -> dict[str, Any]:
    description = _description(name, registry.channels_of(name))
    return {
        key: description[key] for key in ("name", "description", "version", "channels", "execute")
    }


def _description(name: str, deployments: Mapping[str, Deployment]) -> dict[str, Any]:
    api = deployments.get(CHANNEL)
    shown = api or max(deployments.values(), key=lambda deployment: deployment.version)
    return {
        "name": name,
        "description": shown.workflow.description,
        "version": shown.version,
        "channels": sorted(deployments),
        "execute": None if api is None else f"{api.prefix}/{name}/execute",
        "input_schema": shown.workflow.input_schema,
        "output_schema": shown.workflow.output_schema,
    }
