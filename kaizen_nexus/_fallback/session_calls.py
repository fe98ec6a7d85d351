"""The calls of a session manager that go straight to its table: the pure-Python twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from kaizen_nexus._common import session_arguments as _arguments
from kaizen_nexus._fallback.session_handle import SessionHandle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kaizen_nexus._fallback.session_table import SessionTable

__all__ = ["SessionCalls"]


Session = TypeVar("Session", bound=SessionHandle)


class SessionCalls(Generic[Session]):
    """The base of `NexusSessionManager`: the calls that every request makes.

    They are here because a call that passed through a second function would cost a third more. The
    subclass sets `_table` and `_start_cleanup`, which is called whenever nothing tends the table.
    """

    _table: SessionTable
    _start_cleanup: Callable[[], object]

    def create_session(
        self,
        session_id: str | None = None,
        user_id: str = "",
        ttl_hours: float | None = None,
    ) -> Session:
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
        table = self._table
        _arguments.require_user(user_id)
        ttl, stillborn = table._ttl, False
        if ttl_hours is not None:
            stillborn = ttl_hours == 0 and not isinstance(ttl_hours, bool)
            if not stillborn:
                ttl = _arguments.duration_ns(ttl_hours, "ttl_hours", 3600)
        session = table._create(session_id or None, user_id, ttl, None, stillborn=stillborn)
        if not table.tended:
            self._start_cleanup()
        return cast("Session", session)

    def get_session(self, session_id: str) -> Session | None:
        """Return a live session and slide its expiry; None if there is none of this id."""
        return cast("Session | None", self._table.handle(session_id))

    def attach(
        self, session_id: str, owner: str | None, channel: str | None = None
    ) -> Session | None:
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
        return cast("Session | None", self._table.handle(session_id, channel, owner=owner))

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
        return self._table.update(session_id, updates, channel, if_version=if_version)
