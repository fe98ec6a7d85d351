"""One session as an object, in a table or out of it: the pure-Python twin of the compiled handle.

Here the handle is the row itself: a table maps ids to handles, and one that leaves its table simply
keeps its values.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import nullcontext
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Final, Protocol

from kaizen_nexus._common import session_arguments as _arguments

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

__all__ = ["SessionHandle", "checked_items"]

_BLOCK: Final = 256
_ID_BYTES: Final = 16


class _Home(Protocol):
    """What a session needs of the table that holds it."""

    context: Any

    @property
    def _lock(self) -> AbstractContextManager[object]: ...
    def now(self) -> int: ...
    def _admit(self, name: str) -> None: ...
    def _used(self, handle: SessionHandle) -> None: ...
    def _expires_at(self, expires: int) -> None: ...
    def _delete(self, handle: SessionHandle) -> bool: ...


class _Nowhere:
    """Stands in for the table of a session that never was in one."""

    context: Any = None
    _lock = nullcontext()

    def now(self) -> int:
        return monotonic_ns()

    def _admit(self, name: str) -> None:
        pass

    def _used(self, handle: SessionHandle) -> None:
        pass

    def _expires_at(self, expires: int) -> None:
        pass

    def _delete(self, handle: SessionHandle) -> bool:
        return False


_NOWHERE = _Nowhere()

_random_ids: deque[str] = deque()


def random_id() -> str:
    """Return 128 random bits as 32 hexadecimal digits, drawn from a block of 256."""
    try:
        return _random_ids.pop()
    except IndexError:
        digits = os.urandom(_BLOCK * _ID_BYTES).hex()
        width = 2 * _ID_BYTES
        first, *rest = (digits[i : i + width] for i in range(0, len(digits), width))
        _random_ids.extend(rest)
        return first


if hasattr(os, "register_at_fork"):
    # Parent and child must not hand out the same ids.
    os.register_at_fork(after_in_child=_random_ids.clear)


def checked_items(items: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a dict whose keys are exact str: `items` itself if it is one."""
    if type(items) is dict:
        for key in list(items):  # a copy: another thread may be merging into it
            if type(key) is not str:
                break
        else:
            return items
    return _arguments.state_dict(items, name)


