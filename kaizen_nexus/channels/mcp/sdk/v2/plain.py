"""Which calls need nothing of the SDK but that it would have found them valid."""

from __future__ import annotations

from mcp.types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    CONNECTION_CLOSED,
    LATEST_PROTOCOL_VERSION,
    PROTOCOL_VERSION_META_KEY,
    SERVER_INFO_META_KEY,
)
from mcp_types import methods
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from opentelemetry import trace
from pydantic import ValidationError

from kaizen_nexus.channels.mcp.sdk import after_handshake
from kaizen_nexus.channels.mcp.sdk.surface import Json, Plain

__all__ = ["COMPLETE", "plain_after", "plain_of"]

COMPLETE: Json = {"resultType": "complete"}
"""What every result of 2026-07-28 says; the SDK keeps it from handshake clients."""

_HUNG_UP: Json = {"code": CONNECTION_CLOSED, "message": "Connection closed"}
_ANY_RESULT: Json = {
    "content": [{"type": "text", "text": "any"}],
    "structuredContent": {"result": "any"},
    "isError": False,
}
_KEYS = {PROTOCOL_VERSION_META_KEY, CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY}


def plain_of(server_info: Json) -> Plain:
    """Return which calls are plain of clients that shake no hands.

    Parameters
    ----------
    server_info
        How the server introduces itself in every result.
    """
    members = {**COMPLETE, "_meta": {SERVER_INFO_META_KEY: server_info}}
    return Plain(LATEST_PROTOCOL_VERSION, members, _takes, _is_observed, _HUNG_UP)


def plain_after(version: str) -> Plain | None:
    """See `surface.Server.plain_after`."""
    if version not in HANDSHAKE_PROTOCOL_VERSIONS:
        return None
    shown = methods.serialize_server_result("tools/call", version, COMPLETE | _ANY_RESULT)
    if shown != _ANY_RESULT:
        return None  # the SDK would leave out more than what is told of results
    return Plain(version, {}, after_handshake.takes, _is_observed, _HUNG_UP)


def _takes(envelope: Json) -> bool:
    """See `surface.Plain.takes`."""
    if (
        not envelope.keys() <= _KEYS  # others may ask for something, as progressToken does
        or CLIENT_CAPABILITIES_META_KEY not in envelope
        or envelope.get(PROTOCOL_VERSION_META_KEY) != LATEST_PROTOCOL_VERSION
    ):
        return False
    params = {"name": "any", "arguments": {}, "_meta": envelope}
    try:
        methods.validate_client_request("tools/call", LATEST_PROTOCOL_VERSION, params)
    except ValidationError:
        return False
    return True


def _is_observed() -> bool:
    """See `surface.Plain.observed`: whether OpenTelemetry has been set up."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
