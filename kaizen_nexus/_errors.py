"""Exceptions raised by more than one layer, and by both implementations of the core."""

from __future__ import annotations

__all__ = ["NexusError", "SessionTableFullError", "VersionConflictError"]


class NexusError(Exception):
    """Base class of the errors that kaizen-nexus defines itself."""


class SessionTableFullError(NexusError, RuntimeError):
    """A session table has reached its capacity and its policy is to refuse."""


class VersionConflictError(NexusError, RuntimeError):
    """A session's state has another version than its change insists on."""

    def __init__(self, expected: int, version: int) -> None:
        self.expected = expected
        """The version that the change was made for."""
        self.version = version
        """The version that the state had."""
        super().__init__(
            f"the session's state has version {version}, not {expected}: someone has changed it; "
            "read it again"
        )
