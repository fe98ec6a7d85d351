"""One client at the other end of two pipes: plain calls are answered here, all else by the SDK."""

from __future__ import annotations

import asyncio
import logging

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from kaizen_nexus.access.callers import LOCAL
from kaizen_nexus.channels.mcp.calls import RunningCalls
from kaizen_nexus.channels.mcp.lines import LineReader, LineTooLongError, LineWriter
from kaizen_nexus.channels.mcp.plain import METHOD, PlainCalls
from kaizen_nexus.channels.mcp.sdk import SDK
from kaizen_nexus.channels.mcp.sdk.surface import (
    INVALID_REQUEST,
    PARSE_ERROR,
    VERSION_KEY,
    Incoming,
    Plain,
    Server,
    correlated,
)
from kaizen_nexus.channels.mcp.server import Methods
from kaizen_nexus.http.strict_json import StrictJsonError, check_keys

__all__ = ["Conversation"]

GRACE = 1.0
"""Seconds that calls have to come to their end when the input has ended."""

logger = logging.getLogger("kaizen_nexus.mcp")


class Conversation:
    """The messages of a client, from the first to the end of the input.

    Until the SDK has agreed with the client on a version of the protocol no call is plain.

    Parameters
    ----------
    server, methods
        What is served, by the SDK and without it.
    reader, writer
        The pipes.
    """

    def __init__(
        self, server: Server, methods: Methods, reader: LineReader, writer: LineWriter
    ) -> None:
        self._server = server
        self._methods = methods
        self._reader = reader
        self._writer = writer
        self._calls: PlainCalls | None = None
        self._running = RunningCalls(writer)
        self._has_begun = False
        self._handshake: int | str | None = None
        """The id of the ``initialize`` that is not answered yet."""
        self._called: set[int | str] = set()
        """The ids of calls that the SDK has not answered yet."""
        self._answered = asyncio.Event()

    async def run(self) -> None:
        """Answer until the input ends, and cancel what is still running a second later."""
        requests, incoming = anyio.create_memory_object_stream[object]()
        outgoing, replies = anyio.create_memory_object_stream[object]()
        async with anyio.create_task_group() as writing:
            writing.start_soon(self._write, replies)
            async with outgoing, anyio.create_task_group() as reading:
                reading.start_soon(self._read, requests)
                await self._server.serve((incoming, outgoing))
                reading.cancel_scope.cancel()
        await self._writer.flushed()

    async def _read(self, requests: MemoryObjectSendStream[object]) -> None:
        async with requests:
            try:
                while True:
                    try:
                        line = await self._reader.read()
                    except LineTooLongError:
                        self._refuse(None, INVALID_REQUEST, "Invalid request: the line is too long")
                        continue
                    if line is None:
                        break
                    if self._start(line):
                        # It goes as far as it can at once, before the next one is looked at.
                        await asyncio.sleep(0)
                    elif (message := self._decode(line)) is not None:
                        self._observe(message)
                        await requests.send(message.message)
                    # A client that takes no answers is not asked for more requests.
                    await self._writer.ready()
                if not self._writer.is_closed:
                    with anyio.move_on_after(GRACE):
                        await self._all_answered()
            finally:
                with anyio.CancelScope(shield=True):
                    await self._running.stop()

    async def _all_answered(self) -> None:
        await self._running.finished()
        while self._called:
            self._answered.clear()
            await self._answered.wait()

    async def _write(self, replies: MemoryObjectReceiveStream[object]) -> None:
        async with replies:
            async for reply in replies:
                line = SDK.codec.encode(reply).encode()
                if self._handshake is not None:
                    self._notice_version(line)
                if self._called:
                    self._notice_answer(line)
                self._writer.write(line + b"\n")
                await self._writer.ready()

    def _start(self, line: bytes) -> bool:
        """Begin to answer a plain call; whether it is one."""
        if self._calls is None or self._calls.are_observed():
            return False
        call = self._calls.read(line, LOCAL)
        if call is None:
            return False
        self._running.start(self._calls, call)
        return True

    def _decode(self, line: bytes) -> Incoming | None:
        """Return a message for the SDK; None if there is none, which a request is told."""
        try:
            check_keys(line)
        except StrictJsonError as error:
            request_id = _request_id(line)
            if request_id is not None:
                self._refuse(request_id, PARSE_ERROR, f"Parse error: {error}")
            return None
        try:
            return SDK.codec.decode(line.decode(errors="replace"))
        except (ValueError, RecursionError) as error:
            # It cannot be answered: what is no message has no id.
            logger.debug("dropped what is no message: %s", error)
            return None

    def _refuse(self, request_id: int | str | None, code: int, message: str) -> None:
        logger.warning("refused a message: %s", message)
        error = {"code": code, "message": message}
        reply = {"jsonrpc": "2.0", "id": request_id, "error": error}
        self._writer.write(msgspec.json.encode(reply) + b"\n")

    def _observe(self, message: Incoming) -> None:
        """Follow what the SDK will make of a message."""
        if message.method == "notifications/cancelled":
            request_id = message.params.get("requestId")
            if isinstance(request_id, int | str) and not isinstance(request_id, bool):
                self._running.cancel(request_id)
                self._settle(request_id)
        elif message.request_id is not None:
            if message.method == METHOD:
                self._called.add(correlated(message.request_id))
            if message.method == "initialize":
                self._handshake = message.request_id
                self._calls = None
            elif not self._has_begun and _is_enveloped(message):
                self._calls = self._plain_calls(self._server.plain)
            # The first request decides of the era.
            self._has_begun = True

    def _notice_version(self, line: bytes) -> None:
        """Look for the answer to the handshake, which says what was agreed on."""
        try:
            reply = _REPLY.decode(line)
        except msgspec.ValidationError:  # a notification, or another answer
            return
        if reply.id == self._handshake:
            self._handshake = None
            if reply.result is not None:
                version = reply.result.protocolVersion
                self._calls = self._plain_calls(self._server.plain_after(version))

    def _notice_answer(self, line: bytes) -> None:
        try:
            self._settle(_ANSWER.decode(line).id)
        except msgspec.ValidationError:  # a notification
            return

    def _settle(self, request_id: int | str) -> None:
        self._called.discard(correlated(request_id))
        self._answered.set()

    def _plain_calls(self, plain: Plain | None) -> PlainCalls | None:
        if plain is None:
            return None
        self._running.farewell = plain.hung_up
        return PlainCalls(plain, self._methods)


class _Agreed(msgspec.Struct):
    protocolVersion: str  # noqa: N815


class _Reply(msgspec.Struct):
    id: int | str
    result: _Agreed | None = None


class _Answer(msgspec.Struct):
    id: int | str


class _Request(msgspec.Struct):
    id: int | str
    method: str


_REPLY = msgspec.json.Decoder(_Reply)
_ANSWER = msgspec.json.Decoder(_Answer)
_REQUEST = msgspec.json.Decoder(_Request)


def _request_id(line: bytes) -> int | str | None:
    """Return the id of what cannot be read strictly, if it is a request."""
    try:
        return _REQUEST.decode(line).id
    except (ValueError, RecursionError):
        return None


def _is_enveloped(message: Incoming) -> bool:
    meta = message.params.get("_meta")
    return isinstance(meta, dict) and VERSION_KEY in meta
