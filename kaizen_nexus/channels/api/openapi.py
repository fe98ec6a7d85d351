"""The OpenAPI 3.1 description of an app, made from what is deployed at the moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kaizen_nexus.agents.streams import StreamOutputs
from kaizen_nexus.channels.api.execute import SESSION_HEADER
from kaizen_nexus.channels.api.openapi_service import (
    JSON,
    PROBLEM,
    failures,
    responses,
    service_paths,
    shared_schemas,
)
from kaizen_nexus.channels.api.stream import EVENT_STREAM
from kaizen_nexus.http.idempotency import KEY_HEADER, KEY_PATTERN
from kaizen_nexus.runtime.deployed import Deployment

__all__ = ["openapi_document"]

_FAILURES = (400, 404, 413, 422, 500, 503, 504)
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key or a token."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def openapi_document(
    deployments: Mapping[str, Deployment],
    root_path: str = "",
    *,
    secured: bool = False,
    limited: bool = False,
) -> dict[str, Any]:
    """Return the description of what is deployed on the HTTP channel.

    Parameters
    ----------
    deployments
        What is to be described, by name.
    root_path
        Where the app is mounted, if it is part of another.
    secured
        Whether callers are asked who they are.
    limited
        Whether they may ask so often and no more.
    """
    from kaizen_nexus import __version__

    schemas = shared_schemas()
    paths: dict[str, Any] = {}
    for name, deployment in deployments.items():
        schemas[f"{name}.inputs"] = _component(name, deployment.workflow.input_schema, schemas)
        schemas[f"{name}.result"] = _component(name, deployment.workflow.output_schema, schemas)
        outputs = deployment.workflow.plan.outputs
        if isinstance(outputs, StreamOutputs):
            schemas[f"{name}.chunk"] = _component(name, outputs.item_schema, schemas)
        paths[f"{deployment.prefix}/{name}/execute"] = {"post": _execute(name, deployment)}
        paths[f"{deployment.prefix}/{name}/stream"] = {"post": _stream(name, deployment)}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "kaizen-nexus", "version": __version__},
        "paths": {**paths, **service_paths()},
        "components": {"schemas": schemas},
    }
    _put_ahead(document["paths"], secured=secured, limited=limited)
    if secured:
        document["components"]["securitySchemes"] = _SECURITY
        document["security"] = [{name: []} for name in _SECURITY]
    if root_path:
        document["servers"] = [{"url": root_path}]
    return document


def _put_ahead(paths: dict[str, Any], *, secured: bool, limited: bool) -> None:
    """Say of every operation what may answer ahead of it; of health checks, that nothing does."""
    statuses = ((400, 401, 403, 503) if secured else ()) + ((429,) if limited else ())
    for path, operations in paths.items():
        for operation in operations.values():
            if not path.startswith("/health/"):
                operation["responses"].update(failures(*statuses))
            elif secured:
                operation["security"] = []


def _component(name: str, schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """Return `schema` with its definitions moved to `schemas`, each under the workflow's name."""
    for definition, content in schema.get("$defs", {}).items():
        schemas[f"{name}.{definition}"] = _rebase(name, content)
    return _rebase(name, {key: value for key, value in schema.items() if key != "$defs"})


def _rebase(name: str, node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: value.replace("#/$defs/", f"#/components/schemas/{name}.")
            if key == "$ref" and isinstance(value, str)
            else _rebase(name, value)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_rebase(name, item) for item in node]
    return node


def _execute(name: str, deployment: Deployment) -> dict[str, Any]:
    answers = responses(_envelope(name), *_FAILURES)
    return _run(name, deployment, "execute", f"Run {name}", answers)


def _envelope(name: str, **members: Any) -> dict[str, Any]:
    """Return the schema of what says that a run has succeeded."""
    properties = {
        "status": {"const": "success"},
        "result": {"$ref": f"#/components/schemas/{name}.result"},
        "session_id": {"type": ["string", "null"]},
        "duration_ms": {"type": "number"},
        **members,
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _stream(name: str, deployment: Deployment) -> dict[str, Any]:
    summary = _envelope(name, chunks={"type": "integer", "minimum": 0})
    summary["required"].remove("result")  # which is not repeated
    kinds = {"result": summary, "error": PROBLEM}
    if deployment.workflow.is_streaming:
        kinds["chunk"] = {"$ref": f"#/components/schemas/{name}.chunk"}
    text = "One event of the stream; the last is a `result`, or the problem details of an `error`."
    schema = {"description": text, "oneOf": [_event(*kind) for kind in kinds.items()]}
    answers = responses(schema, *_FAILURES, media_type=EVENT_STREAM)
    return _run(name, deployment, "stream", f"Run {name} and send what it yields", answers)


def _event(kind: str, content: Any) -> dict[str, Any]:
    """Return the schema of a server-sent event, whose data is JSON of the schema `content`."""
    data = {"type": "string", "contentMediaType": JSON, "contentSchema": content}
    properties = {"id": {"type": "string"}, "event": {"const": kind}, "data": data}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _run(
    name: str, deployment: Deployment, verb: str, summary: str, answers: dict[str, Any]
) -> dict[str, Any]:
    inputs = {"$ref": f"#/components/schemas/{name}.inputs"}
    session = {
        "name": SESSION_HEADER,
        "in": "header",
        "schema": {"type": "string"},
        "description": "An existing session's id, or `new`.",
    }
    key = {
        "name": KEY_HEADER,
        "in": "header",
        "schema": {"type": "string", "pattern": KEY_PATTERN},
        "description": "The same for each attempt at one request; a retry is answered as the "
        "first attempt was.",
    }
    return {
        "operationId": f"{verb}_{name}",
        "summary": summary,
        "description": deployment.workflow.description,
        "tags": ["workflows"],
        "parameters": [session, key],
        "requestBody": {
            "required": bool(deployment.workflow.input_schema.get("required")),
            "content": {JSON: {"schema": inputs}},
        },
        "responses": answers,
    }
