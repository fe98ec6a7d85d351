"""A connection with a fast lane beside the general way."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from kaizen_nexus.http.problems import problem_of
from kaizen_nexus.http.rate_limit import Taken, counted_by
from kaizen_nexus.http.server.connection import Part
from kaizen_nexus.http.server.lane import Lane, LaneRun, respond_with
from kaizen_nexus.http.server.limits import HttpLimits
from kaizen_nexus.http.server.protocol import Http1Protocol
from kaizen_nexus.runtime.errors import ShuttingDownError

__all__ = ["LaneProtocol", "protocol_class"]

logger = logging.getLogger(__name__)

READ = 256 * 1024
"""Bytes that are received at once."""

MAX_KEPT = 64 * 1024
"""Bytes that may arrive behind a request that is being answered before reading is paused."""

MAX_JOINED = 64 * 1024
"""Bytes that a body may have to be copied behind its head, and both written at once."""

CLOSE = (b"connection", b"close")


class LaneProtocol(Http1Protocol):
    """One connection, whose ordinary requests are answered by the handlers of a lane."""

    lane: ClassVar[Lane]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_lane = False
        """Whether a request of the lane is being answered."""
        self._run: LaneRun | None = None
        """What runs for it."""
        self._last = False
        """Whether the connection is to be closed after the answer."""
        self._taken: Taken | None = None
        """What came of counting it under the rate limit."""
        self._kept = bytearray()
        """What has arrived behind it."""

    # --- what arrives ---

    def data_received(self, data: bytes | memoryview) -> None:
        if self._in_lane:
            self._keep(data)
            return
        cycle = self.cycle
        # Whether a request that arrives now is the only one, and nothing is to be done besides.
        is_between_requests = (
            self._part is Part.START
            and self._head_bytes == 0  # of empty lines before a request
            and (cycle is None or cycle.response_complete)
            and not self._deaf
            and not self.pipeline
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )
        if not is_between_requests or not self._begin(bytes(data)):
            super().data_received(data)

    def _begin(self, data: bytes) -> bool:
        """Begin to answer the request that `data` is, if it is one for the lane."""
        found = self.lane.recognise(data, self.limits)
        if found is None:
            return False
        request, handler = found
        self._in_lane = True
        if self._timed is not None:
            self._set_timer(None, 0)  # the head is here
        try:
            if self.lane.take is not None:
                self._taken = self.lane.take(request.caller, self.client)
                if self._taken.refusal is not None:
                    respond_with(self._respond, self._taken.refusal)
                    return True
            run = handler.begin(request, self._respond)
        except Exception as error:
            logger.exception("cannot answer %s %s", request.method, request.path)
            self._last = True
            respond_with(self._respond, problem_of(error)[0])
            return True
        if self._in_lane:
            if run is None:
                self._in_lane = False
                return False
            self._run = run
            self.waiting.pop(self, None)
        return True

    def _keep(self, data: bytes | memoryview) -> None:
        self._kept += data
        if len(self._kept) > MAX_KEPT:
            self.flow.pause_reading()

    @property
    def answering(self) -> bool:
        return self._in_lane or super().answering

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._taken is not None:  # a handler of the lane has declined the request
            counted_by(self._taken, self.scope)  # type: ignore[arg-type]  # uvicorn's own type for it
            self._taken = None

    # --- the answer ---

    def _respond(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """Write the answer, and go on to what comes next."""
        if not self._in_lane:
            return
        self._in_lane = False
        self._run = None
        if self._taken is not None:
            headers = [*headers, *self._taken.headers]
            self._taken = None
        if not self.transport.is_closing():
            self._write(status, headers, body)
        self.server_state.total_requests += 1
        self.waiting.pop(self, None)
        if self._last:
            self._close()
            return
        self.waiting[self] = None
        self._wait_for_another()
        if self._kept:
            kept, self._kept = self._kept, bytearray()
            self.flow.resume_reading()
            super().data_received(bytes(kept))

    def _write(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        default = self.server_state.default_headers
        if CLOSE in headers or CLOSE in default:
            self._last = True
        elif self._last:
            headers = [*headers, CLOSE]
        lines = b"".join([b"%b: %b\r\n" % header for header in (*default, *headers)])
        number = len(default) + len(headers)
        if lines.count(b"\n") != number or lines.count(b"\r") != number:
            logger.error("an answer was withheld: one of its headers has a line break")
            self._last = True
            return
        head = b"%b%bcontent-length: %d\r\n\r\n" % (STATUS_LINE[status], lines, len(body))
        if len(body) <= MAX_JOINED:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.transport.write(body)

    # --- the end ---

    def connection_lost(self, exc: Exception | None) -> None:
        run, self._run = self._run, None
        self._in_lane = False
        self._kept.clear()
        super().connection_lost(exc)
        if run is not None:
            run.client_gone()

    def shutdown(self) -> None:
        if self._in_lane:
            self._last = True
        else:
            super().shutdown()

    def end_run(self) -> bool:
        run = self._run
        if run is None:
            return False
        run.give_up()
        self._last = True
        respond_with(self._respond, problem_of(ShuttingDownError())[0])
        return True


def protocol_class(limits: HttpLimits, lane: Lane | None) -> type[Http1Protocol]:
    """Return the class for the connections of one server.

    Parameters
    ----------
    limits
        What one connection may cost.
    lane
        What answers ordinary requests; None for the general way alone.
    """
    own = {"limits": limits, "received": memoryview(bytearray(READ)), "waiting": {}}
    if lane is None:
        return type("Http1Protocol", (Http1Protocol,), own)
    return type("LaneProtocol", (LaneProtocol,), {**own, "lane": lane})
