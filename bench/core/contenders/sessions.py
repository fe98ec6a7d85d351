"""Tables of sessions, and what people use in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from importlib import import_module
from typing import Any, TypeAlias

from bench.core.contenders import COMPILED, ORIGINAL, PURE, Call, original

__all__ = [
    "CACHES",
    "CHANGE",
    "CHANNEL",
    "MANAGER",
    "STORES",
    "TABLES",
    "Cache",
    "Dict",
    "MakeState",
    "Sessions",
    "Table",
    "state_of",
]

CAPACITY = 4_000_000
"""Sessions, more than are ever created: what is measured is not a full table."""
SAMPLE = 1_000
"""One session in so many is refreshed: several of each chunk of rows."""
TTL = 3600.0
CHANNEL = "api"
USER = "user"
CHANGE: dict[str, Any] = {"turn": 2}
MANAGER = "our NexusSessionManager"

MakeState = Callable[[int], Mapping[str, Any] | None]


def state_of(turn: int) -> dict[str, object]:
    """Return what a session holds in every contender."""
    return {"topic": "benchmarks", "turn": turn}


class Table:
    """Our `SessionTable`, of one implementation.

    Calls are timed: ``get`` reads the state of the session ``item``, ``update`` sets its turn to 2,
    ``create`` makes a session with an id of the table's own, starting empty, ``sweep`` removes all
    that has expired, and ``metrics`` counts. The rest are the table's own bound methods wherever
    those fit, for use under load.
    """

    def __init__(self, package: str) -> None:
        module = import_module(f"kaizen_nexus.{package}.session_table")
        table = self.table = module.SessionTable(TTL, capacity=CAPACITY)
        names = {"table": table}
        self.get = Call("table.get_state(item, 'api')", names)
        self.update = Call("table.update(item, {'turn': 2}, 'api')", names)
        self.create = Call("table.create(user_id='user')", names, before=table.clear)
        self.sweep = Call("table.sweep_all()", names)
        self.metrics = Call("table.metrics()", names)
        self.read, self.write, self.delete = table.get_state, table.update, table.delete
        self.add = partial(table.create, None, USER)
        self.sweep_slice, self.sweep_all = table.sweep, table.sweep_all
        # As `sweep_slice`, but letting go of its lock after the first time that it took it.
        self.sweep_batch = partial(table.sweep, budget=0.0)
        self.ids, self.size = table.ids, table.__len__

    def fill(self, ids: Iterable[str], make_state: MakeState = state_of) -> None:
        """Create these sessions, each with the state of its position."""
        for turn, session_id in enumerate(ids):
            self.table.create(session_id, USER, None, make_state(turn))

    def expire(self, ids: Iterable[str]) -> None:
        """Let these sessions expire this moment, without removing any."""
        now = self.table.now()
        for session_id in ids:
            self.table.peek(session_id).expires = now

    def refresh(self) -> None:
        """Bring the table into the state of long use.

        Every part of it then holds sessions that would have expired, had they not been used.
        """
        for session_id in self.table.ids()[::SAMPLE]:
            row = self.table.peek(session_id)
            row.expires = row.now()
            row.refresh()


class Manager:
    """Either manager of sessions: ours, on the compiled table, or the original's."""

    def __init__(self, manager: Any) -> None:
        self.manager = manager
        names = {"manager": manager}
        empty = manager.sessions.clear
        self.get = Call("manager.get_session_state(item, 'api')", names)
        self.update = Call("manager.update_session_state(item, {'turn': 2}, 'api')", names)
        self.create = Call("manager.create_session(user_id='user')", names, before=empty)
        self.sweep = Call("manager.cleanup_expired_sessions()", names)
        self.metrics = Call("manager.get_session_metrics()", names)
        self.read, self.write = manager.get_session_state, manager.update_session_state
        self.add = partial(manager.create_session, None, USER)
        self.sweep_all = manager.cleanup_expired_sessions
        self.delete = manager.sessions.pop

    def sweep_slice(self) -> tuple[int, bool]:
        return self.manager.cleanup_expired_sessions(), True

    def ids(self) -> list[str]:
        return list(self.manager.sessions)

    def size(self) -> int:
        return len(self.manager.sessions)

    def fill(self, ids: Iterable[str], make_state: MakeState = state_of) -> None:
        for turn, session_id in enumerate(ids):
            session = self.manager.create_session(session_id, USER)
            if (state := make_state(turn)) is not None:
                session.state = dict(state)

    def expire(self, ids: Iterable[str]) -> None:
        past = an_hour_ago()
        for session_id in ids:
            self.manager.sessions[session_id].expires_at = past

    def refresh(self) -> None:
        for session_id in self.ids()[::SAMPLE]:
            session = self.manager.sessions[session_id]
            session.expires_at = an_hour_ago()
            session.refresh()


def an_hour_ago() -> datetime:
    """Return a naive local time, as the managers' sessions have."""
    return datetime.now() - timedelta(hours=1)  # noqa: DTZ005


def our_manager() -> Manager:
    """Return our manager, if it runs on the compiled table."""
    import_module("kaizen_nexus._core.session_table")
    from kaizen_nexus import IMPLEMENTATION, NexusSessionManager

    if IMPLEMENTATION != "c":
        raise ModuleNotFoundError("not in use", name="the compiled core, by KAIZEN_NEXUS_IMPL,")
    return Manager(NexusSessionManager(cleanup_interval=None, session_ttl=TTL))


def their_manager() -> Manager:
    """Return the original's manager; it shall not clean up while something else is timed."""
    return Manager(original().NexusSessionManager(cleanup_interval=10**9))


class Dict:
    """A plain mapping: what any lookup costs at this size, caches of the processor included.

    Parameters
    ----------
    held
        A dictionary, or a cache with a time to live that is used like one and never copies a state.
    """

    def __init__(self, held: Any = None) -> None:
        self.held: Any = {} if held is None else held
        names = {"held": self.held}
        self.get = Call("held.get(item)", names)
        self.update = Call("held[item] = {'topic': 'benchmarks', 'turn': 2}", names)
        if held is None:
            self.update = Call("held[item]['turn'] = 2", names)

    def fill(self, ids: Iterable[str], make_state: MakeState = state_of) -> None:
        for turn, session_id in enumerate(ids):
            self.held[session_id] = make_state(turn)


Sessions: TypeAlias = Table | Manager
Cache: TypeAlias = Table | Manager | Dict
TABLES: dict[str, Callable[[], Sessions]] = {
    COMPILED: lambda: Table("_core"),
    MANAGER: our_manager,
    PURE: lambda: Table("_fallback"),
    ORIGINAL: their_manager,
}
CACHES: dict[str, Callable[[], Cache]] = {
    "cachebox": lambda: Dict(import_module("cachebox").TTLCache(CAPACITY, TTL)),
    "cachetools": lambda: Dict(import_module("cachetools").TTLCache(CAPACITY, TTL)),
}
STORES: dict[str, Callable[[], Sessions]] = {
    name: TABLES[name] for name in (COMPILED, PURE, ORIGINAL)
}
"""What is put under load."""
