"""One client at the other end of two pipes: its messages from first to last."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from functools import partial
from typing import TYPE_CHECKING

from msgspec import UNSET

from kaizen_nexus.access.callers import LOCAL
from kaizen_nexus.channels.mcp.changes import CHANGED, Listening, Subscription, ToolChanges
from kaizen_nexus.channels.mcp.headers import check_envelope, unsupported
from kaizen_nexus.channels.mcp.lines import LineTooLongError
from kaizen_nexus.channels.mcp.messages import (
    CONNECTION_CLOSED,
    HANDSHAKE,
    INVALID_PARAMS,
    INVALID_REQUEST,
    MODERN,
    PARSE_ERROR,
    VERSION_KEY,
    CallParams,
    Era,
    ListenParams,
    Message,
    NotAMessageError,
    ProtocolError,
    Reply,
    RequestId,
    encode,
    error_reply,
    read,
    typed_params,
)
from kaizen_nexus.channels.mcp.progress import reporter
from kaizen_nexus.channels.mcp.server import Call, McpServer, protocol_error
from kaizen_nexus.http.strict_json import StrictJsonError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kaizen_nexus.channels.mcp.lines import LineReader, LineWriter
    from kaizen_nexus.runtime.run import Run

__all__ = ["Conversation"]

GRACE = 1.0
"""Seconds that calls have to come to their end when the input has ended."""

_EXEMPT = frozenset({"initialize", "ping"})
"""What may be asked for before the handshake."""

logger = logging.getLogger("kaizen_nexus.mcp")


class Conversation:
    """The messages of a client, and what is running for it.

    The first request decides the era: it has an envelope, or it does not.

    Parameters
    ----------
    server, changes
        What is served, and who tells of changed tools.
    reader, writer
        The pipes.
    """

    def __init__(
        self, server: McpServer, changes: ToolChanges, reader: LineReader, writer: LineWriter
    ) -> None:
        self._server = server
        self._changes = changes
        self._reader = reader
        self._writer = writer
        self._era: Era | None = None
        self._has_shaken_hands = False
        self._listener: asyncio.Task[None] | None = None
        """What tells a client that began with a handshake of changes."""
        self._running: set[_Running] = set()
        self._by_id: dict[RequestId | None, _Running] = {}
        """Of two with the same id, the later one: that is the one which can be cancelled."""
        self._settled = asyncio.Event()

    async def run(self) -> None:
        """Answer until the input ends, and cancel what is still running a second later."""
        try:
            while (line := await self._read()) is not None:
                if line:
                    self._take(line)
                # What was begun goes as far as it can, before the next message is looked at.
                await asyncio.sleep(0)
                # A client that takes no answers is not asked for more requests.
                await self._writer.ready()
            if not self._writer.is_closed:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._all_settled(), GRACE)
        finally:
            self._stop()
            # What was cancelled may still print, which must not follow on standard output.
            await asyncio.sleep(0)
        await self._writer.flushed()

    async def _read(self) -> bytes | None:
        """Return the next line, empty if it is refused; None after the last."""
        try:
            line = await self._reader.read()
        except LineTooLongError:
            self._refuse(None, ProtocolError(INVALID_REQUEST, "The line is too long"))
            return b""
        return None if line is None else line.strip()

    async def _all_settled(self) -> None:
        while any(running.is_call for running in self._running):
            self._settled.clear()
            await self._settled.wait()

    def _stop(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
        closed = ProtocolError(CONNECTION_CLOSED, "Connection closed")
        for running in list(self._running):
            self._forget(running)
            running.cancel()
            if running.is_call:
                self._refuse(running.request_id, closed)

    def _take(self, line: bytes) -> None:
        """Do what a line says; whatever comes of it, the conversation goes on."""
        try:
            self._receive(line)
        except Exception:
            logger.exception("cannot answer a message")

    def _receive(self, line: bytes) -> None:
        try:
            message = read(line)
        except StrictJsonError as error:
            request_id = _request_id(line)
            if request_id is not None:
                self._refuse(request_id, ProtocolError(PARSE_ERROR, f"Parse error: {error}"))
            return
        except NotAMessageError as error:
            # It cannot be answered without an id.
            logger.debug("dropped a line that is not a message: %s", error)
            return
        if message.method is UNSET:
            return  # an answer, and the server asks for nothing
        if message.request_id is None:
            self._notice(message)
            return
        try:
            self._answer(message, message.request_id)
        except Exception as error:
            self._write(protocol_error(message.request_id, error))

    def _notice(self, message: Message) -> None:
        """Do what a notification says."""
        if message.method == "notifications/cancelled":
            request_id = (message.params or {}).get("requestId")
            if isinstance(request_id, (int, str)) and not isinstance(request_id, bool):
                running = self._by_id.get(_correlated(request_id))
                if running is not None:
                    self._forget(running)
                    running.cancel()
        elif (
            message.method == "notifications/initialized"
            and self._has_shaken_hands
            and self._listener is None
        ):
            self._listener = asyncio.create_task(self._tell(lambda: CHANGED))

    def _answer(self, message: Message, request_id: RequestId) -> None:
        """Answer a request, or begin to.

        Raises
        ------
        ProtocolError
            It is refused.
        """
        era = self._agree_on(message)
        params = typed_params(era, message)
        if era is HANDSHAKE and not self._has_shaken_hands and message.method not in _EXEMPT:
            raise ProtocolError(INVALID_PARAMS, "Begin with the initialize handshake", "")
        if isinstance(params, ListenParams):
            self._listen(Listening(request_id, params), request_id)
        elif isinstance(params, CallParams):
            call = self._server.call(era, request_id, params, LOCAL)
            if isinstance(call, Reply):
                self._write(call)
            else:
                self._call(call)
        else:
            self._write(self._server.reply(era, message, params, LOCAL, pushes=True))
            self._has_shaken_hands |= message.method == "initialize"

    def _agree_on(self, message: Message) -> Era:
        """Return the era, which the first request decides and no later one changes.

        Raises
        ------
        ProtocolError
            The request is one of the other era, or of a version that is not known.
        """
        is_enveloped = isinstance(message.meta, dict) and VERSION_KEY in message.meta
        begins = message.method == "initialize"
        if self._era is None:
            self._era = MODERN if is_enveloped and not begins else HANDSHAKE
        if self._era is MODERN and begins:
            requested = (message.params or {}).get("protocolVersion")
            raise unsupported(requested if isinstance(requested, str) else "")
        if self._era is MODERN:
            check_envelope(message)
        elif is_enveloped and not begins:
            said = "this connection began with a handshake; leave the envelope out of _meta"
            raise ProtocolError(INVALID_REQUEST, said)
        return self._era

    def _call(self, call: Call) -> None:
        running = _Running(call.request_id, is_call=True)

        def ended(run: Run) -> None:
            self._write(self._server.outcome(call, run.outcome))
            self._forget(running)

        invocation = call.invocation
        if call.params.token is not None and call.is_streaming:
            invocation = call.with_client(emit=reporter(call.params.token, self._send))
        run = self._server.runtime.start(invocation, ended)
        if not run.ended:
            self._remember(running, run.give_up)

    def _listen(self, listening: Listening, request_id: RequestId) -> None:
        subscription = self._changes.subscribe()
        self._writer.write(listening.acknowledgement() + b"\n")
        task = asyncio.create_task(self._tell(listening.notice, subscription, listening.farewell))
        running = _Running(request_id, is_call=False)
        self._remember(running, task.cancel)
        task.add_done_callback(lambda _: self._forget(running))

    def _remember(self, running: _Running, cancel: Callable[[], object]) -> None:
        running.cancel = cancel
        self._running.add(running)
        self._by_id[_correlated(running.request_id)] = running

    def _forget(self, running: _Running) -> None:
        key = _correlated(running.request_id)
        self._running.discard(running)
        if self._by_id.get(key) is running:
            del self._by_id[key]
        self._settled.set()

    async def _tell(
        self,
        notice: Callable[[], bytes | None],
        subscription: Subscription | None = None,
        farewell: Callable[[], Reply] | None = None,
    ) -> None:
        """Tell the client of changes until there will be no more of them."""
        told = self._changes.subscribe() if subscription is None else subscription
        try:
            while not told.ended:
                message = notice() if await told.changed() else None
                if message is not None:
                    await self._send(message)
            if farewell is not None:
                self._write(farewell())
        finally:
            self._changes.unsubscribe(told)

    async def _send(self, message: bytes) -> None:
        """Write a message, and wait while the client takes none."""
        self._writer.write(message + b"\n")
        await self._writer.ready()

    def _write(self, reply: Reply) -> None:
        self._writer.write(reply.body + b"\n")

    def _refuse(self, request_id: RequestId | None, error: ProtocolError) -> None:
        self._write(error_reply(request_id, error))


class _Running:
    """What is running for a request."""

    def __init__(self, request_id: RequestId | None, *, is_call: bool) -> None:
        self.request_id = request_id
        self.is_call = is_call
        self.cancel: Callable[[], object] = partial(bool)


def _correlated(request_id: RequestId | None) -> RequestId | None:
    """Return what tells ids apart: some clients cancel as ``"7"`` what they sent as ``7``."""
    try:
        return request_id if request_id is None else int(request_id)
    except ValueError:
        return request_id


def _request_id(line: bytes) -> RequestId | None:
    """Return the id of a request that cannot be read strictly; None if it cannot be answered."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or "method" not in message:
        return None
    request_id = message.get("id")
    if not isinstance(request_id, (int, str)) or isinstance(request_id, bool):
        return None
    try:
        encode(request_id)
    except UnicodeEncodeError:
        return None
    return request_id
