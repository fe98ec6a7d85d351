"""The manager of cross-channel sessions."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any, Literal

from kaizen_nexus._accel import SessionCalls, SessionTable
from kaizen_nexus._common.session_arguments import NS_PER_SECOND, capacity, duration_ns
from kaizen_nexus.sessions.cleanup import CleanupStatus, Sweeper
from kaizen_nexus.sessions.session import CrossChannelSession
from kaizen_nexus.sessions.storage import SessionStorage, checked_storage
from kaizen_nexus.sessions.view import SessionsView
from kaizen_nexus.sessions.wallclock import WallClock, default_wall_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from types import TracebackType

__all__ = ["NexusSessionManager"]


class NexusSessionManager(SessionCalls[CrossChannelSession]):
    """Creates sessions, finds them again from any channel, and forgets them when they expire.

    Parameters
    ----------
    cleanup_interval : float or None, default 300
        Seconds between two automatic removals of expired sessions, by a thread that starts with
        the first session. None or 0 disables it: expired sessions are still never returned, but
        they take up room until `cleanup_expired_sessions` is called or the room is needed.
    session_ttl : float, default 3600
        Seconds of disuse after which a session expires; every access begins them anew.
    storage_backend : SessionStorage, optional
        Where the asynchronous methods save sessions besides the table in memory.
    max_sessions : int, default 1_000_000
        The most sessions held at once.
    on_full : {"refuse", "evict"}, default "refuse"
        Whether a new session is refused at `max_sessions` or takes the place of the one least
        recently used; sessions that have expired give way first.
    clock : callable, optional
        Returns monotonic nanoseconds as an int; the system's monotonic clock by default.
    wall_clock : callable, optional
        Returns nanoseconds since the epoch as an int, for the datetimes that sessions show. By
        default the system's wall clock; with a `clock`, the time at which the manager was made and
        whatever has passed on that clock since.

    Attributes
    ----------
    sessions : SessionsView
        The sessions held, a live mapping from their ids. Assigning a mapping replaces them all.
    storage : SessionStorage or None
        The storage backend.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of its bounds.

    Notes
    -----
    Every method may be called from any thread. What is not the id of a live session yields None or
    False, never an exception. A manager that is no longer referenced is collected, thread and all.
    """

    def __init__(
        self,
        cleanup_interval: float | None = 300,
        session_ttl: float = 3600,
        storage_backend: SessionStorage | None = None,
        *,
        max_sessions: int = 1_000_000,
        on_full: Literal["refuse", "evict"] = "refuse",
        clock: Callable[[], int] | None = None,
        wall_clock: Callable[[], int] | None = None,
    ) -> None:
        duration_ns(session_ttl, "session_ttl")
        capacity(max_sessions, "max_sessions")
        self.storage = checked_storage(storage_backend)
        self._table = SessionTable(
            session_ttl,
            capacity=max_sessions,
            on_full=on_full,
            clock=clock,
            handles=CrossChannelSession,
        )
        if clock is None and wall_clock is None:
            self._clock = default_wall_clock()
        else:
            self._clock = WallClock(self._table.now, wall_clock)
        self._table.context = self._clock
        self._sweeper = Sweeper(self._table, cleanup_interval)
        self._start_cleanup = self._sweeper.start
        self._view = SessionsView(self._table, self._clock, self._sweeper)
        # The thread refers to the table alone; with the manager gone there is no one to sweep for.
        weakref.finalize(self, self._sweeper.stop).atexit = False

    @property
    def cleanup_interval(self) -> float | None:
        """Seconds between two automatic cleanups, None or 0 for none; changes count at once."""
        return self._sweeper.interval

    @cleanup_interval.setter
    def cleanup_interval(self, seconds: float | None) -> None:
        self._sweeper.interval = seconds

    @property
    def sessions(self) -> SessionsView:
        """The sessions held, a live mapping from their ids."""
        return self._view

    @sessions.setter
    def sessions(self, sessions: Mapping[str, CrossChannelSession]) -> None:
        held = dict(sessions)
        self._view.clear()
        self._view.update(held)

    @property
    def session_ttl(self) -> float:
        """Seconds of disuse after which a session expires by default."""
        return self._table.ttl

    @property
    def max_sessions(self) -> int:
        """The most sessions held at once."""
        return self._table.capacity

    @property
    def _last_cleanup(self) -> datetime:
        """When expired sessions were last removed.

        Kaizen's users set it back to have its next call clean up. Here that is done at once.
        """
        return self._clock.to_datetime(self._sweeper.last_ns)

    @_last_cleanup.setter
    def _last_cleanup(self, moment: datetime) -> None:
        interval = self._sweeper.interval
        elapsed = self._clock.now() - self._clock.from_datetime(moment)
        if interval and elapsed > interval * NS_PER_SECOND:
            self._sweeper.run()

    def bind_memory_pool(self, session_id: str, memory_pool_id: Any) -> bool:
        """Bind a memory pool to a session and slide its expiry; return whether there was one."""
        row = self._table.handle(session_id)
        if row is None:
            return False
        row.memory_pool_id = memory_pool_id
        return True

    def delete_session(self, session_id: str, *, if_version: int | None = None) -> bool:
        """Remove a session; return whether there was a live one.

        Raises
        ------
        VersionConflictError
            If its state has another version than `if_version`, where that is given.
        """
        return self._table.delete(session_id, if_version=if_version)

    def cleanup_expired_sessions(self) -> int:
        """Remove all sessions that have expired by now; return how many there were.

        Works in slices of about half a millisecond, between which other threads run.
        """
        return self._sweeper.run()

    def request_cleanup(self) -> None:
        """Have the cleanup thread remove expired sessions now, without waiting for it."""
        self._sweeper.wake()

    def cleanup_status(self) -> CleanupStatus:
        """Return how the cleanup is doing."""
        return self._sweeper.status()

    def get_session_metrics(self) -> dict[str, Any]:
        """Return the figures of the sessions held.

        Returns
        -------
        dict
            ``active_sessions``; ``total_sessions``, expired ones included until a cleanup;
            ``average_ttl_seconds`` of the active ones; ``channels_used``, sorted; and, counted
            since the manager was made, ``created_sessions``, ``expired_sessions`` (removed),
            ``evicted_sessions`` and ``refused_sessions``.
        """
        figures = self._table.metrics()
        return {
            "active_sessions": figures["active"],
            "total_sessions": figures["total"],
            "average_ttl_seconds": figures["average_ttl_seconds"],
            "channels_used": figures["channels_used"],
            "created_sessions": figures["created"],
            "expired_sessions": figures["expired"],
            "evicted_sessions": figures["evicted"],
            "refused_sessions": figures["refused"],
        }

    def close(self) -> None:
        """Stop the cleanup thread for good; the sessions stay usable."""
        self._sweeper.stop()
        self._sweeper.join()

    def __enter__(self) -> NexusSessionManager:
        """Return the manager."""
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the manager."""
        self.close()

    # --- the same with the storage, where there is one --------------------------------------

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
                session.delete()
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
