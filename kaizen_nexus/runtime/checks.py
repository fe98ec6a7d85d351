"""Checks of the bounds that an app is given."""

from __future__ import annotations

__all__ = ["MAX_SECONDS", "checked_count", "checked_seconds", "checked_timeout"]

MAX_SECONDS = 7 * 24 * 3600
"""How long a server may take to stop."""


def checked_count(label: str, bound: object, least: int = 1) -> int:
    """Return `bound` if it is a whole number of at least `least`, else raise ValueError."""
    if isinstance(bound, bool) or not isinstance(bound, int) or bound < least:
        raise ValueError(f"{label} must be a whole number of at least {least}, not {bound!r}")
    return bound


def checked_timeout(timeout: object) -> float | None:
    """Return `timeout` if it is a positive number of seconds or None, else raise ValueError."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise ValueError(f"timeout must be a positive number of seconds or None, not {timeout!r}")
    return float(timeout)


def checked_seconds(label: str, seconds: object) -> float:
    """Return `seconds` if it is a number from 0 to `MAX_SECONDS`, else raise ValueError."""
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, (int, float))
        or not 0 <= seconds <= MAX_SECONDS
    ):
        raise ValueError(f"{label} must be from 0 to {MAX_SECONDS} seconds, not {seconds!r}")
    return float(seconds)
