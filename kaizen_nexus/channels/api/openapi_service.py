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
_SESSION_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


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
    tag = {"description": "The state's version, in quotes.", "schema": {"type": "string"}}
    tagged[str(status)]["headers"] = {"ETag": tag}
    return tagged


def _condition(header: str, description: str) -> dict[str, Any]:
    return {
        "name": header,
        "in": "header",
        "schema": {"type": "string", "pattern": TAGS_PATTERN},
        "description": f"{description} Entity tags in quotes, or `*`.",
    }


def _operation(
    summary: str, tag: str, answers: dict[str, Any], body: Any = None, parameters: Any = None
) -> dict[str, Any]:
    operation = {"summary": summary, "tags": [tag], "responses": answers}
    if body is not None:
        operation["requestBody"] = {"content": {JSON: {"schema": body}}}
    if parameters is not None:
        operation["parameters"] = parameters
    return operation


def _session_responses() -> dict[str, Any]:
    """Return the answers to creating a session, and what can be done with what was created."""
    answers = _tagged(_SESSION, 400, 413, 422, 503, status=201)
    id_of_it = {"id": "$response.body#/session_id"}
    answers["201"]["links"] = {
        operation: {"operationId": operation, "parameters": id_of_it}
        for operation in (_READ_SESSION, _UPDATE_SESSION, _DELETE_SESSION)
    }
    return answers


def service_paths() -> dict[str, Any]:
    """Return the operations that concern no workflow in particular, by path."""
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
    get_health = responses(anything, status=200)
    return {
        "/api/workflows": {
            "get": _operation("List what is deployed", "workflows", responses(anything))
        },
        "/api/workflows/{name}": {
            "get": _operation(
                "Describe a workflow", "workflows", responses(anything, 404), None, by_name
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
                    responses(None, 400, 404, 412, status=204),
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
            "get": _operation("What deployments have cached", "service", responses(anything))
        },
        "/api/cache/why": {
            "get": _operation(
                "What tells two cached entries apart",
                "service",
                responses(anything, 400, 404),
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
        "/metrics.json": {"get": _operation("All measurements", "service", responses(anything))},
    }


def shared_schemas() -> dict[str, Any]:
    """Return the schemas to which operations refer, by name."""
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
