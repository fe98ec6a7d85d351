"""The asynchronous methods of the session manager, which save to its storage as well."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from kaizen_nexus.sessions.session import CrossChannelSession

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kaizen_nexus.sessions.storage import SessionStorage
    from kaizen_nexus.sessions.view import SessionsView

__all__ = ["AsynchronousTwins"]


class AsynchronousTwins(ABC):
    """Coroutine methods, each doing in memory what its namesake does."""

    storage: SessionStorage | None

    @property
    @abstractmethod
    def sessions(self) -> SessionsView:
        """The sessions held."""

    @abstractmethod
    def create_session(
        self,
        session_id: str | None = None,
        user_id: str = "",
        ttl_hours: float | None = None,
    ) -> CrossChannelSession:
        """Create a session."""

    @abstractmethod
    def get_session(self, session_id: str) -> CrossChannelSession | None:
        """Return a live session and slide its expiry."""

    @abstractmethod
    def update_session_state(
        self,
        session_id: str,
        updates: Mapping[str, Any],
        channel: str | None = None,
        *,
        if_version: int | None = None,
    ) -> bool:
        """Merge `updates` into a session's state."""

    @abstractmethod
    def bind_memory_pool(self, session_id: str, memory_pool_id: Any) -> bool:
        """Bind a memory pool to a session."""

    @abstractmethod
    def delete_session(self, session_id: str) -> bool:
        """Remove a session."""

    @abstractmethod
    def cleanup_expired_sessions(self) -> int:
        """Remove all sessions that have expired."""

    async def create_session_async(
        self,
        session_id: str | None = None,
        user_id: str = "",
        ttl_hours: float | None = None,
    ) -> CrossChannelSession:
        """Create a session and save it; if it cannot be saved, it is not created either."""
        session = self.create_session(session_id, user_id, ttl_hours)
        if self.storage is not None:
            try:
                await self.storage.save(session)
            except BaseException:
                session._row.delete()
                raise
        return session

    async def update_session_state_async(
        self,
        session_id: str,
        updates: Mapping[str, Any],
        channel: str | None = None,
        *,
        if_version: int | None = None,
    ) -> bool:
        """Merge `updates` into the state of a session in memory and store the session."""
        updated = self.update_session_state(session_id, updates, channel, if_version=if_version)
        if updated:
            await self._store(session_id)
        return updated

    async def bind_memory_pool_async(self, session_id: str, memory_pool_id: Any) -> bool:
        """Bind a memory pool to a session in memory and store the session."""
        bound = self.bind_memory_pool(session_id, memory_pool_id)
        if bound:
            await self._store(session_id)
        return bound

    async def delete_session_async(self, session_id: str) -> bool:
        """Remove a session from memory and storage; return whether either had it."""
        deleted = self.delete_session(session_id)
        if self.storage is not None:
            deleted = bool(await self.storage.delete(session_id)) or deleted
        return deleted

    async def load_session_async(self, session_id: str) -> CrossChannelSession | None:
        """Return a live session from memory, or else from storage, and slide its expiry.

        What is found in storage is in memory from then on; one that has expired is deleted there.

        Raises
        ------
        TypeError
            If the storage returns something else than a session or None.
        """
        session = self.get_session(session_id)
        if session is not None or self.storage is None:
            return session
        stored = await self.storage.load(session_id)
        if stored is None:
            return None
        if not isinstance(stored, CrossChannelSession):
            raise TypeError(
                f"storage_backend returned a {type(stored).__name__}, not a CrossChannelSession"
            )
        if stored.is_expired():
            await self.storage.delete(session_id)
            return None
        # Another call may have loaded it while this one waited; then that one is the session.
        self.sessions.adopt(stored, replace=False)
        return self.get_session(stored.session_id)

    async def cleanup_expired_sessions_async(self) -> int:
        """Remove expired sessions from memory, off the event loop, and from storage.

        Returns
        -------
        int
            How many the memory or the storage removed, whichever is more: what was created with
            `create_session_async` is in both and counts once.
        """
        removed = await asyncio.to_thread(self.cleanup_expired_sessions)
        if self.storage is not None:
            removed = max(removed, await self.storage.cleanup_expired())
        return removed

    async def _store(self, session_id: str) -> None:
        session = self.sessions.get(session_id)
        if self.storage is not None and session is not None:
            await self.storage.update(session)
