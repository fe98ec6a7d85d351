"""The asynchronous methods, with a storage that really stores."""

from __future__ import annotations

import asyncio
import copy

import pytest

from kaizen_nexus import VersionConflictError
from kaizen_nexus.sessions import CrossChannelSession


class DictStorage:
    """Keeps deep copies in a dict, as a real backend keeps serialised ones."""

    def __init__(self) -> None:
        self.kept: dict[str, CrossChannelSession] = {}
        self.error: Exception | None = None
        self.loading: asyncio.Event | None = None

    async def save(self, session):
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.kept[session.session_id] = copy.deepcopy(session)

    async def update(self, session):
        await self.save(session)

    async def load(self, session_id):
        if self.loading is not None:
            await self.loading.wait()
        return copy.deepcopy(self.kept.get(session_id))

    async def delete(self, session_id):
        return self.kept.pop(session_id, None) is not None

    async def cleanup_expired(self):
        expired = [key for key, session in self.kept.items() if session.is_expired()]
        for key in expired:
            del self.kept[key]
        return len(expired)


@pytest.fixture
def storage():
    return DictStorage()


@pytest.fixture
def stored(make, storage):
    return make(None, 3600, storage)


def test_without_a_storage_the_twins_work_in_memory(manager, clock):
    async def scenario():
        session = await manager.create_session_async("s", "ada")
        assert await manager.update_session_state_async("s", {"a": 1}, "api")
        assert await manager.bind_memory_pool_async("s", "pool")
        assert await manager.load_session_async("s") == session
        assert (session.state, session.memory_pool_id) == ({"a": 1}, "pool")
        assert await manager.load_session_async("t") is None
        assert not await manager.update_session_state_async("t", {})
        assert not await manager.bind_memory_pool_async("t", "pool")
        assert not await manager.delete_session_async("t")
        clock.tick(60)
        assert await manager.load_session_async("s") is None
        assert await manager.cleanup_expired_sessions_async() == 1
        await manager.create_session_async("s", "ada")
        assert await manager.delete_session_async("s")

    asyncio.run(scenario())


def test_what_happens_in_memory_happens_in_storage(stored, storage):
    async def scenario():
        session = await stored.create_session_async("s", "ada", ttl_hours=2)
        assert storage.kept["s"] == session
        await stored.update_session_state_async("s", {"a": 1}, "api")
        assert storage.kept["s"].state == {"a": 1}
        assert storage.kept["s"].channel_activity.keys() == {"api"}
        await stored.bind_memory_pool_async("s", "pool")
        assert storage.kept["s"].memory_pool_id == "pool"
        assert await stored.delete_session_async("s")
        assert storage.kept == {}

    asyncio.run(scenario())


def test_a_session_survives_its_process(stored, storage, make, clock):
    async def scenario():
        session = await stored.create_session_async("s", "ada", ttl_hours=2)
        await stored.update_session_state_async("s", {"a": 1}, "api")
        successor = make(None, 60, storage, clock=clock)
        loaded = await successor.load_session_async("s")
        assert loaded.user_id == session.user_id
        assert (loaded.state, loaded.ttl) == ({"a": 1}, 7200)
        assert successor.update_session_state("s", {"b": 2})
        assert loaded.state == {"a": 1, "b": 2}
        clock.tick(7200)
        assert loaded.is_expired()

    asyncio.run(scenario())


def test_an_expired_session_is_not_loaded(stored, storage, clock, make):
    async def scenario():
        session = await stored.create_session_async("s", "ada")
        session.expires_at = session.created_at
        await storage.update(session)
        successor = make(None, 60, storage, clock=clock)
        assert await successor.load_session_async("s") is None
        assert len(successor.sessions) == 0
        assert storage.kept == {}

    asyncio.run(scenario())


