"""``POST .../{name}/execute``: from the bytes of a request to those of its answer.

Nearly every request is one of these. So they are answered ahead of the router, and neither the
request nor the answer becomes an object that is not needed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from starlette.exceptions import HTTPException

from kaizen_nexus.deployment.target import API_PREFIX
from kaizen_nexus.http.body import json_object, receive_body, until_disconnected
from kaizen_nexus.http.credentials import caller_of
from kaizen_nexus.http.idempotency import KEY_NAME, REPLAYED_HEADER, idempotency_key
from kaizen_nexus.http.problems import problem_of
from kaizen_nexus.runtime.invocation import Invocation

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from kaizen_nexus.runtime.deployed import Deployment
    from kaizen_nexus.runtime.service import Runtime

__all__ = [
    "CHANNEL",
    "SESSION_HEADER",
    "VERSION_HEADER",
    "Answering",
    "Execution",
    "PrefixedExecution",
]

CHANNEL = "api"
SESSION_HEADER = "X-Session-ID"
VERSION_HEADER = "X-Workflow-Version"

_SESSION = SESSION_HEADER.lower().encode()
_VERSION = VERSION_HEADER.lower().encode()
_JSON = (b"content-type", b"application/json")
_REPLAYED = (REPLAYED_HEADER.lower().encode(), b"true")


class Execution:
    """Runs a workflow for each request.

    An ASGI application for a route that has the workflow's ``name`` as a path parameter.

    Parameters
    ----------
    runtime
        What runs it.
    max_body
        How many bytes a request body may have.
    """

    def __init__(self, runtime: Runtime, max_body: int) -> None:
        self._runtime = runtime
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that a router has found."""
        await self.answer(scope["path_params"]["name"], scope, receive, send)

    async def answer(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request to run the workflow called `name`."""
        try:
            result = await self._runtime.execute(await self.invocation(name, scope, receive))
        except Exception as error:
            problem, known = problem_of(error)
            await problem(scope, receive, send)
            if not known:
                raise
            return
        body = _ENCODER.encode(
            _Envelope(
                result=msgspec.Raw(result.body),
                session_id=result.session_id,
                duration_ms=result.duration_ns / 1e6,
            )
        )
        headers = [
            _JSON,
            (b"content-length", b"%d" % len(body)),
            (_VERSION, b"%d" % result.version),
        ]
        if result.session_id is not None:
            headers.append((_SESSION, result.session_id.encode("latin-1")))
        if result.replayed:
            headers.append(_REPLAYED)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def invocation(self, name: str, scope: Scope, receive: Receive) -> Invocation:
        """Return what a request to run the workflow called `name` asks for.

        Raises
        ------
        UnauthenticatedError, ForbiddenError, WorkflowNotFoundError, BodyTooLargeError,
        StrictJsonError, IdempotencyKeyError
            It cannot be asked for, or not like that.
        """
        caller = caller_of(scope)
        # Refuse before reading the body.
        deployment = self._runtime.find(caller, name, CHANNEL)
        # Of a header that comes twice, the first counts, as it does with Starlette.
        headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        body = await receive_body(receive, headers.get(b"content-length"), self._max_body)
        session_id = headers.get(_SESSION)
        key = idempotency_key(scope["headers"]) if KEY_NAME in headers else None
        return Invocation(
            deployment=deployment,
            channel=CHANNEL,
            inputs=_inputs_of(json_object(body), deployment),
            session_id=None if session_id is None else session_id.decode("latin-1"),
            caller=caller,
            caller_gone=partial(until_disconnected, receive),
            idempotency_key=key,
        )


def _inputs_of(body: dict[str, Any], deployment: Deployment) -> dict[str, Any]:
    """Return the inputs in `body`, which is them or has them under ``inputs``."""
    wrapped = body.get("inputs")
    if len(body) != 1 or not isinstance(wrapped, dict):
        return body
    return body if "inputs" in deployment.workflow.input_schema["properties"] else wrapped


class Answering(Protocol):
    """What answers requests that concern one workflow."""

    async def answer(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that concerns the workflow called `name`."""


class PrefixedExecution:
    """The same for workflows that were deployed with a prefix of their own; `prefix` says which.

    Parameters
    ----------
    runtime
        What runs them.
    execution
        What answers the requests.
    """

    def __init__(self, runtime: Runtime, execution: Answering) -> None:
        self._runtime = runtime
        self._execution = execution

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that a router has found."""
        name, prefix = scope["path_params"]["name"], f"/{scope['path_params']['prefix']}"
        self._runtime.access.require(caller_of(scope), name)
        deployment = self._runtime.registry.channels_of(name).get(CHANNEL)
        if prefix != API_PREFIX and (deployment is None or deployment.prefix != prefix):
            raise HTTPException(404)
        if scope["method"] != "POST":
            raise HTTPException(405, headers={"Allow": "POST"})
        await self._execution.answer(name, scope, receive, send)


class _Envelope(msgspec.Struct, kw_only=True):
    """What a successful answer holds."""

    status: str = "success"
    result: msgspec.Raw
    session_id: str | None
    duration_ms: float


_ENCODER = msgspec.json.Encoder()
