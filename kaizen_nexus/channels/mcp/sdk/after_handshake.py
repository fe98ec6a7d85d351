"""What clients that shook hands may say in the ``_meta`` of calls that need nothing of the SDK."""

from __future__ import annotations

from kaizen_nexus.channels.mcp.sdk.surface import Json

__all__ = ["takes"]

_PROGRESS = "progressToken"


def takes(meta: Json) -> bool:
    """See `surface.Plain.takes`: a token for its progress, and what concerns the client alone."""
    token = meta.get(_PROGRESS, "")
    # Not isinstance: of True, and of 1.0, the SDK decides.
    return type(token) in {int, str} and all(map(_is_harmless, meta))


def _is_harmless(key: str) -> bool:
    """Whether a key means nothing to a server.

    Those without a prefix, like ``traceparent``, and those with one of the protocol's, might.
    """
    prefix, slash, _ = key.partition("/")
    is_reserved = not {"mcp", "modelcontextprotocol"}.isdisjoint(prefix.split("."))
    return key == _PROGRESS or (bool(slash) and not is_reserved)
