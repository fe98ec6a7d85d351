"""One write for an answer: its head and its body together.

uvicorn writes the head when an answer begins and the body when that comes. For a small answer the
second system call, and looking at each header on its own, is the larger part of what it costs.
"""

from __future__ import annotations

import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

__all__ = ["AnswerCycle"]

MAX_JOINED = 64 * 1024
"""How long a body may be in bytes to be copied behind its head."""

_FIELDS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9a-z]+: [\t\x20-\x7e\x80-\xff]*\r\n)*")
_OF_FRAMING = frozenset({b"connection", b"transfer-encoding"})


class AnswerCycle(RequestResponseCycle):
    """Answers one request as its base class does, byte for byte.

    The head of an answer that says how long it is waits for the body. Where they are one message
    each and nothing is unusual, both are written at once; the base class does all the rest.
    """

    start: Any = None
    """The head that waits."""

    async def send(self, message: Any) -> None:
        """Take a message from the app."""
        if message["type"] == "http.response.start":
            if self.response_started or not _says_its_length(message):
                await super().send(message)
            else:
                self.start = message
            return
        start, self.start = self.start, None
        if start is not None:
            if self._write_at_once(start, message):
                return
            await super().send(start)
        await super().send(message)

    def _write_at_once(self, start: Any, message: Any) -> bool:
        """Write the whole answer, unless there is something special about it."""
        if (
            message["type"] != "http.response.body"
            or message.get("more_body", False)
            or self.disconnected
            or self.flow.write_paused
            or self.access_log
            or not self.keep_alive
            or self.scope["method"] == "HEAD"
        ):
            return False
        body: bytes = message.get("body", b"")
        fields = _fields([*self.default_headers, *start["headers"]], len(body))
        if fields is None:
            return False
        self.response_started = True
        self.waiting_for_100_continue = False
        head = b"%b%b\r\n" % (STATUS_LINE[start["status"]], fields)
        if len(body) <= MAX_JOINED:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.transport.write(body)
        self.response_complete = True
        self.message_event.set()
        self.on_response()
        return True


def _fields(headers: list[tuple[bytes, bytes]], size: int) -> bytes | None:
    """Return the lines of a head whose body has `size` bytes; None if uvicorn should see to it."""
    lines = []
    length = None
    for name, value in headers:
        if name in _OF_FRAMING or (name == b"content-length" and length is not None):
            return None
        if name == b"content-length":
            length = value
        lines.append(b"%b: %b\r\n" % (name, value))
    fields = b"".join(lines)
    # As many lines as there are headers, so that none brings another one along.
    valid = fields.count(b"\n") == len(lines) and _FIELDS.fullmatch(fields) is not None
    return fields if valid and length == b"%d" % size else None


def _says_its_length(start: Any) -> bool:
    return any(name == b"content-length" for name, _ in start.get("headers", ()))
