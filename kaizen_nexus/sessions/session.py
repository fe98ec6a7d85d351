"""One session, shared by the API, the command line and MCP."""

from __future__ import annotations

from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, Final

from kaizen_nexus._accel import SessionHandle
from kaizen_nexus._common.dataclass_fields import DataclassFields
from kaizen_nexus._common.session_arguments import MAX_TTL_SECONDS, NS_PER_SECOND
from kaizen_nexus.sessions.activity import ChannelActivity
from kaizen_nexus.sessions.wallclock import default_wall_clock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

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


class CrossChannelSession(SessionHandle):
    """A session: who it belongs to, its state, and when and where it was last used.

    A session that a manager returned is a light handle onto a row of its table: reading shows what
    the table holds, and setting an attribute changes it. While somebody holds it, the manager
    returns the same object again. Once the table has let go of the session (deleted, replaced,
    evicted, or swept after it expired), the handle keeps answering with what the session held last
    and counts as expired; it never touches a session that comes after it under the same id.

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

    __slots__ = ()

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
        clock = default_wall_clock()
        expires = None if expires_at is None else clock.from_datetime(expires_at)
        accessed = None if last_accessed is None else clock.from_datetime(last_accessed)
        if ttl is None:
            ttl = _sliding_seconds(clock, accessed, expires)
        super().__init__(session_id, user_id, ttl)
        if created_at is not None:
            self.created = clock.from_datetime(created_at)
        if accessed is not None:
            self.accessed = accessed
        if expires is not None:
            self.expires = expires
        if state is not None:
            self.state = state
            self.version = 0
        if channel_activity is not None:
            self.channel_activity = channel_activity
        self.memory_pool_id = memory_pool_id

    @property
    def _clock(self) -> WallClock:
        """What converts the clock that the times are on."""
        return self.context or default_wall_clock()

    def _restate(self, former: WallClock, clock: WallClock) -> None:
        """Restate the times of a session that is in no table on another monotonic clock."""
        if clock is former:
            return
        self.created = clock.restated(self.created, former)
        self.accessed = clock.restated(self.accessed, former)
        self.expires = clock.restated(self.expires, former)
        for channel, time in self.channels().items():
            self.set_channel(channel, clock.restated(time, former))

    @property
    def created_at(self) -> datetime:
        """When the session was created, naive and local."""
        return self._clock.to_datetime(self.created)

    @created_at.setter
    def created_at(self, moment: datetime) -> None:
        self.created = self._clock.from_datetime(moment)

    @property
    def last_accessed(self) -> datetime:
        """When the session was last accessed, naive and local."""
        return self._clock.to_datetime(self.accessed)

    @last_accessed.setter
    def last_accessed(self, moment: datetime) -> None:
        self.accessed = self._clock.from_datetime(moment)

    @property
    def expires_at(self) -> datetime:
        """When the session expires unless it is accessed before, naive and local."""
        return self._clock.to_datetime(self.expires)

    @expires_at.setter
    def expires_at(self, moment: datetime) -> None:
        self.expires = self._clock.from_datetime(moment)

    @property
    def channel_activity(self) -> ChannelActivity:
        """When the session was last active on each channel, as a live mapping."""
        return ChannelActivity(self, self._clock)

    @channel_activity.setter
    def channel_activity(self, activity: Mapping[str, datetime]) -> None:
        moments = {name: self._clock.from_datetime(when) for name, when in activity.items()}
        for name in self.channels().keys() - moments.keys():
            self.set_channel(name, None)
        for name, moment in moments.items():
            self.set_channel(name, moment)

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
        return self is other or self._fields() == other._fields()

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
    session.version = version
    return session


def _sliding_seconds(clock: WallClock, accessed: int | None, expires: int | None) -> float:
    """Return the TTL that a session with these times must have had."""
    if expires is None:
        return _DEFAULT_TTL_NS / NS_PER_SECOND
    if accessed is None:
        accessed = clock.now()
    ttl = expires - accessed if expires > accessed else _DEFAULT_TTL_NS
    return min(ttl / NS_PER_SECOND, MAX_TTL_SECONDS)
