"""The manager of cross-channel sessions."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Literal

from kaizen_nexus import _accel
from kaizen_nexus._common.session_arguments import (
    MAX_TTL_SECONDS,
    NS_PER_SECOND,
    capacity,
    duration_ns,
)
from kaizen_nexus.sessions.cleanup import CleanupStatus, Sweeper
from kaizen_nexus.sessions.session import CrossChannelSession
from kaizen_nexus.sessions.storage import SessionStorage, checked_storage
from kaizen_nexus.sessions.twins import AsynchronousTwins
from kaizen_nexus.sessions.view import SessionsView
from kaizen_nexus.sessions.wallclock import WallClock, default_wall_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from types import TracebackType

__all__ = ["NexusSessionManager"]


class NexusSessionManager(AsynchronousTwins):
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
        self._table = _accel.SessionTable(
            session_ttl, capacity=max_sessions, on_full=on_full, clock=clock
        )
        if clock is None and wall_clock is None:
            self._clock = default_wall_clock()
        else:
            self._clock = WallClock(self._table.now, wall_clock)
        self._sweeper = Sweeper(self._table, cleanup_interval)
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

    def create_session(
        self,
        session_id: str | None = None,
        user_id: str = "",
        ttl_hours: float | None = None,
    ) -> CrossChannelSession:
        """Create a session; one that has the id already is replaced.

        Parameters
        ----------
        session_id : str, optional
            1 to 256 characters; by default, and if empty, 128 random bits in hexadecimal.
        user_id : str
            Whose session it is; required.
        ttl_hours : float, optional
            Hours of disuse after which it expires; by default the manager's `session_ttl`. With 0
            it has expired from the start, unless `CrossChannelSession.refresh` revives it.

        Raises
        ------
        TypeError, ValueError
            If `user_id` is missing or blank, or an argument is of the wrong type or out of bounds.
        SessionTableFullError
            If there are `max_sessions` live sessions and the manager refuses more.
        """
        if user_id is None or (isinstance(user_id, str) and not user_id.strip()):
            raise ValueError(
                f"user_id must say whose session it is, and not be {user_id!r}: "
                "pass create_session(user_id=...)"
            )
        ttl = None
        stillborn = False
        if ttl_hours is not None:
            stillborn = ttl_hours == 0 and not isinstance(ttl_hours, bool)
            if not stillborn:
                nanoseconds = duration_ns(ttl_hours, "ttl_hours", unit=3600)
                ttl = min(nanoseconds / NS_PER_SECOND, MAX_TTL_SECONDS)
        row = self._table.create_handle(session_id or None, user_id, ttl)
        if stillborn:
            row.expires = row.created
        self._sweeper.start()
        return CrossChannelSession._of(row, self._clock)

    def get_session(self, session_id: str) -> CrossChannelSession | None:
        """Return a live session and slide its expiry; None if there is none of this id."""
        row = self._table.handle(session_id)
        return None if row is None else CrossChannelSession._of(row, self._clock)

    def attach(
        self, session_id: str, owner: str | None, channel: str | None = None
    ) -> CrossChannelSession | None:
        """Return a live session for a request and slide its expiry.

        Parameters
        ----------
        session_id : str
            The session's id.
        owner : str or None
            Who the session must belong to; None if that does not matter.
        channel : str, optional
            The channel that the request came on.

        Returns
        -------
        CrossChannelSession or None
            None if there is no live session of this id, or it belongs to somebody else. The
            session of somebody else is not touched.
        """
        row = self._table.peek(session_id)
        if row is None or row.is_expired() or (owner is not None and row.user_id != owner):
            return None
        row.touch(channel)
        return CrossChannelSession._of(row, self._clock)

    def get_session_state(
        self, session_id: str, channel: str | None = None
    ) -> dict[str, Any] | None:
        """Return a shallow copy of a session's state and slide its expiry.

        Parameters
        ----------
        session_id : str
            The session's id.
        channel : str, optional
            The channel that asks, 1 to 64 characters; at most 16 distinct ones are known.

        Returns
        -------
        dict or None
            None if there is no live session of this id.
        """
        return self._table.get_state(session_id, channel)

    def update_session_state(
        self,
        session_id: str,
        updates: Mapping[str, Any],
        channel: str | None = None,
        *,
        if_version: int | None = None,
    ) -> bool:
        """Merge `updates` into a session's state, all or nothing, and slide its expiry.

        Parameters
        ----------
        session_id : str
            The session's id.
        updates : mapping
            What to set. Its keys are str.
        channel : str, optional
            The channel that asks.
        if_version : int, optional
            The `version` that the session must have.

        Returns
        -------
        bool
            Whether there was a live session of this id.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or out of its bounds.
        VersionConflictError
            If the session has another version. Nothing was merged; the expiry was slid.
        """
        if if_version is None:  # a keyword costs more than this test
            return self._table.update(session_id, updates, channel)
        return self._table.update(session_id, updates, channel, if_version=if_version)

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
