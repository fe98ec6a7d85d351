"""One connection of the HTTP/1.1 server: how many there are, and how long each may wait.

uvicorn has no limit for the time in which a head or a body arrives, nor for the time in which a
client reads its answer. Here each wait has one, so that a slow client costs one connection for a
bounded time.
"""

from __future__ import annotations

from asyncio import BufferedProtocol, TimerHandle, Transport
from enum import Enum
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from kaizen_nexus.http.problems import problem_response
from kaizen_nexus.http.server.heads import RefusedError
from kaizen_nexus.http.server.limits import HttpLimits

__all__ = ["Connection", "Part"]


class Part(Enum):
    """What of a message comes next."""

    START = "start"
    HEAD = "head"
    BODY = "body"


class Connection(HttpToolsProtocol, BufferedProtocol):
    """A connection with limits; `Http1Protocol` parses what arrives on it."""

    limits: ClassVar[HttpLimits]
    waiting: ClassVar[dict[Connection, None]]
    """The server's connections on which no request is being answered, the oldest first."""

    transport: Transport

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False  # as configured, whatever handlers the logger has got since
        self._part = Part.START
        self._raw_bytes = 0
        self._raw_bytes_before = 0
        self._deaf = False
        """Whether everything that still arrives is ignored, as the connection is to be closed."""
        self._timer: TimerHandle | None = None
        self._timed: Part | None = None
        self._stalled: TimerHandle | None = None
        self._idle: TimerHandle | None = None
        self._idle_since = 0.0

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
        """Reset the connection that has been idle longest; return whether there was one."""
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

    def end_run(self) -> bool:
        """End what runs for a request of the fast lane; return whether anything did."""
        return False

    def _close(self) -> None:
        """Close once all is written, or once the client has had its time to read it."""
        if not self.transport.is_closing():
            self.transport.close()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(self.limits.write_timeout, self._abort)

    def _abort(self) -> None:
        """Reset the connection, unless it was closed meanwhile."""
        if self in self.connections:
            self.transport.abort()

    def _hang_up(self) -> None:
        """Close the writing side, and read on for a moment: a reset could overtake the answer."""
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.loop.call_later(self.limits.linger, self._abort)
        else:
            self._close()

    def _answer(self, refusal: RefusedError) -> None:
        answer = problem_response(
            refusal.status, detail=refusal.detail, headers={"Connection": "close"}
        )
        headers = [*self.server_state.default_headers, *answer.raw_headers]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        head = STATUS_LINE[refusal.status] + lines + b"\r\n"
        self.transport.write(head + bytes(answer.body))

    # --- what has to come next, and by when ---

    @property
    def answering(self) -> bool:
        return bool(self.pipeline) or (self.cycle is not None and not self.cycle.response_complete)

    def _watch(self) -> None:
        """Start the timer for the part that the client has to send next, if any."""
        part: Part | None = self._part
        if part is Part.START:
            part = None if self.answering else Part.HEAD
        if part is self._timed:
            return
        if part is None:
            self._set_timer(None, 0)
        elif part is Part.BODY:
            self._set_timer(part, self.limits.body_interval)
        else:
            self._set_timer(part, self.limits.head_timeout)

    def _wait_for_another(self) -> None:
        """Close the connection later, unless another request arrives in time."""
        self._idle_since = self.loop.time()
        if self._idle is None:
            self._idle = self.loop.call_later(self.limits.keep_alive, self._nothing_came)

    def _nothing_came(self) -> None:
        """Close if the connection has been idle long enough; else look again later."""
        self._idle = None
        if self._timed is not None or self.answering:
            return
        due = self._idle_since + self.limits.keep_alive
        if self.loop.time() < due:
            self._idle = self.loop.call_at(due, self._nothing_came)
        else:
            self._close()

    def _set_timer(self, part: Part | None, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timed = part
        if part is not None:
            self._timer = self.loop.call_later(seconds, self._time_is_up)

    def _time_is_up(self) -> None:
        part, self._timer = self._timed, None
        self._timed = None
        if part is Part.BODY:
            progress = self._raw_bytes - self._raw_bytes_before
            self._raw_bytes_before = self._raw_bytes
            if self.flow.read_paused or progress >= self.limits.body_progress:
                self._watch()
            else:
                self._refuse(RefusedError(408, "the body of the request comes too slowly"))
        elif self._part is Part.HEAD:
            self._refuse(RefusedError(408, "the head of the request took too long"))
        else:
            self._close()

    def _refuse(self, refusal: RefusedError) -> None:
        """Answer the message that is being received, and ignore what follows it."""
        raise NotImplementedError
