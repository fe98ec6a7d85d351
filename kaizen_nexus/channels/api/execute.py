"""``POST .../{name}/execute``: from the bytes of a request to those of its answer.

Nearly every request is one of these. So they are answered ahead of the router: in the server's
fast lane, or by ASGI, with the same answers.
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
from kaizen_nexus.http.problems import logged_problem, problem_of
from kaizen_nexus.http.server.lane import respond_with
from kaizen_nexus.runtime.invocation import Invocation, Result

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from kaizen_nexus.http.server.lane import LaneRequest, Respond
    from kaizen_nexus.runtime.deployed import Deployment
    from kaizen_nexus.runtime.run import Run
    from kaizen_nexus.runtime.service import Runtime

__all__ = [
    "CHANNEL",
    "EXECUTE_PREFIX",
    "EXECUTE_SUFFIX",
    "SESSION_HEADER",
    "VERSION_HEADER",
    "Answering",
    "Execution",
    "PrefixedExecution",
    "executed_at",
]

CHANNEL = "api"
EXECUTE_PREFIX = f"{API_PREFIX}/"
EXECUTE_SUFFIX = "/execute"
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
        headers, body = _answer_of(result)
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def begin(self, request: LaneRequest, respond: Respond) -> Run | None:
        """Begin to answer a request of the fast lane, unless it is to be refused.

        See `LaneHandler.begin`. What refuses a request before the run is found again, and answered,
        by `answer`.
        """
        if len(request.body) > self._max_body:
            return None
        try:
            deployment = self._runtime.find(request.caller, request.name, CHANNEL)
            inputs = _inputs_of(json_object(request.body), deployment)
        except Exception:
            return None
        session_id = request.headers.get(_SESSION)
        invocation = Invocation(
            deployment=deployment,
            channel=CHANNEL,
            inputs=inputs,
            session_id=None if session_id is None else session_id.decode("latin-1"),
            caller=request.caller,
        )
        return self._runtime.start(invocation, partial(_respond, respond))

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


def executed_at(path: str) -> str | None:
    """Return the name of the workflow that a ``POST`` to `path` runs, if it runs one."""
    if not path.startswith(EXECUTE_PREFIX) or not path.endswith(EXECUTE_SUFFIX):
        return None
    name = path[len(EXECUTE_PREFIX) : -len(EXECUTE_SUFFIX)]
    return None if "/" in name else name or None


def _respond(respond: Respond, run: Run) -> None:
    """Answer with what came of a run."""
    try:
        result = run.outcome()
    except Exception as error:
        respond_with(respond, logged_problem(error))
    else:
        respond(200, *_answer_of(result))


def _answer_of(result: Result) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the headers but the length, and the body, that say what a run returned."""
    session_id = result.session_id
    headers = [_JSON, (_VERSION, b"%d" % result.version)]
    if session_id is not None:
        headers.append((_SESSION, session_id.encode("latin-1")))
    if result.replayed:
        headers.append(_REPLAYED)
    rest = _ENCODER.encode(_Rest(session_id, result.duration_ns / 1e6))
    # Joined, as an encoder would copy a large result several times.
    return headers, b"".join((b'{"status":"success","result":', result.body, b",", rest[1:]))


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


class _Rest(msgspec.Struct):
    """What a successful answer holds behind the result."""

    session_id: str | None
    duration_ms: float


_ENCODER = msgspec.json.Encoder()
