"""One session, shared by the API, the command line and MCP."""

from __future__ import annotations

from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, Final

from kaizen_nexus import _accel
from kaizen_nexus._common.dataclass_fields import DataclassFields
from kaizen_nexus._common.session_arguments import MAX_TTL_SECONDS, NS_PER_SECOND
from kaizen_nexus.sessions.activity import ChannelActivity
from kaizen_nexus.sessions.wallclock import default_wall_clock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from kaizen_nexus._core.session_table import SessionHandle
    from kaizen_nexus.sessions.wallclock import WallClock

__all__ = ["CrossChannelSession"]

_DEFAULT_TTL_NS: Final = 3600 * NS_PER_SECOND
_FIELDS: Final = (
    "session_id",
    "user_id",
    "created_at",
    "last_accessed",
    "expires_at",
    "state",
    "channel_activity",
    "memory_pool_id",
)


class CrossChannelSession:
    """A session: who it belongs to, its state, and when and where it was last used.

    A session that a manager returned is a light handle onto a row of its table: reading shows what
    the table holds, setting an attribute changes it, and other handles onto the same session see
    the change. Once the table has let go of the session (deleted, replaced, evicted, or swept after
    it expired), the handle keeps answering with what the session held last and counts as expired;
    it never touches a session that comes after it under the same id.

    It can also be constructed on its own; assigning it to ``manager.sessions[session_id]`` puts it
    under a manager.

    Parameters
    ----------
    session_id : str, optional
        1 to 256 characters; by default 128 random bits in hexadecimal.
    user_id : str
        Whose session it is.
    created_at, last_accessed : datetime, optional
        Now by default. Datetimes are naive and local, as `datetime.now` returns them; aware ones
        are accepted and converted.
    expires_at : datetime, optional
        `ttl` from now by default.
    state : mapping, optional
        The state, by str keys; a dict is used as it is.
    channel_activity : mapping, optional
        When the session was last active on each channel.
    memory_pool_id
        The memory pool bound to the session.
    ttl : float, optional
        How far an access slides `expires_at`, in seconds. By default the distance from
        `last_accessed` to `expires_at` if that was given and is positive, or else an hour.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of its bounds.

    Notes
    -----
    Safe to use from any thread. Expiry is kept on a monotonic clock: the datetimes follow a step of
    the wall clock, the time that remains does not.
    """

    __slots__ = ("__weakref__", "_clock", "_row")

    __dataclass_fields__ = DataclassFields(*_FIELDS)

    def __init__(  # noqa: PLR0917 - positional, in the order of its attributes
        self,
        session_id: str | None = None,
        user_id: str = "",
        created_at: datetime | None = None,
        last_accessed: datetime | None = None,
        expires_at: datetime | None = None,
        state: Mapping[str, Any] | None = None,
        channel_activity: Mapping[str, datetime] | None = None,
        memory_pool_id: Any = None,
        *,
        ttl: float | None = None,
    ) -> None:
        clock = self._clock = default_wall_clock()
        expires = None if expires_at is None else clock.from_datetime(expires_at)
        accessed = None if last_accessed is None else clock.from_datetime(last_accessed)
        if ttl is None:
            ttl = _sliding_seconds(clock, accessed, expires)
        row = self._row = _accel.SessionTable.detached(session_id, user_id, ttl)
        if created_at is not None:
            row.created = clock.from_datetime(created_at)
        if accessed is not None:
            row.accessed = accessed
        if expires is not None:
            row.expires = expires
        if state is not None:
            row.state = state
            row.version = 0
        if channel_activity is not None:
            self.channel_activity = channel_activity
        row.memory_pool_id = memory_pool_id

    @classmethod
    def _of(cls, row: SessionHandle, clock: WallClock) -> CrossChannelSession:
        """Return a session onto a row of a table whose clock `clock` converts."""
        session = cls.__new__(cls)
        session._row = row
        session._clock = clock
        return session

    def _move_to(self, clock: WallClock) -> None:
        """Restate the session's times on another monotonic clock."""
        if clock is self._clock:
            return
        row = self._row
        row.created = clock.restated(row.created, self._clock)
        row.accessed = clock.restated(row.accessed, self._clock)
        row.expires = clock.restated(row.expires, self._clock)
        for channel, time in row.channels().items():
            row.set_channel(channel, clock.restated(time, self._clock))
        self._clock = clock

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self._row.session_id

    @property
    def user_id(self) -> str:
        """Whose session it is."""
        return self._row.user_id

    @user_id.setter
    def user_id(self, user_id: str) -> None:
        self._row.user_id = user_id

    @property
    def created_at(self) -> datetime:
        """When the session was created, naive and local."""
        return self._clock.to_datetime(self._row.created)

    @created_at.setter
    def created_at(self, moment: datetime) -> None:
        self._row.created = self._clock.from_datetime(moment)

    @property
    def last_accessed(self) -> datetime:
        """When the session was last accessed, naive and local."""
        return self._clock.to_datetime(self._row.accessed)

    @last_accessed.setter
    def last_accessed(self, moment: datetime) -> None:
        self._row.accessed = self._clock.from_datetime(moment)

    @property
    def expires_at(self) -> datetime:
        """When the session expires unless it is accessed before, naive and local."""
        return self._clock.to_datetime(self._row.expires)

    @expires_at.setter
    def expires_at(self, moment: datetime) -> None:
        self._row.expires = self._clock.from_datetime(moment)

    @property
    def ttl(self) -> float:
        """How far an access slides the expiry, in seconds."""
        return self._row.ttl / NS_PER_SECOND

    @property
    def state(self) -> dict[str, Any]:
        """The live state: changing this dict changes the session."""
        return self._row.state

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._row.state = state

    @property
    def version(self) -> int:
        """How often `state` was set, or updated with anything, counted from 0.

        What is done to the dict itself, as in ``session.state["topic"] = "maps"``, cannot be seen
        and does not count.
        """
        return self._row.version

    @property
    def channel_activity(self) -> ChannelActivity:
        """When the session was last active on each channel, as a live mapping."""
        return ChannelActivity(self._row, self._clock)

    @channel_activity.setter
    def channel_activity(self, activity: Mapping[str, datetime]) -> None:
        moments = {name: self._clock.from_datetime(when) for name, when in activity.items()}
        for name in self._row.channels().keys() - moments.keys():
            self._row.set_channel(name, None)
        for name, moment in moments.items():
            self._row.set_channel(name, moment)

    @property
    def memory_pool_id(self) -> Any:
        """The memory pool bound to the session, None if there is none."""
        return self._row.memory_pool_id

    @memory_pool_id.setter
    def memory_pool_id(self, memory_pool_id: Any) -> None:
        self._row.memory_pool_id = memory_pool_id

    def is_expired(self) -> bool:
        """Return whether the session has expired or its manager has let go of it."""
        return self._row.is_expired()

    def refresh(self, channel: str | None = None) -> None:
        """Slide the expiry by the session's own TTL, and note the channel if one is given.

        A session that has expired is revived as long as its manager still holds it.
        """
        self._row.touch(channel)

    def update_state(
        self,
        updates: Mapping[str, Any],
        channel: str | None = None,
        *,
        if_version: int | None = None,
    ) -> None:
        """Refresh the session and merge `updates` into its state.

        Raises
        ------
        VersionConflictError
            If `version` is not `if_version`, where that is given. Nothing was merged.
        """
        self._row.update(updates, channel, if_version=if_version)

    def get_state(self, channel: str | None = None) -> dict[str, Any]:
        """Refresh the session and return a shallow copy of its state."""
        return self._row.get_state(channel)

    def _fields(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in _FIELDS}
        return {**fields, "channel_activity": dict(self.channel_activity)}

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy as a session of its own with the same attributes; what they hold is shared."""
        version = self.version  # read first: too low a one merely has to be read again
        return _restored, (type(self), {**self._fields(), "ttl": self.ttl}, version)

    def __eq__(self, other: object) -> bool:
        """Return whether both sessions have equal attributes."""
        if not isinstance(other, CrossChannelSession):
            return NotImplemented
        return self._row is other._row or self._fields() == other._fields()

    __hash__ = None  # type: ignore[assignment]  # mutable, like every object compared by value

    @recursive_repr()
    def __repr__(self) -> str:
        """Return all attributes, as a dataclass would show them."""
        fields = ", ".join(f"{name}={value!r}" for name, value in self._fields().items())
        return f"{type(self).__qualname__}({fields})"


def _restored(
    kind: type[CrossChannelSession], fields: dict[str, Any], version: int
) -> CrossChannelSession:
    session = kind(**fields)
    session._row.version = version
    return session


def _sliding_seconds(clock: WallClock, accessed: int | None, expires: int | None) -> float:
    """Return the TTL that a session with these times must have had."""
    if expires is None:
        return _DEFAULT_TTL_NS / NS_PER_SECOND
    if accessed is None:
        accessed = clock.now()
    ttl = expires - accessed if expires > accessed else _DEFAULT_TTL_NS
    return min(ttl / NS_PER_SECOND, MAX_TTL_SECONDS)
