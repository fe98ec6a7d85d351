"""Sessions with sliding expiry in a dict: the pure-Python twin of the compiled session table.

It behaves as the compiled table does, to the last error message. It persists nothing and starts no
thread: sweeping is the caller's business.

Locking. One re-entrant lock guards the rows. What leaves the table is dropped after unlocking, so
that destructors run without the lock. The interpreter may still collect garbage, and so run a
destructor, at any allocation; being re-entrant, the lock lets that destructor use the table.
"""

from __future__ import annotations

from operator import length_hint
from time import sleep
from typing import TYPE_CHECKING, Any, Final, Literal, final

from kaizen_nexus._common import session_arguments as _arguments
from kaizen_nexus._fallback.session_calls import SessionCalls
from kaizen_nexus._fallback.session_core import TableCore, lookup_key
from kaizen_nexus._fallback.session_handle import SessionHandle, checked_items

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["SessionCalls", "SessionHandle", "SessionTable"]

_SLICE_NS: Final = 500_000
"""How long a whole pass works before it lets other threads run."""


@final
class SessionTable(TableCore):
    """A bounded table of sessions that expire when they are not used.

    Parameters
    ----------
    ttl : float, default 3600.0
        Seconds of disuse after which a session expires, where it sets none of its own.
    capacity : int, default 1_000_000
        The most sessions held at once, expired ones included.
    on_full : {"refuse", "evict"}, default "refuse"
        Whether a full table refuses a new session or evicts the least recently used one. Either
        way expired sessions are reclaimed first.
    clock : callable, optional
        Returns monotonic nanoseconds as an int between 0 and 2**62. By default the system's
        monotonic clock.
    handles : type, default SessionHandle
        The class of the handles onto its rows: `SessionHandle` or a subclass.

    Attributes
    ----------
    context
        Anything that the handles shall show as their `context`; for the table's owner to set.
    tended : bool
        Whether something sees to it that expired sessions are removed; likewise.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of its bounds.

    Notes
    -----
    Every method may be called from any thread. Lookups, updates and removals take constant time;
    `sweep`, `sweep_all`, `clear` and `metrics` are linear in the rows they look at.
    """

    def __init__(
        self,
        ttl: float = 3600.0,
        *,
        capacity: int = 1_000_000,
        on_full: Literal["refuse", "evict"] = "refuse",
        clock: Callable[[], int] | None = None,
        handles: type[SessionHandle] = SessionHandle,
    ) -> None:
        super().__init__(
            _arguments.duration_ns(ttl),
            _arguments.capacity(capacity),
            evict=_arguments.eviction_policy(on_full),
            clock=_arguments.clock(clock),
            handles=_arguments.subclass(handles, SessionHandle),
        )
        self._pass: Iterator[str] | None = None

    @property
    def ttl(self) -> float:
        """Seconds of disuse after which a session expires by default."""
        return self._ttl / 1e9

    @property
    def capacity(self) -> int:
        """The most sessions held at once."""
        return self._capacity

    @property
    def on_full(self) -> Literal["refuse", "evict"]:
        """What a full table does with a new session: ``"refuse"`` or ``"evict"``."""
        return "refuse" if self._recency is None else "evict"

    def create(
        self,
        session_id: str | None = None,
        user_id: str = "",
        ttl: float | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> str:
        """Create a session and return its id; a session that has the id already is replaced.

        Parameters
        ----------
        session_id : str, optional
            1 to 256 characters; by default 128 random bits in hexadecimal.
        user_id : str
            Whose session it is.
        ttl : float, optional
            Seconds of disuse after which it expires; by default the table's.
        state : mapping, optional
            The first state, copied. Its keys are str.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or out of its bounds.
        SessionTableFullError
            If the table is full of live sessions and refuses.
        """
        return self.create_handle(session_id, user_id, ttl, state)._session_id

    def create_handle(
        self,
        session_id: str | None = None,
        user_id: str = "",
        ttl: float | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> SessionHandle:
        """Create a session as `create` does and return a handle onto its row."""
        ttl_ns = self._ttl if ttl is None else _arguments.duration_ns(ttl)
        first = None if state is None else checked_items(state, "state").copy()
        return self._create(session_id, user_id, ttl_ns, first)

    def _create(
        self,
        session_id: str | None,
        user_id: str,
        ttl: int,
        state: dict[str, Any] | None,
        *,
        stillborn: bool = False,
    ) -> SessionHandle:
        now = self._now()
        handle = SessionHandle.__new__(self._kind)
        handle._begin(session_id, user_id, ttl, now)
        if stillborn:
            handle._expires = now
        handle._state = state
        self._install(handle, now, replace=True)
        return handle

    def adopt(self, handle: SessionHandle, *, replace: bool = True) -> bool:
        """Give a detached handle a row that carries over its times, state and channels.

        Returns
        -------
        bool
            False if `replace` is false and a live session has the id; nothing has changed then.

        Raises
        ------
        ValueError
            If another table holds the handle's session, or there would be too many channels.
        SessionTableFullError
            If the table is full of live sessions and refuses.
        """
        if not isinstance(handle, SessionHandle):
            raise TypeError(f"handle must be a SessionHandle, not {type(handle).__name__}")
        if not hasattr(handle, "_session_id"):
            raise _arguments.not_begun()
        return self._install(handle, self._now(), replace=replace)

    def handle(
        self, session_id: object, channel: str | None = None, *, owner: str | None = None
    ) -> SessionHandle | None:
        """Touch a live session and return a handle onto its row, or None.

        A session of another user than `owner`, where that is given, is not touched.
        """
        now = self._now()
        user = None if owner is None else _arguments.user_id(owner)
        name = None if channel is None else self._channel(channel, session_id, now)
        with self._lock:
            return self._access(session_id, now, name, user)

    def peek(self, session_id: object) -> SessionHandle | None:
        """Return a handle onto a row without touching it, expired or not, or None."""
        return self._rows.get(lookup_key(session_id))

    def get_state(self, session_id: object, channel: str | None = None) -> dict[str, Any] | None:
        """Touch a session and return a shallow copy of its state.

        Parameters
        ----------
        session_id : str
            Anything that is not the id of a live session finds nothing.
        channel : str, optional
            The channel whose last activity to note, 1 to 64 characters. A table knows at most 16
            distinct channels.

        Returns
        -------
        dict or None
            None if there is no such session or it has expired.

        Raises
        ------
        TypeError, ValueError
            If `channel` is not a valid name or would be the seventeenth.
        """
        now = self._now()
        name = None if channel is None else self._channel(channel, session_id, now)
        with self._lock:
            row = self._access(session_id, now, name)
            if row is None:
                return None
            state = row._state
        return {} if state is None else state.copy()

    def touch(self, session_id: object, channel: str | None = None) -> bool:
        """Slide a session's expiry by its own TTL; return whether there was a live one."""
        return self.handle(session_id, channel) is not None

    def update(
        self,
        session_id: object,
        updates: Mapping[str, Any],
        channel: str | None = None,
        *,
        if_version: int | None = None,
    ) -> bool:
        """Touch a session and merge `updates` into its state, all or nothing.

        Parameters
        ----------
        session_id : str
            Anything that is not the id of a live session finds nothing.
        updates : mapping
            What to set. Its keys are str.
        channel : str, optional
            The channel whose last activity to note.
        if_version : int, optional
            The version that the state must have: nothing is merged into any other.

        Returns
        -------
        bool
            Whether there was a live session.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or out of its bounds.
        VersionConflictError
            If the state has another version. The session was touched nevertheless.
        """
        if if_version is not None:
            if_version = _arguments.version(if_version, "if_version")
        now = self._now()
        name = None if channel is None else self._channel(channel, session_id, now)
        items = checked_items(updates, "updates")
        with self._lock:
            row = self._access(session_id, now, name)
            if row is None:
                return False
            if if_version is not None and if_version != row._version:
                raise _arguments.version_conflict(if_version, row._version)
            replaced = row._merge(items)
        del replaced
        return True

    def delete(self, session_id: object, *, if_version: int | None = None) -> bool:
        """Remove a session; return whether there was a live one.

        Raises
        ------
        VersionConflictError
            If its state has another version than `if_version`, where that is given.
        """
        if if_version is not None:
            if_version = _arguments.version(if_version, "if_version")
        return self._delete(self.peek(session_id), if_version)

    def __contains__(self, session_id: object) -> bool:
        """Return whether there is a live session of this id; it is not touched."""
        return self._find(session_id, self._now()) is not None

    def __len__(self) -> int:
        """Return the number of rows held, expired ones included."""
        return len(self._rows)

    def ids(self) -> list[str]:
        """Return the ids of all rows held, expired ones included, as a new list.

        Their order is arbitrary. A session that comes or goes meanwhile may be in it or not.
        """
        return list(self._rows)

    def __iter__(self) -> Iterator[str]:
        """Iterate over a snapshot of the ids."""
        return iter(self.ids())

    def clear(self) -> int:
        """Remove all sessions; return how many there were."""
        with self._lock:
            gone = self._remove(list(self._rows.values()), "deleted")
        return len(gone)

    def sweep(self, max_rows: int = 65_536, budget: float = 0.0005) -> tuple[int, bool]:
        """Remove expired sessions in one slice of a pass that later calls continue.

        Parameters
        ----------
        max_rows : int
            The most rows to look at.
        budget : float
            Seconds that it shall not exceed: it stops when another batch of rows, as long as the
            longest so far, would; one batch is always looked at.

        Returns
        -------
        removed : int
            How many sessions this slice removed.
        done : bool
            Whether the pass has reached the end of the table; the next call starts another.

        Notes
        -----
        The lock is given up after every 256 removals at most, and what was removed is destroyed
        outside it.
        """
        rows, nanoseconds = _arguments.slice_rows(max_rows), _arguments.budget_ns(budget)
        ids = self._pass or iter(self.ids())
        removed = self._sweep(ids, rows, nanoseconds)
        self._pass = ids if length_hint(ids) else None
        return removed, self._pass is None

    def sweep_all(self) -> int:
        """Remove the sessions expired by now in one whole pass; return how many this call removed.

        Other threads run between its slices, each of which takes about half a millisecond.
        """
        ids = iter(self.ids())
        total = self._sweep(ids, self._capacity, _SLICE_NS)
        while length_hint(ids):
            sleep(0)
            total += self._sweep(ids, self._capacity, _SLICE_NS)
        return total

    def metrics(self) -> dict[str, Any]:
        """Return the table's figures.

        Returns
        -------
        dict
            ``active`` and ``total`` rows (the latter with expired ones), ``average_ttl_seconds`` of
            the active ones, ``channels_used`` as a sorted list over all rows, and the counters
            ``created``, ``replaced``, ``expired`` (those swept or found so), ``deleted``,
            ``evicted`` and ``refused``. The total is what was created less what was replaced,
            expired, deleted and evicted.
        """
        now = self._now()
        rows = list(self._rows.values())
        ttls = [row._ttl for row in rows if row._expires > now]
        return {
            "active": len(ttls),
            "total": len(rows),
            "average_ttl_seconds": sum(ttls) / len(ttls) / 1e9 if ttls else 0.0,
            "channels_used": sorted(set().union(*(row._channels for row in rows))),
            **self._counts,
        }
