"""Tables of sessions, and the caches that people use in their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any, Protocol

from bench.core.contenders import COMPILED, ORIGINAL, PURE, Call, original

__all__ = [
    "AGING",
    "CACHES",
    "MANAGER",
    "TABLES",
    "Cache",
    "Dict",
    "Sessions",
    "state_of",
]

CAPACITY = 4_000_000
SAMPLE = 1_000
"""One session in so many is refreshed: several of each chunk of rows."""
TTL = 3600.0
MANAGER = "our NexusSessionManager"


def state_of(turn: int) -> dict[str, object]:
    """Return what a session holds in every contender."""
    return {"topic": "benchmarks", "turn": turn}


def an_hour_ago() -> datetime:
    """Return a naive local time, as the managers' sessions have."""
    return datetime.now() - timedelta(hours=1)  # noqa: DTZ005


class Cache(Protocol):
    """What remembers a state for an id."""

    @property
    def get(self) -> Call:
        """Read the state of the session ``item``."""

    @property
    def update(self) -> Call:
        """Set the turn of the session ``item`` to 2."""

    def fill(self, ids: Sequence[str]) -> None:
        """Create these sessions, each with the `state_of` its position."""


class Sessions(Cache, Protocol):
    """What also creates sessions, removes the expired ones and counts."""

    @property
    def create(self) -> Call:
        """Create a session with an id of the table's own; each measurement starts empty."""

    @property
    def sweep(self) -> Call:
        """Remove all that has expired, and return how many."""

    @property
    def metrics(self) -> Call:
        """Count the sessions."""

    def fill_idle(self, ids: Sequence[str]) -> None:
        """Create these sessions, without a state."""

    def active(self) -> int:
        """Return how many sessions `metrics` counts."""

    def expire(self) -> None:
        """Let all sessions expire, without removing any."""

    def refresh(self) -> None:
        """Bring the table into the state of long use.

        Every part of it then holds sessions that would have expired, had they not been used.
        """


class Table:
    """Our `SessionTable`, of one implementation.

    Parameters
    ----------
    package
        The implementation.
    aging
        Whether `expire` shall work, by a clock that stands still; costs a call per access.
    """

    def __init__(self, package: str, aging: bool = False) -> None:
        self.now = 0
        clock: Callable[[], int] | None = (lambda: self.now) if aging else None
        module = import_module(f"kaizen_nexus.{package}.session_table")
        self.table = module.SessionTable(TTL, capacity=CAPACITY, clock=clock)
        names = {"table": self.table}
        self.get = Call("table.get_state(item, 'api')", names)
        self.update = Call("table.update(item, {'turn': 2}, 'api')", names)
        self.create = Call("table.create(user_id='user')", names, before=self.table.clear)
        self.sweep = Call("table.sweep_all()", names)
        self.metrics = Call("table.metrics()", names)

    def fill(self, ids: Sequence[str]) -> None:
        """Create these sessions."""
        for turn, session_id in enumerate(ids):
            self.table.create(session_id, "user", state=state_of(turn))

    def fill_idle(self, ids: Sequence[str]) -> None:
        """Create these sessions, without a state."""
        for session_id in ids:
            self.table.create(session_id, "user")

    def refresh(self) -> None:
        """Let a session of each chunk of rows expire, and use it."""
        for session_id in self.table.ids()[::SAMPLE]:
            row = self.table.peek(session_id)
            row.expires = row.now()
            row.touch()

    def active(self) -> int:
        """Return how many sessions `metrics` counts."""
        return int(self.metrics.function()()["active"])

    def expire(self) -> None:
        """Advance the clock."""
        self.now += int((TTL + 1) * 1e9)