@pytest.mark.parametrize(("in_memory", "in_storage", "counted"), [(2, 1, 2), (0, 3, 3), (1, 1, 1)])
def test_a_cleanup_counts_where_more_was_removed(make, clock, in_memory, in_storage, counted):
    class Counting(DictStorage):
        async def cleanup_expired(self):
            return in_storage

    manager = make(None, 60, Counting(), clock=clock)
    for _ in range(in_memory):
        manager.create_session(user_id="ada")
    clock.tick(60)
    assert asyncio.run(manager.cleanup_expired_sessions_async()) == counted


def test_a_session_that_cannot_be_saved_is_not_created(stored, storage):
    storage.error = OSError("disk full")

    async def scenario():
        with pytest.raises(OSError, match="disk full"):
            await stored.create_session_async("s", "ada")

    asyncio.run(scenario())
    assert len(stored.sessions) == 0


def test_a_failed_save_does_not_remove_a_successor(stored, storage):
    storage.error = OSError("disk full")

    async def scenario():
        creating = asyncio.ensure_future(stored.create_session_async("s", "ada"))
        await asyncio.sleep(0)
        stored.create_session("s", "bob")
        with pytest.raises(OSError, match="disk full"):
            await creating

    asyncio.run(scenario())
    assert stored.get_session("s").user_id == "bob"


def test_two_loads_of_one_session_give_one_session(stored, storage, make):
    async def scenario():
        await stored.create_session_async("s", "ada")
        successor = make(None, 60, storage)
        storage.loading = asyncio.Event()
        loads = [asyncio.ensure_future(successor.load_session_async("s")) for _ in range(3)]
        await asyncio.sleep(0)
        storage.loading.set()
        first, second, third = await asyncio.gather(*loads)
        first.state["a"] = 1
        assert second.state == third.state == {"a": 1}
        assert successor.get_session_metrics()["created_sessions"] == 1

    asyncio.run(scenario())


def test_a_session_only_in_storage_can_be_deleted(stored, storage, make):
    async def scenario():
        await stored.create_session_async("s", "ada")
        assert await make(None, 60, storage).delete_session_async("s")
        assert storage.kept == {}
        assert not await make(None, 60, storage).delete_session_async("s")

    asyncio.run(scenario())


def test_a_storage_that_returns_a_live_session_gets_it_copied(stored, make):
    class Sharing(DictStorage):
        async def save(self, session):
            self.kept[session.session_id] = session

        async def load(self, session_id):
            return self.kept.get(session_id)

    async def scenario():
        shared = Sharing()
        first, second = make(None, 60, shared), make(None, 60, shared)
        await first.create_session_async("s", "ada")
        loaded = await second.load_session_async("s")
        assert second.update_session_state("s", {"a": 1})
        assert loaded.state == {"a": 1}
        assert first.get_session_state("s") == {}

    asyncio.run(scenario())


def test_a_storage_that_returns_something_else_is_told_so(stored, storage):
    storage.kept["s"] = {"session_id": "s"}

    async def scenario():
        with pytest.raises(TypeError, match="returned a dict, not a CrossChannelSession"):
            await stored.load_session_async("s")

    asyncio.run(scenario())


def test_a_storage_must_have_every_method(make):
    class Half:
        async def save(self, session): ...
        async def load(self, session_id): ...

    with pytest.raises(TypeError, match="storage_backend Half lacks update, delete, cleanup_exp"):
        make(storage_backend=Half())


def test_a_stored_session_keeps_its_version(stored, storage, make):
    async def scenario():
        await stored.create_session_async("s", "ada")
        await stored.update_session_state_async("s", {"a": 1}, if_version=0)
        with pytest.raises(VersionConflictError):
            await stored.update_session_state_async("s", {"a": 2}, if_version=0)
        assert storage.kept["s"].state == {"a": 1}
        elsewhere = make(None, 3600, storage)
        loaded = await elsewhere.load_session_async("s")
        assert loaded.version == 1
        assert await elsewhere.update_session_state_async("s", {"a": 2}, if_version=1)

    asyncio.run(scenario())
