"""Streamable HTTP for SDK 1: each ``POST`` is a conversation of its own, answered with JSON.

The SDK's own transport is not used: it has no limit for bodies in its older versions, refuses
``Accept: */*``, and answers what is no JSON in other ways than SDK 2 does.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import anyio
import pydantic_core
from anyio.abc import TaskGroup
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from mcp.shared.message import SessionMessage
from mcp.shared.version import SUPPORTED_PROTOCOL_VERSIONS
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCRequest,
    JSONRPCResponse,
)
from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from kaizen_nexus.access.callers import Caller
from kaizen_nexus.channels.mcp.progress import EVENTS, asks_for_progress
from kaizen_nexus.channels.mcp.sdk.surface import Streams
from kaizen_nexus.channels.mcp.sdk.v1.versions import unsupported_version
from kaizen_nexus.http.body import BodyTooLargeError, read_body, until_disconnected
from kaizen_nexus.http.credentials import caller_of
from kaizen_nexus.http.streams import StreamedAnswer

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

__all__ = ["HttpTransport"]

_JSON = "application/json"
_Notify = Callable[[JSONRPCMessage], Awaitable[None]]
_ACCEPTABLE = frozenset({_JSON, "application/*", "*/*"})


class HttpTransport:
    """See `surface.HttpTransport`.

    Parameters
    ----------
    converse
        Answers the messages of a caller's stream until it ends.
    is_streaming
        Whether a tool makes its result piece by piece.
    max_body
        How many bytes a request body may have.
    """

    def __init__(
        self,
        converse: Callable[[Streams, Caller], Coroutine[Any, Any, None]],
        is_streaming: Callable[[str], bool],
        *,
        max_body: int,
    ) -> None:
        self._converse = converse
        self._is_streaming = is_streaming
        self._max_body = max_body
        # Who may address the app was checked before; this one checks the content type, too.
        self._security = TransportSecurityMiddleware(
            TransportSecuritySettings(enable_dns_rebinding_protection=False)
        )
        self._tasks: TaskGroup | None = None

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Serve while it is entered."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                yield
            finally:
                self._tasks = None
                tasks.cancel_scope.cancel()

    async def handle_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        told, again = await asks_for_progress(scope, receive, self._max_body, self._is_streaming)
        request = Request(scope, again)
        with contextlib.suppress(ClientDisconnect):
            try:
                message = _parse(await self._body(request))
                if told:
                    await self._respond_with_events(request, message, send)
                    return
                response = await self._respond(request, message)
            except _RefusedError as refused:
                response = refused.response
            await response(scope, receive, send)

    async def _respond_with_events(
        self, request: Request, message: JSONRPCMessage, send: Send
    ) -> None:
        """Send what is reported before the response, and that; stop when the client has gone."""
        events = StreamedAnswer(send, {"Content-Type": EVENTS, "Cache-Control": "no-store"})
        response: Response | None = None

        async def notify(notification: JSONRPCMessage) -> None:
            await events.write(_event(_json(notification)))

        async def watch(tasks: TaskGroup) -> None:
            await until_disconnected(request.receive)
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, tasks)
            response = await self._respond(request, message, notify)
            tasks.cancel_scope.cancel()
        if response is None:
            return
        if events.begun:
            await events.finish(_event(bytes(response.body).decode()))
        else:
            await response(request.scope, request.receive, send)

    async def _respond(
        self, request: Request, message: JSONRPCMessage, notify: _Notify | None = None
    ) -> Response:
        request_id = message.root.id if isinstance(message.root, JSONRPCRequest) else None
        version = request.headers.get("mcp-protocol-version")
        if version is not None and version not in SUPPORTED_PROTOCOL_VERSIONS:
            return _error(400, *unsupported_version(version), request_id=request_id)
        if request_id is None:
            # A notification concerns a conversation, and each of these is over with its request.
            return Response(status_code=202, media_type=_JSON)
        caller = caller_of(request.scope)
        reply = await self._exchange(SessionMessage(message), caller, notify)
        if reply is None:
            return _error(500, INTERNAL_ERROR, "Session terminated before the request completed")
        return Response(_json(reply), media_type=_JSON)

    async def _body(self, request: Request) -> bytes:
        """Return the body of a request that may be served."""
        try:
            body = bytes(await read_body(request, self._max_body))
        except BodyTooLargeError:
            raise _RefusedError(Response("Request body too large", status_code=413)) from None
        if (refusal := await self._security.validate_request(request, is_post=True)) is not None:
            raise _RefusedError(refusal)
        _check_media_types(request)
        return body

    async def _exchange(
        self, request: SessionMessage, caller: Caller, notify: _Notify | None
    ) -> JSONRPCMessage | None:
        """Return the reply; None if there is none because serving ends."""
        if self._tasks is None:
            return None
        requests, incoming = anyio.create_memory_object_stream[SessionMessage](1)
        outgoing, replies = anyio.create_memory_object_stream[SessionMessage](1)
        # Closing them ends the conversation, also where this request is cancelled.
        async with requests, replies:
            self._tasks.start_soon(self._converse, (incoming, outgoing), caller)
            with contextlib.suppress(anyio.BrokenResourceError):
                await requests.send(request)
            async for reply in replies:
                if isinstance(reply.message.root, JSONRPCResponse | JSONRPCError):
                    return reply.message
                if notify is not None:
                    await notify(reply.message)
        return None


class _RefusedError(Exception):
    """A request is answered before any message of it is looked at."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def _json(message: JSONRPCMessage) -> str:
    return message.model_dump_json(by_alias=True, exclude_none=True)


def _event(text: str) -> bytes:
    return f"event: message\ndata: {text}\n\n".encode()


def _check_media_types(request: Request) -> None:
    accepted = request.headers.get("accept", "").split(",")
    if not _ACCEPTABLE & {media_type.partition(";")[0].strip().lower() for media_type in accepted}:
        message = "Not Acceptable: Client must accept application/json"
        raise _RefusedError(_error(406, INVALID_REQUEST, message))
    if request.headers.get("content-type", "").partition(";")[0].strip() != _JSON:
        message = "Unsupported Media Type: Content-Type must be application/json"
        raise _RefusedError(_error(415, INVALID_REQUEST, message))


def _parse(body: bytes) -> JSONRPCMessage:
    try:
        return JSONRPCMessage.model_validate(pydantic_core.from_json(body))
    except ValidationError:
        message = "Validation error: not a JSON-RPC 2.0 message"
        raise _RefusedError(_error(400, INVALID_PARAMS, message)) from None
    except ValueError as error:
        raise _RefusedError(_error(400, PARSE_ERROR, f"Parse error: {error}")) from None


def _error(
    status: int, code: int, message: str, data: Any = None, request_id: str | int | None = None
) -> Response:
    error = {"code": code, "message": message, **({} if data is None else {"data": data})}
    body = json.dumps({"jsonrpc": "2.0", "id": request_id, "error": error})
    return Response(body, status_code=status, media_type=_JSON)
