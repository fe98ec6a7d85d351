"""Who asks, as the runtime sees it: plain data, however a channel found out."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ANONYMOUS", "LOCAL", "Caller"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who an invocation comes from."""

    id: str
    """The owner of sessions that are created for this caller."""
    scopes: frozenset[str] | None = None
    """What this caller may use; None for everything."""
    authenticated: bool = False
    """Whether it is known that the caller is who the id says."""


ANONYMOUS = Caller("anonymous")
"""Everybody, where nobody is asked who they are."""

LOCAL = Caller("anonymous", authenticated=True)
"""Who started this process and holds its standard input, which nobody else can reach."""
