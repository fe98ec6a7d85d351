"""Which calls need nothing of the SDK but that it would have found them valid."""

from __future__ import annotations

from mcp.types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    LATEST_PROTOCOL_VERSION,
    PROTOCOL_VERSION_META_KEY,
)
from mcp_types import methods
from opentelemetry import trace
from pydantic import ValidationError

from kaizen_nexus.channels.mcp.sdk.surface import Json

__all__ = ["observed", "takes"]

_KEYS = {PROTOCOL_VERSION_META_KEY, CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY}


def takes(envelope: Json) -> bool:
    """See `surface.Plain.takes`."""
    if (
        not isinstance(envelope, dict)
        or not envelope.keys() <= _KEYS  # others may ask for something, as progressToken does
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


def observed() -> bool:
    """See `surface.Plain.observed`: whether OpenTelemetry has been set up."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
