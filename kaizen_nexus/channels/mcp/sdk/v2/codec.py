"""Messages as SDK 2 reads and writes them."""

from __future__ import annotations

from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCNotification, JSONRPCRequest, jsonrpc_message_adapter

from kaizen_nexus.channels.mcp.sdk.surface import Codec, Incoming

__all__ = ["CODEC"]


def _decode(text: str) -> Incoming:
    message = jsonrpc_message_adapter.validate_json(text, by_name=False)
    item = SessionMessage(message)
    if isinstance(message, JSONRPCRequest):
        return Incoming(item, message.method, message.id, message.params or {})
    if isinstance(message, JSONRPCNotification):
        return Incoming(item, message.method, None, message.params or {})
    return Incoming(item, None, None, {})


def _encode(item: SessionMessage) -> str:
    return item.message.model_dump_json(by_alias=True, exclude_unset=True)


CODEC = Codec(_decode, _encode)
