"""What a client is told that begins without a handshake, which SDK 1 does not know."""

from __future__ import annotations

from mcp.shared.version import SUPPORTED_PROTOCOL_VERSIONS

from kaizen_nexus.channels.mcp.sdk.surface import Json

__all__ = ["unsupported_version"]

UNSUPPORTED_PROTOCOL_VERSION = -32022
"""The protocol's own code since 2026-07-28; a client of that version then shakes hands."""

_LONGEST_SHOWN = 64


def unsupported_version(requested: str) -> tuple[int, str, Json]:
    """Return the code, message and data of the error that names the versions there are."""
    message = "Unsupported protocol version: begin with the initialize handshake"
    data = {
        "supported": list(SUPPORTED_PROTOCOL_VERSIONS),
        "requested": requested[:_LONGEST_SHOWN],
    }
    return UNSUPPORTED_PROTOCOL_VERSION, message, data
