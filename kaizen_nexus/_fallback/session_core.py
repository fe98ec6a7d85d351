"""What the pure-Python session table does under its lock."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Final

from kaizen_nexus._common import session_arguments as _arguments
from kaizen_nexus._common.fork_locks import fork_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kaizen_nexus._fallback.session_handle import SessionHandle

__all__ = ["TableCore", "lookup_key"]

_BATCH: Final = 256


def lookup_key(session_id: object) -> str:
    """Return an exact str; the empty one, no session's id, for what is not a str."""
    return str.__str__(session_id) if isinstance(session_id, str) else ""


class TableCore:
    """The rows and the lock that guards them."""

    def __init__(
        self,
        ttl: int,
        capacity: int,
        clock: Callable[[], int] | None,
        *,
        evict: bool,
        handles: type[SessionHandle],
    ) -> None:
        self.tended = False
        self._kind = handles
        self.context: Any = None
        self._ttl = ttl
        self._capacity = capacity
        self._now: Callable[[], int] = monotonic_ns
        if clock is not None:
            self._now = lambda: _arguments.clock_reading(clock())
        self._recency: OrderedDict[str, SessionHandle] | None = OrderedDict() if evict else None
        self._rows: dict[str, SessionHandle] = {} if self._recency is None else self._recency
        self._names: set[str] = set()
        # No row expires before this; it may lie too early, never too late.
        self._earliest = 2 * _arguments.MAX_TIME_NS
        self._lock = fork_lock()
        self._counts = dict.fromkeys(
            ("created", "replaced", "expired", "deleted", "evicted", "refused"), 0
        )

    def now(self) -> int:
        """Return the table's clock in nanoseconds."""
        return self._now()

    def _find(self, session_id: object, now: int) -> SessionHandle | None:
        """Return the row of a live session."""
        row = self._rows.get(session_id if type(session_id) is str else lookup_key(session_id))
        return row if row is not None and row._expires > now else None

    def _admit(self, name: str) -> None:
        """Raise if there is no room for another channel."""
        if name not in self._names:
            if len(self._names) >= _arguments.MAX_CHANNELS:
                raise _arguments.too_many_channels(name)
            self._names.add(name)

    def _used(self, row: SessionHandle) -> None:
        if self._recency is not None:
            self._recency.move_to_end(row._session_id)

    def _expires_at(self, expires: int) -> None:
        self._earliest = min(self._earliest, expires)

    def _access(
        self, session_id: object, now: int, channel: str | None, owner: str | None = None
    ) -> SessionHandle | None:
        """Return the row of a live session of this owner after sliding its expiry."""
        row = self._rows.get(session_id if type(session_id) is str else lookup_key(session_id))
        if row is None or row._expires <= now:
            return None
        if owner is not None and row._user_id != owner:
            return None
        row._accessed = now
        row._expires = expires = now + row._ttl
        if expires < self._earliest:  # noqa: PLR1730 - min() would be the dearest call here
            self._earliest = expires
        if channel is not None:
            row._channels[channel] = now
        if self._recency is not None:
            self._recency.move_to_end(row._session_id)
        return row

    def _remove(self, rows: list[SessionHandle], count: str) -> list[SessionHandle]:
        """Let go of rows, which the caller drops after unlocking; return those not gone before.

        Collecting garbage may have run a destructor that removed some since they were looked up.
        """
        gone = [row for row in rows if row._attached]
        for row in gone:
            del self._rows[row._session_id]
            row._attached = False
            row._removed = True
        self._counts[count] += len(gone)
        return gone

    def _make_room(self, now: int) -> list[SessionHandle]:
        """Remove expired rows, or else the least recently used one, from a full table."""
        if now >= self._earliest:
            rows = list(self._rows.values())
            if expired := list(islice((row for row in rows if row._expires <= now), _BATCH)):
                return self._remove(expired, "expired")
            self._earliest = min(row._expires for row in rows)
        if self._recency is None:
            self._counts["refused"] += 1
            raise _arguments.table_full(self._capacity)
        return self._remove([next(iter(self._rows.values()))], "evicted")

    # --- outside the lock -----------------------------------------------------------------------

    def _channel(self, channel: object, session_id: object, now: int) -> str | None:
        """Return a channel's name, admitting a new one only for a session that exists."""
        if type(channel) is str and channel in self._names:
            return channel
        name = _arguments.channel_name(channel)
        with self._lock:
            if self._find(session_id, now) is None:
                return None
            self._admit(name)
        return name

    def _install(self, handle: SessionHandle, now: int, *, replace: bool) -> bool:
        """Give a handle a row; return False if a live session has its id and must be kept."""
        gone: list[SessionHandle] = []
        with self._lock:
            if handle._attached:
                if handle._home is not self:
                    raise ValueError(f"session {handle._session_id!r} is held by another table")
                return True
            for name in handle._channels:
                self._admit(name)
            former = self._rows.get(handle._session_id)
            if former is not None:
                live = former._expires > now
                if live and not replace:
                    return False
                gone = self._remove([former], "replaced" if live else "expired")
            elif len(self._rows) >= self._capacity:
                gone = self._make_room(now)
            self._rows[handle._session_id] = handle
            handle._home = self
            handle._attached = True
            handle._removed = False
            self._expires_at(handle._expires)
            self._counts["created"] += 1
        del gone
        return True

    def _delete(self, row: SessionHandle | None, if_version: int | None = None) -> bool:
        now = self._now()
        with self._lock:
            if row is None or not row._attached or row._home is not self:
                return False
            live = row._expires > now
            if live and if_version is not None and if_version != row._version:
                raise _arguments.version_conflict(if_version, row._version)
            self._remove([row], "deleted" if live else "expired")
        return live

    def _sweep(self, ids: Iterator[str], max_rows: int, budget: int) -> int:
        """Remove the expired rows among the next ids; return how many."""
        now = self._now()
        begun = monotonic_ns()
        deadline = begun + budget
        longest = total = 0
        while max_rows > 0 and (batch := list(islice(ids, min(max_rows, _BATCH)))):
            with self._lock:
                rows = [row for key in batch if (row := self._rows.get(key)) is not None]
                gone = self._remove([row for row in rows if row._expires <= now], "expired")
            total += len(gone)
            rows = gone = []
            max_rows -= len(batch)
            ended = monotonic_ns()
            longest = max(longest, ended - begun)
            begun = ended
            if ended + longest >= deadline:
                break
        return total
