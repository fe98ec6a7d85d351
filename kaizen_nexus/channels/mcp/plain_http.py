"""Plain calls of tools over HTTP: one POST each.

Its headers are those that belong to it in its era, and none of its arguments is mirrored in others.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kaizen_nexus.channels.mcp.plain import METHOD, Call, PlainCalls
from kaizen_nexus.channels.mcp.sdk.surface import INVALID_PARAMS
from kaizen_nexus.http.body import is_declared_longer, until_disconnected
from kaizen_nexus.http.credentials import caller_of

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from kaizen_nexus.access.callers import Caller
    from kaizen_nexus.channels.mcp.sdk.surface import Server
    from kaizen_nexus.channels.mcp.server import Methods

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
_VERSION = b"mcp-protocol-version"
_METHOD = b"mcp-method"
_NAME = b"mcp-name"
_JSON = (b"content-type", b"application/json")


class PlainRequests:
    """Answers plain calls.

    Parameters
    ----------
    server
        Says what is plain.
    methods
        What calls tools.
    max_body
        How many bytes a request body may have.
    """

    def __init__(self, server: Server, methods: Methods, max_body: int) -> None:
        self._server = server
        self._methods = methods
        self._max_body = max_body
        self._modern = b""
        self._calls: dict[bytes, PlainCalls] = {}
        """By the version of the protocol."""
        if server.plain is not None:
            self._modern = server.plain.version.encode()
            self._calls[self._modern] = PlainCalls(server.plain, methods)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> Receive | None:
        """Answer a request if it is a plain call; if not, return where to receive it from."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        calls = self._calls_of(headers, len(scope["headers"]))
        if (
            calls is None
            or calls.are_observed()
            # That is answered without waiting for any of it.
            or is_declared_longer(headers.get(b"content-length"), self._max_body)
        ):
            return receive
        message = await receive()
        caller = caller_of(scope)
        call = self._read(calls, message, caller)
        if call is None:
            return again(message, receive)
        name, is_modern = headers.get(_NAME), headers[_VERSION] == self._modern
        if is_modern and name != call.params.name.encode():
            return again(message, receive)
        # Before, the protocol had it that who hangs up does not cancel.
        gone = partial(until_disconnected, receive) if is_modern else None
        body, error = await calls.answer(call, caller, gone)
        status = 400 if is_modern and error == INVALID_PARAMS else 200
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": status, "headers": [_JSON, length]})
        await send({"type": "http.response.body", "body": body})
        return None

    def _calls_of(self, headers: dict[bytes, bytes], number: int) -> PlainCalls | None:
        """Return what reads and answers plain calls that have these headers, if there are any."""
        version = headers.get(_VERSION, b"")
        method = METHOD.encode() if version == self._modern else None
        if (
            len(headers) != number  # one comes twice
            or headers.get(_METHOD) != method
            or headers.get(b"accept") not in _ACCEPT
            or headers.get(b"content-type", b"").partition(b";")[0] != b"application/json"
        ):
            return None
        calls = self._calls.get(version)
        if calls is None:
            plain = self._server.plain_after(version.decode("latin-1"))
            if plain is not None:
                calls = self._calls[version] = PlainCalls(plain, self._methods)
        return calls

    def _read(self, calls: PlainCalls, message: Message, caller: Caller) -> Call | None:
        """Return the call that a message is the whole of, if it is one and plain."""
        if message["type"] != "http.request" or message.get("more_body", False):
            return None
        body: bytes = message.get("body", b"")
        return None if len(body) > self._max_body else calls.read(body, caller)


def again(message: Message, receive: Receive) -> Receive:
    """Return a `receive` that begins with a message that was received already."""
    received = [message]

    async def resume() -> Message:
        return received.pop() if received else await receive()

    return resume
