"""What one connection may cost: sizes, counts and times."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_LIMITS", "HttpLimits"]


@dataclass(frozen=True)
class HttpLimits:
    """What one connection may cost; times in seconds, sizes in bytes."""

    head_timeout: float = 10.0
    """From the connection, or the first byte of a further request, to the end of its head."""
    head_size: int = 32 * 1024
    request_line: int = 8 * 1024
    header_count: int = 100
    body_interval: float = 30.0
    """In each of these intervals, `body_progress` bytes of a body must arrive."""
    body_progress: int = 16 * 1024
    ignored_body: int = 1024 * 1024
    """How much of a body is read after its request has been answered."""
    pipelined: int = 16
    """Requests that wait on one connection."""
    keep_alive: float = 30.0
    write_timeout: float = 30.0
    """How long a client may leave its answer unread."""
    linger: float = 2.0
    """How long a refused client may go on sending before its connection is reset."""
    connections: int = 4096


DEFAULT_LIMITS = HttpLimits()
