"""Exceptions raised by more than one layer, and by both implementations of the core."""

from __future__ import annotations

__all__ = ["NexusError", "SessionTableFullError"]


class NexusError(Exception):
    """Base class of the errors that kaizen-nexus defines itself."""


class SessionTableFullError(NexusError, RuntimeError):
    """A session table has reached its capacity and its policy is to refuse."""
