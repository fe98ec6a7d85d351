"""Who asks, as the runtime sees it: plain data, however a channel found out."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ANONYMOUS", "Caller"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who an invocation comes from."""

    id: str
    """The owner of sessions that are created for this caller."""


ANONYMOUS = Caller("anonymous")
"""Everybody, where nobody is asked who they are."""
