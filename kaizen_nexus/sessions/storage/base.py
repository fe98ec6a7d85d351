"""The protocol between the session manager and a place that outlives the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from kaizen_nexus.sessions.session import CrossChannelSession

__all__ = ["SessionStorage", "checked_storage"]

_METHODS = ("save", "update", "load", "delete", "cleanup_expired")


class SessionStorage(Protocol):
    """What the asynchronous methods of `NexusSessionManager` need of a backend.

    A backend copies what it is given: a session handed to it is live and goes on changing.
    """

    async def save(self, session: CrossChannelSession) -> Any:
        """Store a session that was just created."""

    async def update(self, session: CrossChannelSession) -> Any:
        """Store the present contents of a session that was saved before."""

    async def load(self, session_id: str) -> CrossChannelSession | None:
        """Return a stored session as one constructed on its own, or None."""

    async def delete(self, session_id: str) -> bool:
        """Remove a stored session; return whether there was one."""

    async def cleanup_expired(self) -> int:
        """Remove the stored sessions that have expired; return how many."""


def checked_storage(storage: Any) -> SessionStorage | None:
    """Return `storage` if it satisfies the protocol or is None.

    Raises
    ------
    TypeError
        If it lacks a method; the message names every one that is missing.
    """
    if storage is None:
        return None
    missing = [name for name in _METHODS if not callable(getattr(storage, name, None))]
    if missing:
        raise TypeError(
            f"storage_backend {type(storage).__name__} lacks {', '.join(missing)}: it must have "
            f"the asynchronous methods {', '.join(_METHODS)}"
        )
    checked: SessionStorage = storage
    return checked