class Manager:
    """Either manager of sessions: ours, on the compiled table, or the original's."""

    def __init__(self, manager: Any, empty: Callable[[], object]) -> None:
        self.manager = manager
        names = {"manager": manager}
        self.get = Call("manager.get_session_state(item, 'api')", names)
        self.update = Call("manager.update_session_state(item, {'turn': 2}, 'api')", names)
        self.create = Call("manager.create_session(user_id='user')", names, before=empty)
        self.sweep = Call("manager.cleanup_expired_sessions()", names)
        self.metrics = Call("manager.get_session_metrics()", names)

    def fill(self, ids: Sequence[str]) -> None:
        """Create these sessions."""
        for turn, session_id in enumerate(ids):
            self.manager.create_session(session_id, "user").state = state_of(turn)

    def fill_idle(self, ids: Sequence[str]) -> None:
        """Create these sessions, without a state."""
        for session_id in ids:
            self.manager.create_session(session_id, "user")

    def active(self) -> int:
        """Return how many sessions `metrics` counts."""
        return int(self.metrics.function()()["active_sessions"])

    def refresh(self) -> None:
        """Let some sessions expire, and use them."""
        for session_id in list(self.manager.sessions)[::SAMPLE]:
            session = self.manager.sessions[session_id]
            session.expires_at = an_hour_ago()
            session.refresh()

    def expire(self) -> None:
        """Set every session's expiry to a time that has passed."""
        past = an_hour_ago()
        for session in self.manager.sessions.values():
            session.expires_at = past


def our_manager() -> Manager:
    """Return our manager, if it runs on the compiled table."""
    import_module("kaizen_nexus._core.session_table")
    from kaizen_nexus import IMPLEMENTATION, NexusSessionManager

    if IMPLEMENTATION != "c":
        raise ModuleNotFoundError("not in use", name="the compiled core, by KAIZEN_NEXUS_IMPL,")
    manager = NexusSessionManager(cleanup_interval=None, session_ttl=TTL)
    return Manager(manager, manager.sessions.clear)


def their_manager() -> Manager:
    """Return the original's manager; it shall not clean up while something else is timed."""
    manager = original().NexusSessionManager(cleanup_interval=10**9)
    return Manager(manager, manager.sessions.clear)


class Dict:
    """A plain dictionary: what any lookup costs at this size, caches of the processor included."""

    def __init__(self) -> None:
        self.states: dict[str, dict[str, object]] = {}
        self.get = Call("states.get(item)", {"states": self.states})
        self.update = Call("states[item]['turn'] = 2", {"states": self.states})

    def fill(self, ids: Sequence[str]) -> None:
        """Set the states."""
        self.states.update((session_id, state_of(turn)) for turn, session_id in enumerate(ids))


class MappingCache:
    """A cache with a time to live that is used like a dictionary, and never copies a state."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache
        self.get = Call("cache.get(item)", {"cache": cache})
        self.update = Call("cache[item] = {'topic': 'benchmarks', 'turn': 2}", {"cache": cache})

    def fill(self, ids: Sequence[str]) -> None:
        """Set the states."""
        for turn, session_id in enumerate(ids):
            self.cache[session_id] = state_of(turn)


def cachebox() -> MappingCache:
    """Return cachebox's cache with one time to live for all."""
    import cachebox

    return MappingCache(cachebox.TTLCache(CAPACITY, TTL))


def cachetools() -> MappingCache:
    """Return cachetools' cache with one time to live for all."""
    import cachetools

    return MappingCache(cachetools.TTLCache(CAPACITY, TTL))


class Theine:
    """Theine's cache, with a time to live for each entry."""

    def __init__(self) -> None:
        from theine import Cache

        # It reserves memory for its capacity at once.
        self.cache: Any = Cache(100_000)
        self.ttl = timedelta(seconds=TTL)
        names = {"cache": self.cache, "ttl": self.ttl}
        self.get = Call("cache.get(item)[0]", names)
        self.update = Call("cache.set(item, {'topic': 'benchmarks', 'turn': 2}, ttl)", names)

    def fill(self, ids: Sequence[str]) -> None:
        """Set the states."""
        for turn, session_id in enumerate(ids):
            self.cache.set(session_id, state_of(turn), self.ttl)


TABLES: dict[str, Callable[[], Sessions]] = {
    COMPILED: lambda: Table("_core"),
    MANAGER: our_manager,
    PURE: lambda: Table("_fallback"),
    ORIGINAL: their_manager,
}
CACHES: dict[str, Callable[[], Cache]] = {
    "cachebox": cachebox,
    "cachetools": cachetools,
    "theine": Theine,
}
AGING: dict[str, Callable[[], Sessions]] = {
    COMPILED: lambda: Table("_core", aging=True),
    PURE: lambda: Table("_fallback", aging=True),
    ORIGINAL: their_manager,
}
