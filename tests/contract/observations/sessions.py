# ruff: noqa: DTZ005 - naive local datetimes are what is observed
"""Sessions and their manager."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

from observations import outcome

HOUR = timedelta(hours=1)


def near(moment: datetime, expected: datetime) -> bool:
    return abs((moment - expected).total_seconds()) < 5


class Storage:
    """A backend that keeps copies, and says what it was asked."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.kept: dict[str, Any] = {}

    async def save(self, session: Any) -> str:
        self.calls.append("save")
        self.kept[session.session_id] = copy.deepcopy(session)
        return session.session_id

    async def update(self, session: Any) -> None:
        self.calls.append("update")
        self.kept[session.session_id] = copy.deepcopy(session)

    async def load(self, session_id: str) -> Any:
        self.calls.append("load")
        return copy.deepcopy(self.kept.get(session_id))

    async def delete(self, session_id: str) -> bool:
        self.calls.append("delete")
        return self.kept.pop(session_id, None) is not None

    async def cleanup_expired(self) -> int:
        self.calls.append("cleanup_expired")
        return 1


def a_session_on_its_own(nexus: ModuleType) -> Any:
    session = nexus.CrossChannelSession(user_id="ada")
    now = datetime.now()
    return [
        isinstance(session.session_id, str) and bool(session.session_id),
        session.session_id != nexus.CrossChannelSession(user_id="ada").session_id,
        session.user_id,
        near(session.created_at, now),
        near(session.last_accessed, now),
        near(session.expires_at, now + HOUR),
        session.state == {},
        session.channel_activity == {},
        session.memory_pool_id,
        session.is_expired(),
        nexus.CrossChannelSession().user_id,
    ]


def its_attributes_by_position(nexus: ModuleType) -> Any:
    moment = datetime.now().replace(microsecond=250_000)
    state = {"a": 1}
    session = nexus.CrossChannelSession(
        "s", "ada", moment, moment + HOUR, moment + 2 * HOUR, state, {"api": moment}, "pool"
    )
    return [
        session.session_id,
        session.user_id,
        session.created_at == moment,
        session.last_accessed == moment + HOUR,
        session.expires_at == moment + 2 * HOUR,
        session.state is state,
        session.channel_activity == {"api": moment},
        session.memory_pool_id,
    ]


def its_attributes_are_settable(nexus: ModuleType) -> Any:
    session = nexus.CrossChannelSession(user_id="ada")
    moment = datetime.now().replace(microsecond=0) + HOUR
    values = {
        "user_id": "bob",
        "created_at": moment,
        "last_accessed": moment,
        "expires_at": moment,
        "state": {"a": 1},
        "channel_activity": {"cli": moment},
        "memory_pool_id": "pool",
    }
    for name, value in values.items():
        setattr(session, name, value)
    return [[name, getattr(session, name) == value] for name, value in values.items()]


def the_past_expires_it_and_a_refresh_revives_it(nexus: ModuleType) -> Any:
    session = nexus.CrossChannelSession(
        user_id="ada", expires_at=datetime.now() - timedelta(seconds=1)
    )
    before = session.is_expired()
    session.refresh("api")
    return [before, session.is_expired(), near(session.expires_at, datetime.now() + HOUR)]


def what_an_access_notes(nexus: ModuleType) -> Any:
    session = nexus.CrossChannelSession(user_id="ada")
    began = session.last_accessed
    session.update_state({"a": 1}, channel="api")
    session.get_state("cli")
    session.refresh(channel="mcp")
    session.refresh()
    session.update_state({"b": [2]})
    return [
        sorted(session.channel_activity),
        all(isinstance(when, datetime) for when in session.channel_activity.values()),
        session.last_accessed > began,
        session.state,
    ]


def which_copies_are_shared(nexus: ModuleType) -> Any:
    session = nexus.CrossChannelSession(user_id="ada")
    updates = {"list": [1]}
    session.update_state(updates)
    updates["later"] = True
    taken = session.get_state()
    taken["mine"] = True
    taken["list"].append(2)
    session.state["live"] = True
    return [session.state, session.get_state() == session.state]


def a_session_is_compared_by_value(nexus: ModuleType) -> Any:
    session = nexus.CrossChannelSession("s", "ada")
    twin = copy.deepcopy(session)
    equal = twin == session
    twin.state["a"] = 1
    return [equal, twin == session, session.state, session == "s", outcome(hash, session)]


def a_session_is_a_dataclass(nexus: ModuleType) -> Any:
    session = nexus.CrossChannelSession("s", "ada", state={"a": [1]})
    session.refresh("api")
    fields = dataclasses.asdict(session)
    other = dataclasses.replace(session, user_id="bob")
    return [
        list(fields),
        [field.name for field in dataclasses.fields(session)],
        type(fields["channel_activity"]).__name__,
        fields["state"],
        [other.user_id, other.session_id, other.state],
        repr(session).startswith("CrossChannelSession(session_id='s', user_id='ada', created_at="),
    ]


