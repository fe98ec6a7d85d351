"""Who calls: plain data, whichever way a channel identified the caller."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ANONYMOUS", "LOCAL", "Caller"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who an invocation comes from."""

    id: str
    """The owner of sessions that are created for this caller."""
    scopes: frozenset[str] | None = None
    """What this caller may use; None means everything."""
    authenticated: bool = False
    """Whether the caller has proved to be who the id says."""


ANONYMOUS = Caller("anonymous")
"""Every caller of an app without authentication."""

LOCAL = Caller("anonymous", authenticated=True)
"""Whoever started this process, at its standard input, which nobody else can reach."""
