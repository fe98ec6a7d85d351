"""The OpenAPI 3.1 description of an app, made from what is deployed at the moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kaizen_nexus._common.session_arguments import MAX_TTL_SECONDS
from kaizen_nexus.agents.streams import StreamOutputs
from kaizen_nexus.channels.api.execute import SESSION_HEADER
from kaizen_nexus.channels.api.sessions import MIN_TTL_SECONDS
from kaizen_nexus.channels.api.stream import EVENT_STREAM
from kaizen_nexus.channels.conditions import TAGS_PATTERN
from kaizen_nexus.channels.idempotency import KEY_HEADER, KEY_PATTERN
from kaizen_nexus.channels.problems import MEDIA_TYPE
from kaizen_nexus.runtime.deployed import Deployment

__all__ = ["openapi_document"]

_JSON = "application/json"
_FAILURES = (400, 404, 413, 422, 500, 503, 504)
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_SESSION = {"$ref": "#/components/schemas/Session"}
_TIMESTAMP = {"type": "string", "format": "date-time"}
_READ_SESSION, _UPDATE_SESSION, _DELETE_SESSION = "read_session", "update_session", "delete_session"
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key or a token."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_SESSION_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


def openapi_document(
    deployments: Mapping[str, Deployment], root_path: str = "", *, secured: bool = False
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
    """
    from kaizen_nexus import __version__

    schemas = _shared_schemas()
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
        "paths": {**paths, **_service_paths()},
        "components": {"schemas": schemas},
    }
    if secured:
        document["components"]["securitySchemes"] = _SECURITY
        document["security"] = [{name: []} for name in _SECURITY]
    if root_path:
        document["servers"] = [{"url": root_path}]
    return document


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
    responses = _responses(_envelope(name), *_FAILURES)
    return _run(name, deployment, "execute", f"Run {name}", responses)


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
    kinds = {"result": summary, "error": _PROBLEM}
    if deployment.workflow.is_streaming:
        kinds["chunk"] = {"$ref": f"#/components/schemas/{name}.chunk"}
    text = "One event of the stream; the last is a `result`, or the problem details of an `error`."
    schema = {"description": text, "oneOf": [_event(*kind) for kind in kinds.items()]}
    responses = _responses(schema, *_FAILURES, media_type=EVENT_STREAM)
    return _run(name, deployment, "stream", f"Run {name} and send what it yields", responses)


def _event(kind: str, content: Any) -> dict[str, Any]:
    """Return the schema of a server-sent event, whose data is JSON of the schema `content`."""
    data = {"type": "string", "contentMediaType": _JSON, "contentSchema": content}
    properties = {"id": {"type": "string"}, "event": {"const": kind}, "data": data}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _run(
    name: str, deployment: Deployment, verb: str, summary: str, responses: dict[str, Any]
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
            "content": {_JSON: {"schema": inputs}},
        },
        "responses": responses,
    }


def _responses(
    schema: Any, *problems: int, status: int = 200, media_type: str = _JSON
) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Success"}
    if schema is not None:
        success["content"] = {media_type: {"schema": schema}}
    failure = {"description": "A problem", "content": {MEDIA_TYPE: {"schema": _PROBLEM}}}
    return {str(status): success, **{str(code): failure for code in problems}}


def _tagged(schema: Any, *problems: int, status: int = 200) -> dict[str, Any]:
    """Return the responses of an operation that answers with a session and its version."""
    responses = _responses(schema, *problems, status=status)
    tag = {"description": "The state's version, in quotes.", "schema": {"type": "string"}}
    responses[str(status)]["headers"] = {"ETag": tag}
    return responses


def _condition(header: str, description: str) -> dict[str, Any]:
    return {
        "name": header,
        "in": "header",
        "schema": {"type": "string", "pattern": TAGS_PATTERN},
        "description": f"{description} Entity tags in quotes, or `*`.",
    }


def _operation(
    summary: str, tag: str, responses: dict[str, Any], body: Any = None, parameters: Any = None
) -> dict[str, Any]:
    operation = {"summary": summary, "tags": [tag], "responses": responses}
    if body is not None:
        operation["requestBody"] = {"content": {_JSON: {"schema": body}}}
    if parameters is not None:
        operation["parameters"] = parameters
    return operation