def creating_and_finding(nexus: ModuleType) -> Any:
    manager = nexus.NexusSessionManager()
    created = manager.create_session(user_id="ada")
    named = manager.create_session("mine", "bob", 2)
    return [
        [created.user_id, created.session_id in manager.sessions, len(manager.sessions)],
        near(created.expires_at, datetime.now() + HOUR),
        near(named.expires_at, datetime.now() + 2 * HOUR),
        manager.get_session("mine") == named,
        manager.get_session("nope"),
        manager.get_session(None),
        [manager.cleanup_interval, manager.storage],
    ]


def who_owns_a_session(nexus: ModuleType) -> Any:
    manager = nexus.NexusSessionManager()
    tried = [outcome(manager.create_session, user_id=user)[1] for user in ("", "  ", None)]
    return [tried, outcome(manager.create_session), len(manager.sessions)]


def creating_an_id_again_replaces_it(nexus: ModuleType) -> Any:
    manager = nexus.NexusSessionManager()
    manager.create_session("s", "ada")
    manager.update_session_state("s", {"a": 1})
    manager.create_session("s", "bob")
    return [manager.get_session("s").user_id, manager.get_session_state("s"), len(manager.sessions)]


def state_by_id(nexus: ModuleType) -> Any:
    manager = nexus.NexusSessionManager()
    session_id = manager.create_session(user_id="ada").session_id
    steps = [
        manager.update_session_state(session_id, {"a": 1}, channel="api"),
        manager.update_session_state(session_id, {"b": 2}),
        manager.update_session_state("nope", {"a": 1}),
        manager.get_session_state(session_id, channel="cli"),
        manager.get_session_state("nope"),
        sorted(manager.sessions[session_id].channel_activity),
    ]
    taken = manager.get_session_state(session_id)
    taken["c"] = 3
    held = manager.get_session(session_id)
    held.state["live"] = True
    return [*steps, manager.get_session_state(session_id), outcome(json.dumps, held.state)]


def bad_updates(nexus: ModuleType) -> Any:
    manager = nexus.NexusSessionManager()
    session_id = manager.create_session(user_id="ada").session_id
    return [
        outcome(manager.update_session_state, session_id, None),
        outcome(manager.update_session_state, session_id, 5),
        outcome(manager.update_session_state, session_id, [("a", 1)]),
        outcome(manager.update_session_state, "nope", {}),
        manager.get_session_state(session_id),
    ]


def memory_pools(nexus: ModuleType) -> Any:
    manager = nexus.NexusSessionManager()
    session = manager.create_session(user_id="ada")
    return [
        manager.bind_memory_pool(session.session_id, "pool"),
        manager.bind_memory_pool("nope", "pool"),
        session.memory_pool_id,
        manager.sessions[session.session_id].memory_pool_id,
    ]


def an_expired_session_is_not_found(nexus: ModuleType) -> Any:
    manager = nexus.NexusSessionManager()
    session = manager.create_session(user_id="ada")
    session.expires_at = datetime.now() - timedelta(seconds=1)
    key = session.session_id
    return [
        manager.get_session(key),
        manager.get_session_state(key),
        manager.update_session_state(key, {"a": 1}),
        manager.bind_memory_pool(key, "pool"),
        key in manager.sessions,
    ]


def no_hours_to_live(nexus: ModuleType) -> Any:
    manager = nexus.NexusSessionManager()
    session = manager.create_session(user_id="ada", ttl_hours=0)
    session.refresh()
    revived = manager.get_session(session.session_id) is not None
    session.expires_at = datetime.now() - timedelta(seconds=1)
    manager.sessions[session.session_id] = session
    return [revived, manager.cleanup_expired_sessions(), session.session_id in manager.sessions]


def cleaning_up(nexus: ModuleType) -> Any:
    manager = nexus.NexusSessionManager()
    kept = manager.create_session(user_id="ada")
    for _ in range(3):
        expired = manager.create_session(user_id="bob", ttl_hours=0.0001)
        expired.expires_at = datetime.now() - timedelta(seconds=1)
    figures = manager.get_session_metrics()
    return [
        [figures["active_sessions"], figures["total_sessions"]],
        manager.cleanup_expired_sessions(),
        manager.cleanup_expired_sessions(),
        [list(manager.sessions) == [kept.session_id], len(manager.sessions)],
    ]


