"""HTTP/1.1 as it comes from strangers: bounded heads, bodies in good time, no doubtful framing.

uvicorn's protocol on llhttp, which parses strictly, with what both leave open: a message whose end
two readers could see at different places is refused, and its connection closed, before the app
hears of it. What a client sends slowly, or does not send at all, costs one connection for a
bounded time.
"""

from __future__ import annotations

import logging
from asyncio import BufferedProtocol, TimerHandle, Transport
from enum import Enum
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from kaizen_nexus.http.problems import problem_response
from kaizen_nexus.http.server.answering import AnswerCycle
from kaizen_nexus.http.server.heads import RefusedError, check_head
from kaizen_nexus.http.server.limits import HttpLimits

__all__ = ["limited_protocol"]

logger = logging.getLogger(__name__)

READ = 64 * 1024
"""Bytes that are received at once."""

SLICE = 16 * 1024
"""Bytes that are parsed at once, so that limits are noticed within one read of the socket."""

CHUNK_OVERHEAD = 16 * 1024
"""Bytes that a chunked body may have besides 8 for each of its own: chunks of one byte have 5."""


class _Part(Enum):
    """What of a message comes next."""

    START = "start"
    HEAD = "head"
    BODY = "body"


class Http1Protocol(HttpToolsProtocol, BufferedProtocol):
    """One connection; `limited_protocol` makes the class for one server."""

    limits: ClassVar[HttpLimits]
    received: ClassVar[memoryview]
    """What has just arrived on one of the server's connections, until it has been parsed. Memory of
    its own for each piece, as other protocols have, adds up to megabytes that the allocator keeps.
    """
    waiting: ClassVar[dict[Http1Protocol, None]]
    """The server's connections on which no request is being answered, the oldest first."""

    transport: Transport

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._part = _Part.START
        self._head_bytes = 0
        self._raw_bytes = 0
        self._body_bytes = 0
        self._ignored = 0
        self._trailers_size = 0
        self._raw_bytes_before = 0
        self._timer: TimerHandle | None = None
        self._timed: _Part | None = None
        self._deaf = False
        """Whether nothing that still arrives matters, as the connection is to be closed."""
        self._stalled: TimerHandle | None = None
        self._idle: TimerHandle | None = None
        self._idle_since = 0.0

    # --- the connection ---

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections and not self._make_room():
            self._deaf = True
            self._answer(RefusedError(503, "too many connections"))
            self._close()
            return
        self.waiting[self] = None
        self._watch()

    def _make_room(self) -> bool:
        """Reset whoever has been waiting longest, and return whether there was anybody."""
        oldest = next(iter(self.waiting), None)
        if oldest is None:
            return False
        del self.waiting[oldest]
        oldest.transport.abort()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.waiting.pop(self, None)
        self._set_timer(None, 0)
        if self._idle is not None:
            self._idle.cancel()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self.limits.write_timeout, self._abort)

    def resume_writing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def shutdown(self) -> None:
        super().shutdown()
        if self.transport.is_closing():
            self._close()

    def _close(self) -> None:
        """Close once everything is written, or the client has had the time to read it."""
        if not self.transport.is_closing():
            self.transport.close()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(self.limits.write_timeout, self._abort)

    def _abort(self) -> None:
        """Reset the connection, unless it has come to its end meanwhile."""
        if self in self.connections:
            self.transport.abort()

    # --- what arrives ---

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.received

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(self.received[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        if self._deaf or self.transport.is_closing():
            return
        try:
            if len(data) <= SLICE:
                self._parse(data)
            else:
                self._parse_slices(data)
        except RefusedError as refusal:
            self._refuse(refusal)
        else:
            self._watch()

    def _parse_slices(self, data: bytes | memoryview) -> None:
        with memoryview(data) as view:
            for start in range(0, len(view), SLICE):
                if self._deaf:
                    break
                self._parse(view[start : start + SLICE])

    def _parse(self, piece: bytes | memoryview) -> None:
        if self._part is not _Part.BODY:
            self._head_bytes += len(piece)
            if self._head_bytes > self.limits.head_size + SLICE:
                raise RefusedError(431, "the head of the request is too long")
        else:
            self._raw_bytes += len(piece)
            if self._raw_bytes > CHUNK_OVERHEAD + 8 * self._body_bytes + len(piece):
                raise RefusedError(400, "the chunks of the body are hardly filled")
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            # The request is answered as if it had not asked; what follows it is not HTTP/1.
            self.cycle.keep_alive = False
            self._deaf = True
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, RefusedError):
                raise error.__context__ from None
            raise RefusedError(400, "the request is malformed") from error
        except httptools.HttpParserError as error:
            raise RefusedError(400, f"the request is malformed: {error}") from None
        if self._part is _Part.HEAD:
            self._check_size()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= self.limits.pipelined:
            raise RefusedError(429, "too many requests at once on one connection")
        super().on_message_begin()
        self._part = _Part.HEAD
        self._trailers_size = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.limits.request_line:
            raise RefusedError(414, "the target of the request is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._part is _Part.BODY:  # a trailer field: headers are what came before the body
            self._trailers_size += _size(name, value)
            if self._trailers_size > self.limits.head_size:
                raise RefusedError(431, "the trailers of the request are too long")
            return
        # As uvicorn does, without a further call for each header.
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def _check_size(self) -> None:
        """Refuse a head that has become too long, looked at once for all headers in a piece."""
        if len(self.headers) > self.limits.header_count:
            raise RefusedError(431, f"more than {self.limits.header_count} headers")
        # It began at most one piece before those that were counted for it.
        if self._head_bytes + SLICE > self.limits.head_size:
            size = len(self.url) + sum(_size(name, value) for name, value in self.headers)
            if size > self.limits.head_size:
                raise RefusedError(431, "the head of the request is too long")

    def on_headers_complete(self) -> None:
        self._check_size()
        check_head(
            self.parser.get_http_version(),
            self.parser.get_method(),
            self.url,
            self.headers,
            upgrades=self.parser.should_upgrade(),
        )
        super().on_headers_complete()
        if type(self.cycle) is RequestResponseCycle:
            # Its task has not begun; uvicorn has no place to name another class.
            self.cycle.__class__ = AnswerCycle
        self.waiting.pop(self, None)
        if self._timed is not None:
            self._set_timer(None, 0)
        self._part = _Part.BODY
        self._head_bytes = self._raw_bytes = self._body_bytes = self._ignored = 0
        self._raw_bytes_before = 0

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self.cycle.response_complete:
            self._ignored += len(body)
            if self._ignored > self.limits.ignored_body:
                raise RefusedError(413, "the request is answered, and its body goes on")
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._part = _Part.START
        super().on_message_complete()

    def on_response_complete(self) -> None:
        more = bool(self.pipeline)
        if more or self.transport.is_closing():
            super().on_response_complete()
        else:
            # As uvicorn does, but for its timer, of which it makes one for every request.
            self.server_state.total_requests += 1
            self.flow.resume_reading()
            self._wait_for_another()
        if self.transport.is_closing() or (self._deaf and not more):
            self._close()
        elif not self._answering():
            self.waiting[self] = None

    # --- time ---

    def _answering(self) -> bool:
        return bool(self.pipeline) or (self.cycle is not None and not self.cycle.response_complete)

    def _watch(self) -> None:
        """Have a timer run for what the client has to send next, if anything."""
        part: _Part | None = self._part
        if part is _Part.START:
            part = None if self._answering() else _Part.HEAD
        if part is self._timed:
            return
        if part is None:
            self._set_timer(None, 0)
        elif part is _Part.BODY:
            self._set_timer(part, self.limits.body_interval)
        else:
            self._set_timer(part, self.limits.head_timeout)

    def _wait_for_another(self) -> None:
        """Have the connection closed if nothing comes on it for long."""
        self._idle_since = self.loop.time()
        if self._idle is None:
            self._idle = self.loop.call_later(self.limits.keep_alive, self._nothing_came)

    def _nothing_came(self) -> None:
        """Close, unless something has come since the timer was set; then see to it later."""
        self._idle = None
        if self._timed is not None or self._answering():
            return
        due = self._idle_since + self.limits.keep_alive
        if self.loop.time() < due:
            self._idle = self.loop.call_at(due, self._nothing_came)
        else:
            self._close()

    def _set_timer(self, part: _Part | None, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timed = part
        if part is not None:
            self._timer = self.loop.call_later(seconds, self._time_is_up)

    def _time_is_up(self) -> None:
        part, self._timer = self._timed, None
        self._timed = None
        if part is _Part.BODY:
            progress = self._raw_bytes - self._raw_bytes_before
            self._raw_bytes_before = self._raw_bytes
            if self.flow.read_paused or progress >= self.limits.body_progress:
                self._watch()
            else:
                self._refuse(RefusedError(408, "the body of the request comes too slowly"))
        elif self._part is _Part.HEAD:
            self._refuse(RefusedError(408, "the head of the request took too long"))
        else:
            self._close()

    # --- refusals ---

    def _refuse(self, refusal: RefusedError) -> None:
        """Answer the message that is being received, unless it has an answer, and hear no more.

        Messages before it, which were in order, still get their answers; no other one gets any.
        """
        self._deaf = True
        self.waiting.pop(self, None)
        self._set_timer(None, 0)
        logger.info("refused a request of %s: %s", self.client, refusal)
        if self._part is not _Part.BODY:
            if not self._answering():
                self._answer(refusal)
                self._hang_up()
        elif self.pipeline and self.pipeline[0][0] is self.cycle:
            self.pipeline.popleft()
        else:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if not self.cycle.response_started:
                self._answer(refusal)
            self._hang_up()

    def _answer(self, refusal: RefusedError) -> None:
        answer = problem_response(
            refusal.status, detail=refusal.detail, headers={"Connection": "close"}
        )
        headers = [*self.server_state.default_headers, *answer.raw_headers]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        head = STATUS_LINE[refusal.status] + lines + b"\r\n"
        self.transport.write(head + bytes(answer.body))

    def _hang_up(self) -> None:
        """Close, but read on for a moment: a reset would overtake the answer."""
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.loop.call_later(self.limits.linger, self._abort)
        else:
            self._close()


def _size(name: bytes, value: bytes) -> int:
    """Return how many bytes a header has at least."""
    return len(name) + len(value) + len(b": \r\n")


def limited_protocol(limits: HttpLimits) -> type[Http1Protocol]:
    """Return the protocol class for the connections of one server."""
    own = {"limits": limits, "received": memoryview(bytearray(READ)), "waiting": {}}
    return type("Http1Protocol", (Http1Protocol,), own)
