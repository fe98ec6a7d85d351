"""Plain calls of tools over HTTP: one POST each, of the era without handshakes.

Its headers are those that belong to it, and none of its arguments is mirrored in others.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kaizen_nexus.channels.body import until_disconnected
from kaizen_nexus.channels.callers import caller_of
from kaizen_nexus.channels.mcp.plain import METHOD, Call, PlainCalls
from kaizen_nexus.channels.mcp.sdk.surface import INVALID_PARAMS

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from kaizen_nexus.channels.mcp.sdk.surface import Plain
    from kaizen_nexus.channels.mcp.server import Methods
    from kaizen_nexus.runtime.callers import Caller

__all__ = ["PlainRequests", "again"]

_ACCEPT = frozenset(
    {
        b"*/*",
        b"application/json",
        b"application/json, text/event-stream",
        b"application/json,text/event-stream",
        b"text/event-stream, application/json",
    }
)
_JSON = (b"content-type", b"application/json")


class PlainRequests:
    """Answers plain calls.

    Parameters
    ----------
    plain
        What the SDK says is plain.
    methods
        What calls tools.
    max_body
        How many bytes a request body may have.
    """

    def __init__(self, plain: Plain, methods: Methods, max_body: int) -> None:
        self._calls = PlainCalls(plain, methods)
        self._max_body = max_body
        self._expected = {
            b"mcp-protocol-version": plain.version.encode(),
            b"mcp-method": METHOD.encode(),
        }

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> Receive | None:
        """Answer a request if it is a plain call; if not, return where to receive it from."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if not self._are_plain(headers, len(scope["headers"])) or self._calls.are_observed():
            return receive
        message = await receive()
        caller = caller_of(scope)
        call = self._read(message, caller)
        if call is None or headers.get(b"mcp-name") != call.params.name.encode():
            return again(message, receive)
        gone = partial(until_disconnected, receive)
        body, error = await self._calls.answer(call, caller, gone)
        status = 400 if error == INVALID_PARAMS else 200
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": status, "headers": [_JSON, length]})
        await send({"type": "http.response.body", "body": body})
        return None

    def _are_plain(self, headers: dict[bytes, bytes], number: int) -> bool:
        return (
            len(headers) == number  # none comes twice
            and headers.get(b"accept") in _ACCEPT
            and headers.get(b"content-type", b"").startswith(b"application/json")
            and self._expected.items() <= headers.items()
        )

    def _read(self, message: Message, caller: Caller) -> Call | None:
        """Return the call that a message is the whole of, if it is one and plain."""
        if message["type"] != "http.request" or message.get("more_body", False):
            return None
        body: bytes = message.get("body", b"")
        return None if len(body) > self._max_body else self._calls.read(body, caller)


def again(message: Message, receive: Receive) -> Receive:
    """Return a `receive` that begins with a message that was received already."""
    received = [message]

    async def resume() -> Message:
        return received.pop() if received else await receive()

    return resume
