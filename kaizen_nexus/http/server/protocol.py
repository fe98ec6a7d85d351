"""HTTP/1.1 parsed strictly: bounded heads, and no doubt about where a message ends.

uvicorn's protocol on llhttp, with what both leave open: a message whose end two readers could see
at different places is refused, and its connection closed, before the app sees it.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import httptools

from kaizen_nexus.http.server.connection import Connection, Part
from kaizen_nexus.http.server.heads import RefusedError, check_head

__all__ = ["Http1Protocol"]

logger = logging.getLogger(__name__)

SLICE = 16 * 1024
"""Bytes that are parsed at once, so that limits are noticed within one read of the socket."""

CHUNK_OVERHEAD = 16 * 1024
"""Bytes that a chunked body may have besides 8 for each of its own: chunks of one byte have 5."""


class Http1Protocol(Connection):
    """One connection whose requests uvicorn answers; `protocol_class` makes the class."""

    received: ClassVar[memoryview]
    """What has just arrived on one of the server's connections, until it has been parsed. Memory of
    its own for each piece, as other protocols have, adds up to megabytes that the allocator keeps.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._body_bytes = 0
        self._length = 0
        """The ``Content-Length`` of the body that arrives."""
        self._ignored = 0
        self._trailers_size = 0

    # --- what arrives ---

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.received

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(self.received[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        if self._deaf or self.transport.is_closing():
            return
        try:
            if len(data) <= SLICE or self._is_all_body(len(data)):
                self._parse(data)
            else:
                self._parse_slices(data)
        except RefusedError as refusal:
            self._refuse(refusal)
        else:
            self._watch()

    def _is_all_body(self, size: int) -> bool:
        """Whether `size` further bytes are all within a body whose length was declared."""
        return self._part is Part.BODY and size <= self._length - self._body_bytes

    def _parse_slices(self, data: bytes | memoryview) -> None:
        with memoryview(data) as view:
            for start in range(0, len(view), SLICE):
                if self._deaf:
                    break
                self._parse(view[start : start + SLICE])

    def _parse(self, piece: bytes | memoryview) -> None:
        if self._part is not Part.BODY:
            self._head_bytes += len(piece)
            if self._head_bytes > self.limits.head_size + SLICE:
                raise RefusedError(431, "the head of the request is too long")
        else:
            self._raw_bytes += len(piece)
            if self._raw_bytes > CHUNK_OVERHEAD + 8 * self._body_bytes + len(piece):
                raise RefusedError(400, "the chunks of the body are too small")
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            # Answer as if it had not asked for another protocol; what follows is not HTTP/1.
            self.cycle.keep_alive = False
            self._deaf = True
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, RefusedError):
                raise error.__context__ from None
            raise RefusedError(400, "the request is malformed") from error
        except httptools.HttpParserError as error:
            raise RefusedError(400, f"the request is malformed: {error}") from None
        if self._part is Part.HEAD:
            self._check_size()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= self.limits.pipelined:
            raise RefusedError(429, "too many requests at once on one connection")
        super().on_message_begin()
        self._part = Part.HEAD
        self._trailers_size = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.limits.request_line:
            raise RefusedError(414, "the target of the request is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._part is Part.BODY:  # a trailer field: headers are what came before the body
            self._trailers_size += _size(name, value)
            if self._trailers_size > self.limits.head_size:
                raise RefusedError(431, "the trailers of the request are too long")
            return
        # uvicorn's code, rather than a call of it for each header.
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
        self._length = int(dict(self.headers).get(b"content-length", 0))
        self.waiting.pop(self, None)
        if self._timed is not None:
            self._set_timer(None, 0)
        self._part = Part.BODY
        self._head_bytes = self._raw_bytes = self._body_bytes = self._ignored = 0
        self._raw_bytes_before = 0

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self.cycle.response_complete:
            self._ignored += len(body)
            if self._ignored > self.limits.ignored_body:
                raise RefusedError(413, "the request has been answered, but its body goes on")
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._part = Part.START
        super().on_message_complete()

    def on_response_complete(self) -> None:
        more = bool(self.pipeline)
        if more or self.transport.is_closing():
            super().on_response_complete()
        else:
            # What uvicorn does, but without a new timer for each request.
            self.server_state.total_requests += 1
            self.flow.resume_reading()
            self._wait_for_another()
        if self.transport.is_closing() or (self._deaf and not more):
            self._close()
        elif not self.answering:
            self.waiting[self] = None

    # --- refusals ---

    def _refuse(self, refusal: RefusedError) -> None:
        """Refuse the message that is being received, and ignore all that follows it.

        Valid messages before it still get their answers. If one of them is being answered, the
        connection is closed after that instead of a refusal.
        """
        self._deaf = True
        self.waiting.pop(self, None)
        self._set_timer(None, 0)
        logger.info("refused a request of %s: %s", self.client, refusal)
        if self._part is not Part.BODY:
            if not self.answering:
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


def _size(name: bytes, value: bytes) -> int:
    """Return how many bytes a header has at least."""
    return len(name) + len(value) + len(b": \r\n")
