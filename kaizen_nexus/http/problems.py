"""Errors as RFC 9457 problem details, for every channel that speaks HTTP."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from kaizen_nexus._errors import SessionTableFullError
from kaizen_nexus.access.errors import (
    AuthenticationUnavailableError,
    ForbiddenError,
    UnauthenticatedError,
)
from kaizen_nexus.agents.errors import InvalidInputsError
from kaizen_nexus.http.body import BodyTooLargeError
from kaizen_nexus.http.conditions import MalformedConditionError
from kaizen_nexus.http.credentials import challenge
from kaizen_nexus.http.idempotency import REPLAYED_HEADER
from kaizen_nexus.http.strict_json import StrictJsonError
from kaizen_nexus.runtime.errors import (
    AbandonedError,
    AgentFailedError,
    DeadlineExceededError,
    IdempotencyKeyError,
    IdempotencyKeyReusedError,
    OverloadedError,
    QuarantinedError,
    ResultTooLargeError,
    RunFailedError,
    SessionNotFoundError,
    ShuttingDownError,
    WorkflowNotFoundError,
)

__all__ = ["EXCEPTION_HANDLERS", "logged_problem", "problem_of", "problem_response"]

logger = logging.getLogger("kaizen_nexus.http")

MEDIA_TYPE = "application/problem+json"

CLIENT_CLOSED_REQUEST = 499
"""By custom; the client is gone, so this is for logs."""

_PROBLEMS: dict[type[Exception], tuple[str, int]] = {
    UnauthenticatedError: ("unauthenticated", HTTPStatus.UNAUTHORIZED),
    ForbiddenError: ("forbidden", HTTPStatus.FORBIDDEN),
    AuthenticationUnavailableError: (
        "authentication-unavailable",
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
    WorkflowNotFoundError: ("workflow-not-found", HTTPStatus.NOT_FOUND),
    SessionNotFoundError: ("session-not-found", HTTPStatus.NOT_FOUND),
    InvalidInputsError: ("invalid-inputs", HTTPStatus.UNPROCESSABLE_ENTITY),
    StrictJsonError: ("malformed-json", HTTPStatus.BAD_REQUEST),
    BodyTooLargeError: ("body-too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    MalformedConditionError: ("malformed-condition", HTTPStatus.BAD_REQUEST),
    IdempotencyKeyError: ("malformed-idempotency-key", HTTPStatus.BAD_REQUEST),
    IdempotencyKeyReusedError: ("idempotency-key-reuse", HTTPStatus.UNPROCESSABLE_ENTITY),
    AgentFailedError: ("agent-failed", HTTPStatus.INTERNAL_SERVER_ERROR),
    ResultTooLargeError: ("result-too-large", HTTPStatus.INTERNAL_SERVER_ERROR),
    OverloadedError: ("overloaded", HTTPStatus.SERVICE_UNAVAILABLE),
    ShuttingDownError: ("shutting-down", HTTPStatus.SERVICE_UNAVAILABLE),
    QuarantinedError: ("quarantined", HTTPStatus.SERVICE_UNAVAILABLE),
    DeadlineExceededError: ("deadline-exceeded", HTTPStatus.GATEWAY_TIMEOUT),
    AbandonedError: ("abandoned", CLIENT_CLOSED_REQUEST),
    SessionTableFullError: ("session-limit", HTTPStatus.SERVICE_UNAVAILABLE),
}


def problem_response(
    status: int,
    *,
    slug: str | None = None,
    detail: str = "",
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """Return a problem details response.

    Parameters
    ----------
    status
        The HTTP status code.
    slug
        What makes the problem's ``type`` a URN of ours; ``about:blank`` without it.
    detail
        What went wrong this time, and the remedy where there is one.
    headers
        Further response headers.
    members
        Extension members of the problem.
    """
    problem = {
        "type": f"urn:kaizen-nexus:problem:{slug}" if slug else "about:blank",
        "title": _title(slug) if slug else HTTPStatus(status).phrase,
        "status": int(status),
        **({"detail": detail} if detail else {}),
        **members,
    }
    return Response(
        msgspec.json.encode(problem),
        status_code=status,
        headers=dict(headers or {}),
        media_type=MEDIA_TYPE,
    )


def _title(slug: str) -> str:
    words = slug.replace("-", " ").replace("json", "JSON")
    return words[0].upper() + words[1:]


def problem_of(error: Exception) -> tuple[Response, bool]:
    """Return the answer to a request that failed so, and whether the error is an expected one."""
    for cls in type(error).__mro__:
        if cls in _PROBLEMS:
            return _expected(error, *_PROBLEMS[cls]), True
    unexpected = problem_response(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        slug="internal-error",
        detail="the server failed; its log says why",
    )
    return unexpected, False


def logged_problem(error: Exception) -> Response:
    """Return the answer to a request that failed so; log an unexpected error."""
    problem, expected = problem_of(error)
    if not expected:
        logger.error("the server failed", exc_info=error)
        problem.headers["Connection"] = "close"
    return problem


def _expected(error: Exception, slug: str, status: int) -> Response:
    members: dict[str, Any] = {}
    headers = {}
    if isinstance(error, InvalidInputsError):
        members["errors"] = [
            {"pointer": f"#{e.pointer}", "detail": e.message} for e in error.errors
        ]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(getattr(error, "retry_after", OverloadedError.retry_after))
    if isinstance(error, RunFailedError) and error.replayed:
        headers[REPLAYED_HEADER] = "true"
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        # What is left of the body must not be taken for the next request.
        headers["Connection"] = "close"
    if isinstance(error, UnauthenticatedError):
        headers.update(challenge(error.code))
    if isinstance(error, ForbiddenError):
        headers.update(challenge("insufficient_scope", error.scope))
    return problem_response(status, slug=slug, detail=str(error), headers=headers, **members)


def _answer(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return problem_of(error)[0]
    detail = error.detail
    if detail == HTTPStatus(error.status_code).phrase:
        detail = {
            HTTPStatus.NOT_FOUND: f"nothing answers at {request.url.path[:256]}; see /openapi.json",
            HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method} is not allowed here",
        }.get(HTTPStatus(error.status_code), "")
    return problem_response(error.status_code, detail=detail, headers=error.headers)


EXCEPTION_HANDLERS: dict[Any, Any] = dict.fromkeys((*_PROBLEMS, HTTPException, Exception), _answer)
"""For Starlette's ``exception_handlers``."""