def cleaning_up_by_interval(nexus: ModuleType) -> Any:
    left = []
    for interval in (1, 0, None):
        manager = nexus.NexusSessionManager(cleanup_interval=interval)
        expired = manager.create_session(user_id="ada")
        expired.expires_at = datetime.now() - timedelta(seconds=1)
        manager._last_cleanup = datetime.now() - timedelta(seconds=2)
        manager.create_session(user_id="bob")
        left.append([interval, manager.cleanup_interval, len(manager.sessions)])
    manager.cleanup_interval = 60
    return [*left, manager.cleanup_interval]


def the_figures(nexus: ModuleType) -> Any:
    manager = nexus.NexusSessionManager()
    empty = manager.get_session_metrics()
    for user, channel in (("ada", "api"), ("bob", "cli"), ("eve", "api")):
        session = manager.create_session(user_id=user)
        manager.update_session_state(session.session_id, {}, channel)
    figures = manager.get_session_metrics()
    names = ("active_sessions", "total_sessions", "average_ttl_seconds", "channels_used")
    return [
        [empty[name] for name in names],
        [figures[name] for name in names[:2]],
        abs(figures["average_ttl_seconds"] - 3600) < 5,
        [type(figures["channels_used"]).__name__, sorted(figures["channels_used"])],
    ]


def the_mapping_of_sessions(nexus: ModuleType) -> Any:
    manager = nexus.NexusSessionManager()
    first = manager.create_session("a", "ada")
    second = manager.create_session("b", "bob")
    own = nexus.CrossChannelSession("c", "eve")
    manager.sessions["c"] = own
    own.update_state({"x": 1})
    seen = [
        list(manager.sessions),
        [session.user_id for session in manager.sessions.values()],
        [key for key, _ in manager.sessions.items()],
        manager.sessions.get("nope"),
        outcome(lambda: manager.sessions["nope"]),
        manager.sessions == {"a": first, "b": second, "c": own},
        manager.get_session_state("c"),
        manager.sessions.pop("a").user_id,
        len(manager.sessions.copy()),
    ]
    del manager.sessions["b"]
    left = list(manager.sessions)
    manager.sessions.clear()
    return [*seen, left, len(manager.sessions), bool(manager.sessions)]


def assigning_the_mapping(nexus: ModuleType) -> Any:
    manager = nexus.NexusSessionManager()
    manager.create_session("old", "ada")
    kept = nexus.CrossChannelSession("new", "bob")
    manager.sessions = {"new": kept}
    manager.update_session_state("new", {"a": 1})
    seen = [list(manager.sessions), kept.state, manager.get_session("old")]
    manager.sessions = {}
    return [*seen, len(manager.sessions), manager.get_session("new")]


def the_asynchronous_twins(nexus: ModuleType) -> Any:
    async def program() -> Any:
        manager = nexus.NexusSessionManager(cleanup_interval=None)
        session = await manager.create_session_async("s", "ada", 2)
        results = [
            await manager.update_session_state_async("s", {"a": 1}, "api"),
            await manager.update_session_state_async("nope", {}),
            await manager.bind_memory_pool_async("s", "pool"),
            await manager.bind_memory_pool_async("nope", "pool"),
            (await manager.load_session_async("s")) == session,
            await manager.load_session_async("nope"),
            await manager.cleanup_expired_sessions_async(),
            await manager.delete_session_async("s"),
            await manager.delete_session_async("s"),
        ]
        return [*results, session.memory_pool_id, session.state, len(manager.sessions)]

    return asyncio.run(program())


def the_twins_with_a_storage(nexus: ModuleType) -> Any:
    async def program() -> Any:
        storage = Storage()
        manager = nexus.NexusSessionManager(storage_backend=storage)
        await manager.create_session_async("s", "ada")
        await manager.update_session_state_async("s", {"a": 1}, channel="api")
        await manager.update_session_state_async("nope", {"a": 1})
        await manager.bind_memory_pool_async("s", "pool")
        kept = storage.kept["s"]
        successor = nexus.NexusSessionManager(storage_backend=storage)
        loaded = await successor.load_session_async("s")
        again = await successor.load_session_async("s")
        storage.kept["old"] = nexus.CrossChannelSession(
            "old", "bob", expires_at=datetime.now() - timedelta(seconds=1)
        )
        outdated = await successor.load_session_async("old")
        return [
            [kept.user_id, kept.state, kept.memory_pool_id, list(kept.channel_activity)],
            [loaded.state, loaded == again, "s" in successor.sessions],
            [outdated, "old" in storage.kept],
            await manager.delete_session_async("s"),
            await manager.cleanup_expired_sessions_async(),
            manager.storage is storage,
            storage.calls,
        ]

    return asyncio.run(program())


def creating_without_an_owner_asynchronously(nexus: ModuleType) -> Any:
    storage = Storage()
    manager = nexus.NexusSessionManager(storage_backend=storage)
    return [outcome(asyncio.run, manager.create_session_async()), storage.calls]