def _session_responses() -> dict[str, Any]:
    """Return the answers to creating a session, and what can be done with what was created."""
    responses = _tagged(_SESSION, 400, 413, 422, 503, status=201)
    id_of_it = {"id": "$response.body#/session_id"}
    responses["201"]["links"] = {
        operation: {"operationId": operation, "parameters": id_of_it}
        for operation in (_READ_SESSION, _UPDATE_SESSION, _DELETE_SESSION)
    }
    return responses


def _service_paths() -> dict[str, Any]:
    anything = {"type": "object"}
    new_session = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            # Not blank.
            "user_id": {"type": "string", "default": "anonymous", "pattern": r"\S"},
            "ttl_seconds": {
                "type": ["number", "null"],
                "minimum": MIN_TTL_SECONDS,
                "maximum": MAX_TTL_SECONDS,
            },
            "state": anything,
        },
    }
    only_state = {"required": ["state"], "maxProperties": 1}
    updates = {
        "description": "The keys to set; or `state` alone, which has them.",
        "anyOf": [
            {"type": "object", **only_state, "properties": {"state": anything}},
            {"type": "object", "not": only_state},
        ],
    }
    by_name = [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]
    by_version = [_SESSION_ID, _condition("If-Match", "Versions that may be changed.")]
    pair = [
        {
            "name": name,
            "in": "query",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
        }
        for name in ("a", "b")
    ]
    get_health = _responses(anything, status=200)
    return {
        "/api/workflows": {
            "get": _operation("List what is deployed", "workflows", _responses(anything))
        },
        "/api/workflows/{name}": {
            "get": _operation(
                "Describe a workflow", "workflows", _responses(anything, 404), None, by_name
            )
        },
        "/api/sessions": {
            "post": _operation(
                "Create a session",
                "sessions",
                _session_responses(),
                new_session,
            )
        },
        "/api/sessions/{id}": {
            "get": {
                "operationId": _READ_SESSION,
                **_operation(
                    "Read a session",
                    "sessions",
                    {
                        **_tagged(_SESSION, 400, 404),
                        "304": {"description": "The state is the same"},
                    },
                    None,
                    [_SESSION_ID, _condition("If-None-Match", "Versions that are known.")],
                ),
            },
            "patch": {
                "operationId": _UPDATE_SESSION,
                **_operation(
                    "Merge into a session's state",
                    "sessions",
                    _tagged(_SESSION, 400, 404, 412, 413, 422),
                    updates,
                    by_version,
                ),
            },
            "delete": {
                "operationId": _DELETE_SESSION,
                **_operation(
                    "Delete a session",
                    "sessions",
                    _responses(None, 400, 404, 412, status=204),
                    None,
                    by_version,
                ),
            },
        },
        "/api/sessions/{id}/rotate": {
            "post": _operation(
                "Give a session another id",
                "sessions",
                _tagged(_SESSION, 404, 503),
                None,
                [_SESSION_ID],
            )
        },
        "/api/cache": {
            "get": _operation("What deployments have cached", "service", _responses(anything))
        },
        "/api/cache/why": {
            "get": _operation(
                "What tells two cached entries apart",
                "service",
                _responses(anything, 400, 404),
                None,
                pair,
            )
        },
        "/health/live": {"get": _operation("Is the process alive", "service", get_health)},
        "/health/ready": {
            "get": _operation(
                "Are requests welcome",
                "service",
                {**get_health, "503": {"description": "Starting or stopping"}},
            )
        },
        "/metrics.json": {"get": _operation("All measurements", "service", _responses(anything))},
    }


def _shared_schemas() -> dict[str, Any]:
    return {
        "Problem": {
            "type": "object",
            "description": "RFC 9457 problem details.",
            "properties": {
                "type": {"type": "string", "format": "uri-reference"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "errors": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "pointer": {"type": "string"},
                            "detail": {"type": "string"},
                        },
                    },
                },
            },
            "required": ["type", "title", "status"],
        },
        "Session": {
            "type": "object",
            "properties": {
                "session_id": {"type": "string"},
                "user_id": {"type": "string"},
                "created_at": _TIMESTAMP,
                "last_accessed": _TIMESTAMP,
                "expires_at": _TIMESTAMP,
                "channel_activity": {"type": "object", "additionalProperties": _TIMESTAMP},
                "version": {"type": "integer", "minimum": 0},
                "state": {"type": "object"},
            },
            "required": ["session_id", "user_id", "expires_at", "version", "state"],
        },
    }
