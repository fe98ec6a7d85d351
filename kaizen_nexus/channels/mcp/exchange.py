"""One POST to ``/mcp``: from the bytes of a request to those of its answer, JSON or events."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from msgspec import UNSET

from kaizen_nexus.channels.mcp.changes import Listening
from kaizen_nexus.channels.mcp.headers import (
    VERSION,
    check_envelope,
    check_mirrors,
    check_once,
    unsupported,
)
from kaizen_nexus.channels.mcp.messages import (
    HANDSHAKE,
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MODERN,
    PARSE_ERROR,
    UNSUPPORTED_VERSION,
    CallParams,
    Era,
    ListenParams,
    Message,
    NotAMessageError,
    ProtocolError,
    Reply,
    error_reply,
    read,
    typed_params,
)
from kaizen_nexus.channels.mcp.progress import reporter
from kaizen_nexus.channels.mcp.server import protocol_error
from kaizen_nexus.http.body import receive_body, until_disconnected
from kaizen_nexus.http.credentials import caller_of
from kaizen_nexus.http.streams import StreamedAnswer
from kaizen_nexus.http.strict_json import StrictJsonError
from kaizen_nexus.runtime.errors import AbandonedError, ShuttingDownError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from kaizen_nexus.channels.mcp.http import McpEndpoint

__all__ = ["JSON", "JSON_HEADERS", "PING_INTERVAL", "Exchange", "era_of", "status_of", "takes_json"]

PING_INTERVAL = 15.0
"""Seconds between signs of life on a silent event stream: proxies close idle connections."""

JSON = b"application/json"
JSON_HEADERS = [(b"content-type", JSON)]
_EVENTS = b"text/event-stream"
_JSON_RANGES = frozenset({JSON, b"application/*", b"*/*"})
_EVENT_RANGES = frozenset({_EVENTS, b"text/*", b"*/*"})
_EVENT_HEADERS = {
    "Content-Type": _EVENTS.decode(),
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
_PING = b": ping\n\n"
_STATUSES = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    UNSUPPORTED_VERSION: 400,
    METHOD_NOT_FOUND: 404,
}


@lru_cache(maxsize=256)
def era_of(version: bytes | None) -> Era:
    """Return the era that the ``MCP-Protocol-Version`` of a request belongs to.

    Early clients send none. What is not known is refused as the newest era has it.
    """
    is_handshake = version is None or version.decode("latin-1") in HANDSHAKE.versions
    return HANDSHAKE if is_handshake else MODERN


@lru_cache(maxsize=256)
def takes_json(accept: bytes) -> bool:
    """Whether a client takes JSON, as each has to."""
    return not _JSON_RANGES.isdisjoint(_types_in(accept))


@lru_cache(maxsize=256)
def _types_in(header: bytes) -> frozenset[bytes]:
    """Return the media types and ranges that an ``Accept`` header names."""
    return frozenset(part.partition(b";")[0].strip().lower() for part in header.split(b","))


def status_of(era: Era, reply: Reply) -> int:
    """Return the HTTP status of an answer; before 2026-07-28 errors of methods have 200."""
    return _STATUSES.get(reply.error or 0, 200) if era.is_enveloped else 200


class Exchange:
    """One request and its answer.

    Parameters
    ----------
    endpoint
        What is asked.
    scope, receive, send
        The request.
    """

    def __init__(self, endpoint: McpEndpoint, scope: Scope, receive: Receive, send: Send) -> None:
        self._endpoint = endpoint
        self._fields: Sequence[tuple[bytes, bytes]] = scope["headers"]
        # Of a header that comes twice, the first counts.
        self._headers: dict[bytes, bytes] = dict(reversed(self._fields))
        self._caller = caller_of(scope)
        self._receive = receive
        self._send = send
        self._era = era_of(self._headers.get(VERSION))

    async def answer(self) -> None:
        """Answer the request.

        Raises
        ------
        AbandonedError, BodyTooLargeError, ShuttingDownError
            It is to be answered as on every route.
        """
        kind = self._headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        accept = b",".join(value for name, value in self._fields if name == b"accept")
        if kind != JSON:
            await self._refuse(415, INVALID_REQUEST, "Content-Type must be application/json")
            return
        if not takes_json(accept):
            await self._refuse(406, INVALID_REQUEST, "Accept must name application/json")
            return
        declared = self._headers.get(b"content-length")
        body = await receive_body(self._receive, declared, self._endpoint.max_body)
        try:
            message = read(body)
        except StrictJsonError as error:
            await self._refuse(400, PARSE_ERROR, f"Parse error: {error}")
        except NotAMessageError:
            await self._refuse(400, INVALID_REQUEST, "The body must be one JSON-RPC message")
        else:
            if message.request_id is None:
                await self._acknowledge(message)
            else:
                await self._answer_request(message, _types_in(accept))

    async def _acknowledge(self, message: Message) -> None:
        """Take note of what is not a request: nothing is done about it, as there are no sessions.

        A client of 2026-07-28 cancels a request by closing its connection.
        """
        if not self._era.is_enveloped:
            await self._respond(202, b"")
        elif message.method is UNSET:
            await self._refuse(400, INVALID_REQUEST, "The server sends no requests to be answered")
        elif (version := self._headers[VERSION].decode("latin-1")) not in MODERN.versions:
            await self._reply(error_reply(None, unsupported(version)))
        else:
            await self._respond(202, b"")

    async def _answer_request(self, message: Message, accepted: frozenset[bytes]) -> None:
        try:
            if message.method == "subscriptions/listen" and _EVENT_RANGES.isdisjoint(accepted):
                await self._refuse(406, INVALID_REQUEST, "Accept must name text/event-stream")
                return
            if self._era.is_enveloped:
                check_once(self._fields)
                check_envelope(message, self._headers)
            params = typed_params(self._era, message)
            if isinstance(params, ListenParams):
                await self._listen(message, params)
                return
            if isinstance(params, CallParams):
                # Whoever can take events says so: most clients would rather have JSON.
                is_told = {JSON, _EVENTS} <= accepted and params.token is not None
                await self._call(message, params, is_told=is_told)
                return
            reply = self._endpoint.server.reply(
                self._era, message, params, self._caller, pushes=False
            )
        except (AbandonedError, ShuttingDownError):
            raise
        except Exception as error:
            reply = protocol_error(message.request_id, error)
        await self._reply(reply)

    async def _call(self, message: Message, params: CallParams, *, is_told: bool) -> None:
        call = self._endpoint.server.call(self._era, message.request_id, params, self._caller)
        if isinstance(call, Reply):
            await self._reply(call)
            return
        if self._era.is_enveloped:
            check_mirrors(call.tool.mirrors, params.arguments or {}, self._fields)
        gone = partial(until_disconnected, self._receive)
        if params.token is None or not (is_told and call.is_streaming):
            # Before 2026-07-28, a client that hangs up does not cancel.
            invocation = call.with_client(gone) if self._era.is_enveloped else call.invocation
            await self._reply(await self._endpoint.run(call, invocation))
            return
        events = StreamedAnswer(self._send, _EVENT_HEADERS)

        async def send(data: bytes) -> None:
            await events.write(_event(data))

        invocation = call.with_client(gone, reporter(params.token, send))
        try:
            reply = await self._endpoint.run(call, invocation, partial(events.write, _PING))
        except ShuttingDownError as error:
            if not events.begun:
                raise
            reply = error_reply(call.request_id, ProtocolError(INTERNAL_ERROR, f"{error}"))
        await events.settle()
        if events.begun:
            await events.finish(_event(reply.body))
        else:
            await self._reply(reply)

    async def _listen(self, message: Message, params: ListenParams) -> None:
        """Tell a client of changes until it hangs up, or the server stops."""
        listening = Listening(message.request_id, params)
        changes = self._endpoint.changes
        subscription = changes.subscribe()
        gone = asyncio.ensure_future(until_disconnected(self._receive))
        gone.add_done_callback(lambda _: subscription.tell(ended=True))
        events = StreamedAnswer(self._send, _EVENT_HEADERS)
        try:
            await events.write(_event(listening.acknowledgement()))
            while not subscription.ended:
                notice = listening.notice() if await subscription.changed(PING_INTERVAL) else None
                if notice is not None:
                    await events.write(_event(notice))
                elif not subscription.ended:
                    await events.write(_PING)
            if not gone.done():
                await events.finish(_event(listening.farewell().body))
        finally:
            gone.cancel()
            changes.unsubscribe(subscription)

    async def _reply(self, reply: Reply) -> None:
        await self._respond(status_of(self._era, reply), reply.body)

    async def _refuse(self, status: int, code: int, message: str) -> None:
        await self._respond(status, error_reply(None, ProtocolError(code, message)).body)

    async def _respond(self, status: int, body: bytes) -> None:
        length = (b"content-length", b"%d" % len(body))
        headers = [*JSON_HEADERS, length] if body else [length]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _event(message: bytes) -> bytes:
    return b"event: message\ndata: " + message + b"\n\n"
