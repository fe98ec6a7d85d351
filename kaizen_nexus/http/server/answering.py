"""One write for an answer: its head and its body together.

uvicorn writes the head when an answer begins and the body when that comes. For a small answer the
second system call, and looking at each header on its own, is the larger part of what it costs.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from kaizen_nexus.http.problems import problem_of
from kaizen_nexus.runtime.errors import ShuttingDownError

__all__ = ["AnswerCycle"]

MAX_JOINED = 64 * 1024
"""How long a body may be in bytes to be copied behind its head."""

MAX_FAMILIAR = 256
"""How many names of headers are remembered that say nothing of how an answer is framed."""

_LENGTH = b"content-length"
_OF_FRAMING = frozenset({b"", b"connection", b"transfer-encoding"})
_IN_NAMES = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
_IN_VALUES = bytes({*range(0x20, 0x100), ord("\t")} - {0x7F})
_FAMILIAR: set[bytes] = set()


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

    async def send_500_response(self) -> None:
        """Answer a request that the app has left without: it failed, or was cancelled.

        What is cancelled here did not end before the server had to.
        """
        cancelled = isinstance(sys.exc_info()[1], asyncio.CancelledError)
        problem, _ = problem_of(ShuttingDownError() if cancelled else Exception())
        problem.headers["Connection"] = "close"
        await self.send(
            {
                "type": "http.response.start",
                "status": problem.status_code,
                "headers": problem.raw_headers,
            }
        )
        await self.send({"type": "http.response.body", "body": bytes(problem.body)})

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
    known = dict(headers)
    if (
        len(known) != len(headers)
        or not (_FAMILIAR.issuperset(known) or _are_plain(known))
        or known.get(b"content-length") != b"%d" % size
    ):
        return None
    fields = b"".join([b"%b: %b\r\n" % header for header in headers])
    # What remains without what may be in a value: so no header brings another one along.
    return None if fields.translate(None, _IN_VALUES) != b"\r\n" * len(headers) else fields


def _are_plain(names: Collection[bytes]) -> bool:
    """Whether they are names in lower case, none of which says how the answer is framed."""
    if not _OF_FRAMING.isdisjoint(names) or b"".join(names).translate(None, _IN_NAMES):
        return False
    if len(_FAMILIAR) < MAX_FAMILIAR:
        _FAMILIAR.update(names)
    return True


def _says_its_length(start: Any) -> bool:
    return _LENGTH in dict(start.get("headers", ()))
