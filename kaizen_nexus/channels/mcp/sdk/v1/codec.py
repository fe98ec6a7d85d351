"""Messages as SDK 1 reads and writes them."""

from __future__ import annotations

from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage, JSONRPCNotification, JSONRPCRequest

from kaizen_nexus.channels.mcp.sdk.surface import Codec, Incoming

__all__ = ["CODEC"]


def _decode(text: str) -> Incoming:
    item = SessionMessage(JSONRPCMessage.model_validate_json(text))
    message = item.message.root
    if isinstance(message, JSONRPCRequest):
        return Incoming(item, message.method, message.id, message.params or {})
    if isinstance(message, JSONRPCNotification):
        return Incoming(item, message.method, None, message.params or {})
    return Incoming(item, None, None, {})


def _encode(item: SessionMessage) -> str:
    return item.message.model_dump_json(by_alias=True, exclude_none=True)


CODEC = Codec(_decode, _encode)