class SessionHandle:
    """One session, in a table or out of it.

    While a table holds the row, reading and writing a handle reads and writes the table. When the
    row is removed, what it held moves into the handle, which goes on answering with it and never
    touches another row, whatever the id or the slot is used for next. A handle acts on its row even
    after the session has expired, as long as the table holds it.

    Times are nanoseconds on the table's clock, or on the built-in clock if there never was a table.

    Parameters
    ----------
    session_id : str, optional
        1 to 256 characters; by default 128 random bits in hexadecimal.
    user_id : str
        Whose session it is.
    ttl : float
        Seconds of disuse after which it expires.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of its bounds.
    RuntimeError
        If the session has begun before.
    """

    __slots__ = (
        "__weakref__",
        "_accessed",
        "_attached",
        "_channels",
        "_created",
        "_expires",
        "_home",
        "_memory_pool_id",
        "_removed",
        "_session_id",
        "_state",
        "_ttl",
        "_user_id",
        "_version",
    )

    _session_id: str
    _user_id: str
    _state: dict[str, Any] | None
    _memory_pool_id: Any
    _created: int
    _accessed: int
    _expires: int
    _ttl: int
    _version: int
    _channels: dict[str, int]
    _home: _Home
    _attached: bool
    _removed: bool

    def __init__(
        self, session_id: str | None = None, user_id: str = "", ttl: float = 3600.0
    ) -> None:
        self._begin(session_id, user_id, _arguments.duration_ns(ttl), monotonic_ns())

    def _begin(self, session_id: str | None, user_id: str, ttl: int, now: int) -> None:
        if hasattr(self, "_session_id"):
            raise _arguments.begun_before()
        key = random_id() if session_id is None else _arguments.session_id(session_id)
        self._user_id = _arguments.user_id(user_id)
        self._state = None
        self._memory_pool_id = None
        self._created = self._accessed = now
        self._ttl = ttl
        self._version = 0
        self._expires = now + ttl
        self._channels = {}
        self._home = _NOWHERE
        self._attached = False
        self._removed = False
        self._session_id = key

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self._session_id

    @property
    def attached(self) -> bool:
        """Whether a table holds the row."""
        return self._attached

    @property
    def context(self) -> Any:
        """What the table that holds the session, or did so last, has as its context."""
        return self._home.context

    @property
    def created(self) -> int:
        """When the session was created, in nanoseconds."""
        return self._created

    @created.setter
    def created(self, time: int) -> None:
        self._created = _arguments.timestamp_ns(time, "created")

    @property
    def accessed(self) -> int:
        """When the session was last accessed, in nanoseconds."""
        return self._accessed

    @accessed.setter
    def accessed(self, time: int) -> None:
        self._accessed = _arguments.timestamp_ns(time, "accessed")

    @property
    def expires(self) -> int:
        """When the session expires unless it is accessed before, in nanoseconds."""
        return self._expires

    @expires.setter
    def expires(self, time: int) -> None:
        expires = _arguments.timestamp_ns(time, "expires")
        with self._home._lock:
            self._set_expires(expires)

    @property
    def ttl(self) -> float:
        """How far an access slides the expiry, in seconds."""
        return self._ttl / 1e9

    @property
    def user_id(self) -> str:
        """Whose session it is."""
        return self._user_id

    @user_id.setter
    def user_id(self, user_id: str) -> None:
        self._user_id = _arguments.user_id(user_id)

    @property
    def memory_pool_id(self) -> Any:
        """The memory pool bound to the session, None if there is none."""
        return self._memory_pool_id

    @memory_pool_id.setter
    def memory_pool_id(self, memory_pool_id: Any) -> None:
        self._memory_pool_id = memory_pool_id

    @property
    def state(self) -> dict[str, Any]:
        """The live state: changing this dict changes the session."""
        with self._home._lock:
            if self._state is None:
                self._state = {}
            return self._state

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        checked = checked_items(state, "state")
        with self._home._lock:
            replaced, self._state = self._state, checked
            self._version += 1
        del replaced

    @property
    def version(self) -> int:
        """How often `state` was set, or updated with anything, counted from 0.

        What is done to the dict itself, as in ``session.state["topic"] = "maps"``, cannot be seen
        and does not count.
        """
        return self._version

    @version.setter
    def version(self, version: int) -> None:
        self._version = _arguments.version(version, "version")

    def channels(self) -> dict[str, int]:
        """Return the last activity on each channel in nanoseconds, as a new dict."""
        return self._channels.copy()

    def set_channel(self, channel: str, time: int | None) -> None:
        """Set the last activity on a channel in nanoseconds; None forgets it."""
        name = _arguments.channel_name(channel)
        if time is None:
            self._channels.pop(name, None)
            return
        value = _arguments.timestamp_ns(time, "time")
        with self._home._lock:
            self._admit(name)
            self._channels[name] = value

    def now(self) -> int:
        """Return the clock that the session's times are on, in nanoseconds."""
        return self._home.now()

    def is_expired(self) -> bool:
        """Return whether the session has expired or its table has let go of it."""
        now = self._home.now()
        return self._removed or self._expires <= now

    def refresh(self, channel: str | None = None) -> None:
        """Slide the expiry by the session's own TTL, and note the channel if one is given.

        A session that has expired is revived as long as its table still holds it.
        """
        now = self._home.now()
        name = None if channel is None else _arguments.channel_name(channel)
        with self._home._lock:
            self._access(name, now)

    def update_state(
        self,
        updates: Mapping[str, Any],
        channel: str | None = None,
        *,
        if_version: int | None = None,
    ) -> None:
        """Refresh the session and merge `updates` into its state, all or nothing.

        Raises
        ------
        VersionConflictError
            If `version` is not `if_version`, where that is given. Nothing was merged.
        """
        items = checked_items(updates, "updates")
        if if_version is not None:
            if_version = _arguments.version(if_version, "if_version")
        now = self._home.now()
        name = None if channel is None else _arguments.channel_name(channel)
        with self._home._lock:
            self._access(name, now)
            if if_version is not None and if_version != self._version:
                raise _arguments.version_conflict(if_version, self._version)
            replaced = self._merge(items)
        del replaced

    def get_state(self, channel: str | None = None) -> dict[str, Any]:
        """Refresh the session and return a shallow copy of its state."""
        now = self._home.now()
        name = None if channel is None else _arguments.channel_name(channel)
        with self._home._lock:
            self._access(name, now)
            state = self._state
        return {} if state is None else state.copy()

    def delete(self) -> bool:
        """Remove the session from the table that holds it; return whether it was live."""
        return self._home._delete(self)

    def _admit(self, name: str) -> None:
        """Raise if there is no room for another channel."""
        if self._attached:
            self._home._admit(name)
        elif name not in self._channels and len(self._channels) >= _arguments.MAX_CHANNELS:
            raise _arguments.too_many_channels(name)

    def _access(self, name: str | None, now: int) -> None:
        if name is not None:
            self._admit(name)
            self._channels[name] = now
        self._accessed = now
        self._set_expires(now + self._ttl)
        if self._attached:
            self._home._used(self)

    def _set_expires(self, expires: int) -> None:
        self._expires = expires
        if self._attached:
            self._home._expires_at(expires)

    def _merge(self, items: dict[str, Any]) -> list[Any] | None:
        """Update the state and return the values it replaced, to be dropped after unlocking."""
        self._version += bool(items)
        if self._state is None:
            self._state = items.copy()
            return None
        replaced = list(map(self._state.get, items))
        self._state.update(items)
        return replaced
