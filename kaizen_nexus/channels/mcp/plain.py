"""Plain calls of tools: those that can be answered without the SDK, as the SDK would.

A call is plain if it is one message whose envelope says what it must, and that asks for nothing but
the result. Of anything that is not, or might not be, the SDK decides, which then reads the same
message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from kaizen_nexus.channels.mcp.sdk.surface import Json, Plain, ProtocolError
from kaizen_nexus.http.strict_json import LARGE, MAX_DEPTH, check_keys

if TYPE_CHECKING:
    from kaizen_nexus.access.callers import Caller
    from kaizen_nexus.channels.mcp.server import CallerGone, Methods

__all__ = ["METHOD", "Call", "PlainCalls"]

METHOD = "tools/call"
MAX_ENVELOPES = 256
MAX_ENVELOPE = 4096
"""How many envelopes that were found valid are remembered, and how long they may be, in bytes."""


class _Params(msgspec.Struct, forbid_unknown_fields=True, rename={"meta": "_meta"}):
    name: str
    meta: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    arguments: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET


class Call(msgspec.Struct, forbid_unknown_fields=True):
    """A request to call a tool."""

    jsonrpc: Literal["2.0"]
    id: int | str
    method: Literal["tools/call"]
    params: _Params


class _Envelope(NamedTuple):
    """A valid ``_meta``, in which no key comes twice."""

    asks_for_progress: bool
    objects: int
    colons: int


_DECODER = msgspec.json.Decoder(Call)
_ENCODER = msgspec.json.Encoder()
_NO_ENVELOPE = b"{}"
_REQUIRED_MEMBERS = len(Call.__struct_fields__) + 1  # and the name of the tool


class PlainCalls:
    """Reads and answers plain calls, whatever brings them.

    Parameters
    ----------
    plain
        What the SDK says is plain.
    methods
        What calls tools.
    """

    def __init__(self, plain: Plain, methods: Methods) -> None:
        self._plain = plain
        self._methods = methods
        self._envelopes: dict[bytes, _Envelope] = {}

    def are_observed(self) -> bool:
        """Whether the SDK is to see every call, for somebody who is told of it."""
        return self._plain.observed()

    def read(self, text: bytes, caller: Caller) -> Call | None:
        """Return the call that a message is, if it is one and plain."""
        if len(text) > LARGE or text.count(b"{") + text.count(b"[") > MAX_DEPTH:
            return None
        try:
            call = _DECODER.decode(text)
            meta = call.params.meta
            envelope = self._envelope(_NO_ENVELOPE if meta is msgspec.UNSET else bytes(meta))
            if envelope is None:
                return None
            if not _has_each_key_once(text, call.params, envelope):
                check_keys(text)  # which msgspec does not
        except (ValueError, RecursionError):  # msgspec's own errors among them
            return None
        name = call.params.name
        if envelope.asks_for_progress and self._methods.is_streaming(name):
            return None
        return call if self._methods.is_plain(name, caller) else None

    async def answer(
        self, call: Call, caller: Caller, caller_gone: CallerGone | None = None
    ) -> tuple[bytes, int | None]:
        """Return the answer as JSON text, and the code of the error that it is, if it is one."""
        reply: Json = {"jsonrpc": "2.0", "id": call.id}
        code = None
        try:
            result = await self._methods.call_plain(
                call.params.name, call.params.arguments or {}, caller, caller_gone
            )
            reply["result"] = self._plain.members | result
        except ProtocolError as error:
            code = error.code
            reply["error"] = {"code": code, "message": error.message}
        return _ENCODER.encode(reply), code

    def _envelope(self, text: bytes) -> _Envelope | None:
        """Return what an envelope says; None if the SDK might find something wrong with it.

        Clients send the same each time.

        Raises
        ------
        ValueError
            It is no JSON, or has a key twice.
        """
        known = self._envelopes.get(text)
        if known is not None or len(text) > MAX_ENVELOPE:
            return known
        check_keys(text)
        meta = msgspec.json.decode(text)
        if not isinstance(meta, dict) or not self._plain.takes(meta):
            return None
        if len(self._envelopes) >= MAX_ENVELOPES:
            self._envelopes.clear()
        self._envelopes[text] = envelope = _Envelope(
            "progressToken" in meta, text.count(b"{"), text.count(b":")
        )
        return envelope


def _has_each_key_once(text: bytes, params: _Params, envelope: _Envelope) -> bool:
    """Whether it is plain to see that no object in a call has a key twice.

    After each key is a colon: where there are only as many colons as members were decoded, no
    member was lost to another of the same name. Arguments with objects in them are not counted.
    """
    members, objects = _REQUIRED_MEMBERS, 2  # the call and its parameters
    if params.meta is not msgspec.UNSET:
        members += 1 + envelope.colons
        objects += envelope.objects
    if params.arguments is not msgspec.UNSET:
        members += 1
        if params.arguments is not None:
            members += len(params.arguments)
            objects += 1
    return text.count(b":") == members and text.count(b"{") == objects
