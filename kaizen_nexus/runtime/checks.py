"""Checks of the bounds that an app is given."""

from __future__ import annotations

__all__ = ["checked_count", "checked_timeout"]


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
