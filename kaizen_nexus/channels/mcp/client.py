"""A client of the protocol, the same whichever version of the MCP SDK is installed."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from kaizen_nexus.channels.mcp.sdk import SDK
from kaizen_nexus.channels.mcp.sdk.surface import Client, ProtocolError, StdioCommand, Target

__all__ = ["Client", "ProtocolError", "StdioCommand", "connect", "latest_version"]


def connect(target: Target, *, handshake: bool = False) -> AbstractAsyncContextManager[Client]:
    """Return a connection to a server, to be entered with ``async with``.

    Parameters
    ----------
    target
        The server's URL, how to start it for talking over standard input and output, or its
        streams of messages.
    handshake
        Begin with the ``initialize`` handshake of protocol versions up to 2025-11-25, though both
        sides may know a newer one. SDK 1 knows no other way.

    Raises
    ------
    ProtocolError
        From the connection's methods: the server answered with a JSON-RPC error.
    """
    return SDK.connect(target, handshake)


def latest_version() -> str:
    """Return the newest protocol version that clients and servers speak here."""
    return SDK.latest_version
