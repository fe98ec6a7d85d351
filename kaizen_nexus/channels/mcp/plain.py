"""Plain calls of tools: those that can be answered without the SDK, as the SDK would.

A call is plain if it is one POST of the era without handshakes, with the headers that belong to it
and no argument mirrored in others, whose envelope says what it must and asks for nothing else. Of
anything that is not, or might not be, the SDK decides, which then reads the same request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from kaizen_nexus.channels.callers import caller_of
from kaizen_nexus.channels.mcp.sdk.surface import INVALID_PARAMS, Json, Plain, ProtocolError
from kaizen_nexus.channels.strict_json import LARGE, MAX_DEPTH, check_keys

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from kaizen_nexus.channels.mcp.server import Methods

__all__ = ["PlainCalls"]

MAX_ENVELOPES = 256
MAX_ENVELOPE = 4096
"""How many envelopes that were found valid are remembered, and how long they may be, in bytes."""

_METHOD = "tools/call"
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


class PlainCalls:
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
        self._plain = plain
        self._methods = methods
        self._max_body = max_body
        self._expected = {
            b"mcp-protocol-version": plain.version.encode(),
            b"mcp-method": _METHOD.encode(),
        }
        self._envelopes: set[bytes] = set()

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> Receive | None:
        """Answer a request if it is a plain call; if not, return where to receive it from."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if not self._are_plain(headers, len(scope["headers"])) or self._plain.observed():
            return receive
        message = await receive()
        call = self._read(message)
        if (
            call is None
            or headers.get(b"mcp-name") != call.params.name.encode()
            or not self._methods.is_plain(call.params.name, caller_of(scope))
        ):
            return again(message, receive)
        status, body = await self._call(call, scope)
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

    def _read(self, message: Message) -> _Call | None:
        """Return the call that a message is the whole of, if it is one and plain."""
        if message["type"] != "http.request" or message.get("more_body", False):
            return None
        body: bytes = message.get("body", b"")
        if (
            len(body) > min(LARGE, self._max_body)
            or body.count(b"{") + body.count(b"[") > MAX_DEPTH
        ):
            return None
        try:
            call = _DECODER.decode(body)
            check_keys(body)  # which msgspec does not
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        return call if self._is_valid(bytes(call.params.meta)) else None

    def _is_valid(self, envelope: bytes) -> bool:
        """Whether the SDK finds nothing wrong with an envelope; clients send the same each time."""
        if envelope in self._envelopes:
            return True
        if len(envelope) > MAX_ENVELOPE:
            return False
        try:
            valid = self._plain.takes(msgspec.json.decode(envelope))
        except ValueError:
            return False
        if valid:
            if len(self._envelopes) >= MAX_ENVELOPES:
                self._envelopes.clear()
            self._envelopes.add(envelope)
        return valid

    async def _call(self, call: _Call, scope: Scope) -> tuple[int, bytes]:
        """Return the status and the body of the answer."""
        reply: Json = {"jsonrpc": "2.0", "id": call.id}
        status = 200
        try:
            result = await self._methods.call_plain(
                call.params.name, call.params.arguments or {}, caller_of(scope)
            )
            reply["result"] = self._plain.members | result
        except ProtocolError as error:
            reply["error"] = {"code": error.code, "message": error.message}
            if error.code == INVALID_PARAMS:
                status = 400
        return status, _ENCODER.encode(reply)


class _Params(msgspec.Struct, forbid_unknown_fields=True, rename={"meta": "_meta"}):
    name: str
    meta: msgspec.Raw
    arguments: dict[str, Any] | None = None


class _Call(msgspec.Struct, forbid_unknown_fields=True):
    jsonrpc: Literal["2.0"]
    id: int | str
    method: Literal["tools/call"]
    params: _Params


_DECODER = msgspec.json.Decoder(_Call)
_ENCODER = msgspec.json.Encoder()


def again(message: Message, receive: Receive) -> Receive:
    """Return a `receive` that begins with a message that was received already."""
    received = [message]

    async def resume() -> Message:
        return received.pop() if received else await receive()

    return resume
