"""What the OpenAPI description of every app has, whatever is deployed."""

from __future__ import annotations

from typing import Any

from kaizen_nexus._common.session_arguments import MAX_TTL_SECONDS
from kaizen_nexus.channels.api.sessions import MIN_TTL_SECONDS
from kaizen_nexus.http.conditions import TAGS_PATTERN
from kaizen_nexus.http.problems import MEDIA_TYPE

__all__ = ["JSON", "PROBLEM", "failures", "responses", "service_paths", "shared_schemas"]

JSON = "application/json"
PROBLEM = {"$ref": "#/components/schemas/Problem"}
_SESSION = {"$ref": "#/components/schemas/Session"}
_TIMESTAMP = {"type": "string", "format": "date-time"}
_READ_SESSION, _UPDATE_SESSION, _DELETE_SESSION = "read_session", "update_session", "delete_session"
_TEXT = {"type": "string"}
_ANYTHING = {"type": "object"}


def responses(
    schema: Any, *problems: int, status: int = 200, media_type: str = JSON
) -> dict[str, Any]:
    """Return the answers to an operation: one with `schema`, if that is not None, and `problems`.

    Parameters
    ----------
    schema
        Of the answer when all is well.
    problems
        The statuses of the others.
    status, media_type
        Of the answer when all is well.
    """
    success: dict[str, Any] = {"description": "Success"}
    if schema is not None:
        success["content"] = {media_type: {"schema": schema}}
    return {str(status): success, **failures(*problems)}


def failures(*statuses: int) -> dict[str, Any]:
    """Return the answers that are problem details, by status."""
    failure = {"description": "A problem", "content": {MEDIA_TYPE: {"schema": PROBLEM}}}
    return {str(status): failure for status in statuses}


def _tagged(schema: Any, *problems: int, status: int = 200) -> dict[str, Any]:
    """Return the responses of an operation that answers with a session and its version."""
    tagged = responses(schema, *problems, status=status)
    tag = {"description": "The state's version, in quotes.", "schema": _TEXT}
    tagged[str(status)]["headers"] = {"ETag": tag}
    return tagged


def _parameter(place: str, name: str, schema: Any = _TEXT, description: str = "") -> dict[str, Any]:
    parameter = {"name": name, "in": place, "schema": schema}
    if place != "header":
        parameter["required"] = True
    return {**parameter, "description": description} if description else parameter


def _condition(header: str, description: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": TAGS_PATTERN}
    return _parameter("header", header, schema, f"{description} Entity tags in quotes, or `*`.")


def _operation(
    summary: str,
    tag: str,
    answers: dict[str, Any],
    *parameters: dict[str, Any],
    body: Any = None,
    operation_id: str = "",
) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": summary, "tags": [tag], "responses": answers}
    if operation_id:
        operation["operationId"] = operation_id
    if body is not None:
        operation["requestBody"] = {"content": {JSON: {"schema": body}}}
    if parameters:
        operation["parameters"] = list(parameters)
    return operation


def _new_session() -> dict[str, Any]:
    """Return the operation that creates a session, and the links to those on the new session."""
    answers = _tagged(_SESSION, 400, 413, 422, 503, status=201)
    new_id = {"id": "$response.body#/session_id"}
    answers["201"]["links"] = {
        operation: {"operationId": operation, "parameters": new_id}
        for operation in (_READ_SESSION, _UPDATE_SESSION, _DELETE_SESSION)
    }
    body = {
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
            "state": _ANYTHING,
        },
    }
    return _operation("Create a session", "sessions", answers, body=body)


def _on_session() -> dict[str, Any]:
    """Return the operations on one session."""
    session_id = _parameter("path", "id")
    known = _condition("If-None-Match", "Versions that are known.")
    by_version = session_id, _condition("If-Match", "Versions that may be changed.")
    only_state = {"required": ["state"], "maxProperties": 1}
    updates = {
        "description": "The keys to set; or `state` alone, which has them.",
        "anyOf": [
            {"type": "object", **only_state, "properties": {"state": _ANYTHING}},
            {"type": "object", "not": only_state},
        ],
    }
    shown = {**_tagged(_SESSION, 400, 404), "304": {"description": "The state is the same"}}
    changed = _tagged(_SESSION, 400, 404, 412, 413, 422)
    deleted = responses(None, 400, 404, 412, status=204)
    return {
        "get": _operation(
            "Read a session", "sessions", shown, session_id, known, operation_id=_READ_SESSION
        ),
        "patch": _operation(
            "Merge into a session's state",
            "sessions",
            changed,
            *by_version,
            body=updates,
            operation_id=_UPDATE_SESSION,
        ),
        "delete": _operation(
            "Delete a session", "sessions", deleted, *by_version, operation_id=_DELETE_SESSION
        ),
    }


def service_paths() -> dict[str, Any]:
    """Return the operations that concern no workflow in particular, by path."""

    def get(summary: str, tag: str, answers: dict[str, Any], *parameters: Any) -> dict[str, Any]:
        return {"get": _operation(summary, tag, answers, *parameters)}

    anything, found = responses(_ANYTHING), responses(_ANYTHING, 404)
    ready = {**anything, "503": {"description": "Starting or stopping"}}
    rotated = _tagged(_SESSION, 404, 503)
    pair = [_parameter("query", name, {"type": "string", "minLength": 1}) for name in ("a", "b")]
    why = responses(_ANYTHING, 400, 404)
    by_name, by_id = _parameter("path", "name"), _parameter("path", "id")
    return {
        "/api/workflows": get("List what is deployed", "workflows", anything),
        "/api/workflows/{name}": get("Describe a workflow", "workflows", found, by_name),
        "/api/sessions": {"post": _new_session()},
        "/api/sessions/{id}": _on_session(),
        "/api/sessions/{id}/rotate": {
            "post": _operation("Give a session another id", "sessions", rotated, by_id)
        },
        "/api/cache": get("What deployments have cached", "service", anything),
        "/api/cache/why": get("What tells two cached entries apart", "service", why, *pair),
        "/health/live": get("Is the process alive", "service", responses(_ANYTHING)),
        "/health/ready": get("Are requests welcome", "service", ready),
        "/metrics.json": get("All measurements", "service", responses(_ANYTHING)),
    }


def shared_schemas() -> dict[str, Any]:
    """Return the schemas to which operations refer, by name."""
    error = {"type": "object", "properties": {"pointer": _TEXT, "detail": _TEXT}}
    return {
        "Problem": {
            "type": "object",
            "description": "RFC 9457 problem details.",
            "properties": {
                "type": {"type": "string", "format": "uri-reference"},
                "title": _TEXT,
                "status": {"type": "integer"},
                "detail": _TEXT,
                "errors": {"type": "array", "items": error},
            },
            "required": ["type", "title", "status"],
        },
        "Session": {
            "type": "object",
            "properties": {
                "session_id": _TEXT,
                "user_id": _TEXT,
                "created_at": _TIMESTAMP,
                "last_accessed": _TIMESTAMP,
                "expires_at": _TIMESTAMP,
                "channel_activity": {"type": "object", "additionalProperties": _TIMESTAMP},
                "version": {"type": "integer", "minimum": 0},
                "state": _ANYTHING,
            },
            "required": ["session_id", "user_id", "expires_at", "version", "state"],
        },
    }
