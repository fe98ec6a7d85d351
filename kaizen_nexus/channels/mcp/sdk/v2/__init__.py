"""SDK 2: both eras of the protocol, the one with a handshake and the one without."""

from __future__ import annotations

from mcp.server.stdio import stdio_server
from mcp.types import LATEST_PROTOCOL_VERSION

from kaizen_nexus.channels.mcp.sdk.surface import Sdk
from kaizen_nexus.channels.mcp.sdk.v2.client import connect
from kaizen_nexus.channels.mcp.sdk.v2.codec import CODEC
from kaizen_nexus.channels.mcp.sdk.v2.server import Server, Subscriptions

__all__ = ["SDK"]

SDK = Sdk(
    latest_version=LATEST_PROTOCOL_VERSION,
    subscriptions=Subscriptions,
    server=Server,
    codec=CODEC,
    stdio_transport=stdio_server,
    connect=connect,
)
