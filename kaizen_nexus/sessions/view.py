"""The sessions of a manager as a mapping."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, MutableMapping, ValuesView
from copy import copy
from typing import TYPE_CHECKING, cast

from kaizen_nexus.sessions.session import CrossChannelSession

if TYPE_CHECKING:
    from kaizen_nexus._accel import SessionTable
    from kaizen_nexus.sessions.cleanup import Sweeper
    from kaizen_nexus.sessions.wallclock import WallClock

__all__ = ["SessionsView"]


class SessionsView(MutableMapping[str, CrossChannelSession]):
    """A live mapping, id to session, of all sessions that a manager holds.

    Expired sessions are counted, found and iterated over until a cleanup removes them; ``in`` tells
    whether a session is live. Looking at a session here is not an access: it slides nothing.
    Iteration is over a snapshot, so that sessions may come and go meanwhile. Assigning a session
    puts it under the manager, deleting one removes it.
    """

    __slots__ = ("_clock", "_sweeper", "_table")

    def __init__(self, table: SessionTable, clock: WallClock, sweeper: Sweeper) -> None:
        self._table = table
        self._clock = clock
        self._sweeper = sweeper

    def __getitem__(self, session_id: str) -> CrossChannelSession:
        """Return a session, expired or not."""
        row = self._table.peek(session_id)
        if row is None:
            raise KeyError(session_id)
        return cast("CrossChannelSession", row)

    def __setitem__(self, session_id: str, session: CrossChannelSession) -> None:
        """Put a session under the manager, replacing one that has its id.

        Raises
        ------
        TypeError
            If `session` is not a `CrossChannelSession`.
        ValueError
            If the id is not the session's own.
        SessionTableFullError
            If the manager is full of live sessions and refuses.
        """
        if not isinstance(session, CrossChannelSession):
            raise TypeError(
                f"a session must be a CrossChannelSession, not {type(session).__name__}"
            )
        if session_id != session.session_id:
            raise ValueError(
                f"session {session.session_id!r} cannot be stored under the id {session_id!r}"
            )
        self.adopt(session, replace=True)

    def __delitem__(self, session_id: str) -> None:
        """Remove a session, expired or not."""
        row = self._table.peek(session_id)
        if row is None:
            raise KeyError(session_id)
        row.delete()

    def __contains__(self, session_id: object) -> bool:
        """Return whether there is a live session of this id."""
        return session_id in self._table

    def __len__(self) -> int:
        """Return the number of sessions held, expired ones included."""
        return len(self._table)

    def __iter__(self) -> Iterator[str]:
        """Iterate over a snapshot of the ids."""
        return iter(self._table)

    def adopt(self, session: CrossChannelSession, *, replace: bool) -> bool:
        """Put a session under the manager; it is a handle onto its row from then on.

        A session that another manager holds stays there, and a copy is put under this one.

        Returns
        -------
        bool
            False if `replace` is false and there is a live session of that id.
        """
        if session.attached and self._table.peek(session.session_id) is not session:
            session = copy(session)
            session.state = session.state.copy()
        former, adopted = session._clock, False
        own = not session.attached
        if own:
            session._restate(former, self._clock)
        try:
            adopted = self._table.adopt(session, replace=replace)
        finally:
            if own and not adopted:
                session._restate(self._clock, former)
        self._sweeper.start()
        return adopted

    def items(self) -> ItemsView[str, CrossChannelSession]:
        """Return the ids and sessions; those removed during an iteration are left out of it."""
        return _Items(self)

    def values(self) -> ValuesView[CrossChannelSession]:
        """Return the sessions; those removed during an iteration are left out of it."""
        return _Values(self)

    def copy(self) -> dict[str, CrossChannelSession]:
        """Return the ids and sessions as a new dict."""
        return dict(self.items())

    def clear(self) -> None:
        """Remove all sessions."""
        self._table.clear()

    def __repr__(self) -> str:
        """Return the number of sessions; listing a million of them helps nobody."""
        return f"<{type(self).__name__} of {len(self)} sessions>"


class _Items(ItemsView[str, CrossChannelSession]):
    def __init__(self, sessions: SessionsView) -> None:
        super().__init__(sessions)
        self._sessions = sessions

    def __iter__(self) -> Iterator[tuple[str, CrossChannelSession]]:
        for session_id in self._sessions:
            session = self._sessions.get(session_id)
            if session is not None:
                yield session_id, session


class _Values(ValuesView[CrossChannelSession]):
    def __init__(self, sessions: SessionsView) -> None:
        super().__init__(sessions)
        self._sessions = sessions

    def __iter__(self) -> Iterator[CrossChannelSession]:
        return (session for _, session in _Items(self._sessions))
