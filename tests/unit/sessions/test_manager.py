# ruff: noqa: DTZ005, DTZ006, DTZ901 - naive local datetimes are what is tested
from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from kaizen_nexus._errors import SessionTableFullError
from kaizen_nexus.sessions import CrossChannelSession, NexusSessionManager


def test_a_session_is_shared_by_the_channels(manager):
    session = manager.create_session(user_id="ada")
    assert manager.update_session_state(session.session_id, {"topic": "tea"}, channel="api")
    assert manager.get_session_state(session.session_id, channel="cli") == {"topic": "tea"}
    assert session.state == {"topic": "tea"}
    assert session.channel_activity.keys() == {"api", "cli"}
    assert manager.get_session(session.session_id) == session


def test_the_defaults_are_those_of_the_guide(make):
    manager = make()
    assert (manager.cleanup_interval, manager.session_ttl) == (300, 3600)
    assert (manager.max_sessions, manager.storage) == (1_000_000, None)
    session = manager.create_session(user_id="ada")
    assert session.ttl == 3600
    assert timedelta(seconds=3599) < session.expires_at - datetime.now() <= timedelta(hours=1)


@pytest.mark.parametrize("user_id", ["", "   ", "\n", None])
def test_a_session_needs_a_user(manager, user_id):
    with pytest.raises(ValueError, match="user_id must say whose session it is"):
        manager.create_session(user_id=user_id)
    assert len(manager.sessions) == 0


def test_a_session_without_any_argument_needs_a_user(manager):
    with pytest.raises(ValueError, match="user_id"):
        manager.create_session()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"user_id": 5}, TypeError, "user_id must be a str"),
        ({"session_id": 5}, TypeError, "session_id must be a str"),
        ({"session_id": "x" * 300}, ValueError, "session_id must have between 1 and 256"),
        ({"ttl_hours": False}, ValueError, "ttl_hours must be a number, not the bool False"),
        ({"ttl_hours": -1}, ValueError, "ttl_hours must be positive"),
        ({"ttl_hours": float("nan")}, ValueError, "ttl_hours must be finite"),
        ({"ttl_hours": True}, ValueError, "ttl_hours must be a number, not the bool True"),
        ({"ttl_hours": 10**6}, ValueError, "ttl_hours must be at most 876600"),
        ({"ttl_hours": "1"}, TypeError, "ttl_hours must be a number, not str"),
    ],
)
def test_bad_arguments_create_nothing(manager, arguments, error, message):
    with pytest.raises(error, match=message):
        manager.create_session(**{"user_id": "ada", **arguments})
    assert len(manager.sessions) == 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"session_ttl": 0}, ValueError, "session_ttl must be positive"),
        ({"session_ttl": "1h"}, TypeError, "session_ttl must be a number"),
        ({"cleanup_interval": -1}, ValueError, "cleanup_interval must be positive"),
        ({"cleanup_interval": False}, ValueError, "cleanup_interval must be a number"),
        ({"cleanup_interval": float("inf")}, ValueError, "cleanup_interval must be finite"),
        ({"max_sessions": 0}, ValueError, "max_sessions must be between 1 and"),
        ({"on_full": "drop"}, ValueError, "on_full must be"),
        ({"storage_backend": object()}, TypeError, "object lacks save, update, load, delete"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        NexusSessionManager(**options)


def test_ids_may_be_given_or_not(manager):
    assert manager.create_session("mine", "ada").session_id == "mine"
    generated = manager.create_session("", "ada").session_id
    assert len(generated) == 32
    assert set(manager.sessions) == {"mine", generated}


def test_a_ttl_in_hours_slides_with_every_access(manager, clock):
    session_id = manager.create_session(user_id="ada", ttl_hours=0.5).session_id
    for access in (
        manager.get_session,
        lambda key: manager.get_session_state(key) is not None,
        lambda key: manager.update_session_state(key, {}),
        lambda key: manager.bind_memory_pool(key, "pool"),
    ):
        clock.tick(1799)
        assert access(session_id)
    clock.tick(1800)
    assert manager.get_session(session_id) is None


@pytest.mark.parametrize("hours", [0, 0.0])
def test_no_hours_make_a_session_that_has_expired(manager, clock, hours):
    session = manager.create_session(user_id="ada", ttl_hours=hours)
    assert session.is_expired()
    assert manager.get_session(session.session_id) is None
    session.refresh()
    clock.tick(59)
    assert manager.get_session(session.session_id) == session


@pytest.mark.parametrize("missing", ["nope", "", None, 5, ["x"]])
def test_unknown_ids_never_raise(manager, missing):
    assert manager.get_session(missing) is None
    assert manager.get_session_state(missing) is None
    assert manager.get_session_state(missing, "api") is None
    assert manager.update_session_state(missing, {"a": 1}, "api") is False
    assert manager.bind_memory_pool(missing, "pool") is False
    assert manager.delete_session(missing) is False
    assert missing not in manager.sessions


def test_an_expired_session_counts_until_a_cleanup(manager, clock):
    session = manager.create_session(user_id="ada")
    kept = manager.create_session(user_id="bob", ttl_hours=1)
    manager.update_session_state(kept.session_id, {}, "mcp")
    clock.tick(60)
    assert manager.get_session(session.session_id) is None
    figures = manager.get_session_metrics()
    assert (figures["active_sessions"], figures["total_sessions"]) == (1, 2)
    assert figures["average_ttl_seconds"] == 3600
    assert figures["channels_used"] == ["mcp"]
    assert manager.cleanup_expired_sessions() == 1
    figures = manager.get_session_metrics()
    assert (figures["active_sessions"], figures["total_sessions"]) == (1, 1)
    assert (figures["created_sessions"], figures["expired_sessions"]) == (2, 1)


def test_datetimes_follow_the_clocks_that_were_injected(make, clock):
    began = make(None, 60, clock=clock).create_session(user_id="ada")
    shown = began.created_at
    clock.tick(30)
    assert began.created_at == shown
    began.refresh()
    assert began.last_accessed - shown == timedelta(seconds=30)

    wall = [1_790_000_000 * 10**9]
    session = make(None, 60, clock=clock, wall_clock=lambda: wall[0]).create_session(user_id="ada")
    assert session.created_at == datetime.fromtimestamp(1_790_000_000)
    wall[0] += 3600 * 10**9
    assert session.created_at == datetime.fromtimestamp(1_790_003_600)
    assert session.expires_at - session.created_at == timedelta(seconds=60)
    assert not session.is_expired()


def test_setting_expires_at_makes_a_session_expire(manager):
    session = manager.create_session(user_id="ada")
    session.expires_at = datetime.now() - timedelta(seconds=1)
    assert session.is_expired()
    assert manager.get_session(session.session_id) is None
    assert manager.get_session_state(session.session_id) is None
    assert manager.cleanup_expired_sessions() == 1
    assert session.session_id not in manager.sessions


def test_the_state_returned_is_a_copy(manager):
    session_id = manager.create_session(user_id="ada").session_id
    manager.update_session_state(session_id, {"a": 1})
    manager.get_session_state(session_id)["a"] = 2
    assert manager.get_session_state(session_id) == {"a": 1}


def test_a_memory_pool_is_bound(manager):
    session = manager.create_session(user_id="ada")
    assert session.memory_pool_id is None
    assert manager.bind_memory_pool(session.session_id, "pool")
    assert session.memory_pool_id == "pool"


def test_a_session_is_replaced_under_its_id(manager):
    old = manager.create_session("s", "ada")
    manager.update_session_state("s", {"secret": 1})
    new = manager.create_session("s", "bob")
    assert manager.get_session_state("s") == {}
    assert (old.user_id, old.state, old.is_expired()) == ("ada", {"secret": 1}, True)
    old.user_id = "eve"
    old.refresh("api")
    assert (new.user_id, dict(new.channel_activity)) == ("bob", {})


def test_a_full_manager_refuses_or_evicts(make, clock):
    refusing = make(None, 60, max_sessions=1, clock=clock)
    refusing.create_session("a", "ada")
    with pytest.raises(SessionTableFullError):
        refusing.create_session("b", "ada")
    assert refusing.get_session_metrics()["refused_sessions"] == 1

    evicting = make(None, 60, max_sessions=1, on_full="evict", clock=clock)
    evicting.create_session("a", "ada")
    evicting.create_session("b", "ada")
    assert list(evicting.sessions) == ["b"]
    assert evicting.get_session_metrics()["evicted_sessions"] == 1


class TestSessionsMapping:
    def test_it_holds_expired_sessions_too_and_slides_nothing(self, manager, clock):
        session = manager.create_session("s", "ada")
        clock.tick(59)
        assert manager.sessions["s"] == session
        clock.tick(1)
        assert manager.sessions["s"].is_expired()
        assert list(manager.sessions) == list(manager.sessions.copy()) == ["s"]
        assert len(manager.sessions) == 1

    def test_only_live_sessions_are_in_it(self, manager, clock):
        manager.create_session("s", "ada")
        assert "s" in manager.sessions
        clock.tick(60)
        assert "s" not in manager.sessions

    def test_looking_in_it(self, manager):
        first = manager.create_session("a", "ada")
        second = manager.create_session("b", "bob")
        assert list(manager.sessions) == list(manager.sessions.keys()) == ["a", "b"]
        assert list(manager.sessions.values()) == [first, second]
        assert dict(manager.sessions.items()) == {"a": first, "b": second}
        assert manager.sessions.get("c") is None
        with pytest.raises(KeyError, match="c"):
            manager.sessions["c"]
        assert repr(manager.sessions) == "<SessionsView of 2 sessions>"

    def test_sessions_may_go_during_an_iteration(self, manager):
        for name in "abc":
            manager.create_session(name, "ada")
        seen = []
        for name, session in manager.sessions.items():
            seen.append((name, session.user_id))
            manager.sessions.clear()
        assert seen == [("a", "ada")]

    def test_deleting_from_it(self, manager, clock):
        for name in "ab":
            manager.create_session(name, "ada")
        del manager.sessions["a"]
        with pytest.raises(KeyError):
            del manager.sessions["a"]
        clock.tick(60)
        session = manager.sessions.pop("b")
        assert session.user_id == "ada"
        assert len(manager.sessions) == 0

    def test_putting_a_session_in_it(self, manager, clock):
        session = CrossChannelSession("s", "ada", state={"a": 1})
        session.refresh("api")
        state = session.state
        manager.sessions["s"] = session
        assert manager.get_session("s") == session
        assert manager.update_session_state("s", {"b": 2}, "cli")
        assert session.state is state
        assert state == {"a": 1, "b": 2}
        assert session.channel_activity.keys() == {"api", "cli"}
        clock.tick(3600)
        assert session.is_expired()

    def test_times_survive_the_move_to_another_clock(self, manager):
        before = CrossChannelSession("s", "ada")
        before.refresh("api")
        created, expires = before.created_at, before.expires_at
        manager.sessions["s"] = before
        millisecond = timedelta(milliseconds=50)
        assert abs(before.created_at - created) < millisecond
        assert abs(before.expires_at - expires) < millisecond
        assert abs(before.channel_activity["api"] - created) < millisecond

    def test_moments_that_another_clock_cannot_tell_are_clamped(self, make):
        late = make(None, 60, clock=lambda: 2**62)
        session = CrossChannelSession("s", "ada", expires_at=datetime.max)
        late.sessions["s"] = session
        assert session.expires == 2**62

    def test_a_session_of_another_manager_is_copied(self, make, manager):
        other = make(None)
        session = other.create_session("s", "ada")
        session.state["a"] = 1
        manager.sessions["s"] = session
        manager.update_session_state("s", {"b": 2})
        assert other.get_session_state("s") == {"a": 1}
        assert manager.get_session_state("s") == {"a": 1, "b": 2}

    def test_a_session_comes_back(self, manager):
        manager.create_session("s", "ada").state["a"] = 1
        session = manager.sessions.pop("s")
        assert session.is_expired()
        manager.sessions["s"] = session
        assert not session.is_expired()
        assert manager.get_session_state("s") == {"a": 1}

    def test_what_does_not_belong_in_it(self, manager):
        with pytest.raises(TypeError, match="a session must be a CrossChannelSession, not dict"):
            manager.sessions["s"] = {}
        with pytest.raises(ValueError, match="cannot be stored under the id 't'"):
            manager.sessions["t"] = CrossChannelSession("s", "ada")


def test_twenty_threads_lose_no_session_and_no_update(make):
    manager = make()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:

        def worker(number):
            made = [manager.create_session(user_id=f"u{number}") for _ in range(250)]
            for session in made:
                assert manager.update_session_state(session.session_id, {"n": number}, "api")
                session.update_state({"own": True}, "cli")
            return made

        shared = manager.create_session(user_id="all").session_id
        with ThreadPoolExecutor(max_workers=20) as pool:
            batches = list(pool.map(worker, range(20)))
            updates = [
                pool.submit(manager.update_session_state, shared, {f"key_{n}": n}, channel="api")
                for n in range(200)
            ]
            assert all(update.result() for update in updates)
    finally:
        sys.setswitchinterval(interval)
    assert manager.get_session_state(shared) == {f"key_{n}": n for n in range(200)}
    assert manager.get_session_metrics()["total_sessions"] == 5_001
    for number, batch in enumerate(batches):
        for session in batch:
            assert manager.get_session_state(session.session_id) == {"n": number, "own": True}
            assert manager.get_session(session.session_id).user_id == f"u{number}"


def test_attach_is_an_access_on_a_channel(manager, clock):
    created = manager.create_session("s", "ada")
    clock.tick(50)
    attached = manager.attach("s", "ada", "api")
    assert attached == created
    assert attached.channel_activity.keys() == {"api"}
    clock.tick(50)
    assert manager.attach("s", None) == created


def test_attach_does_not_touch_what_belongs_to_somebody_else(manager, clock):
    manager.create_session("s", "ada")
    clock.tick(50)
    assert manager.attach("s", "bob", "api") is None
    assert not manager.sessions["s"].channel_activity
    clock.tick(10)
    assert manager.attach("s", "ada", "api") is None
    assert manager.attach("other", None, "api") is None
    assert manager.attach(5, None, "api") is None


def test_both_implementations_are_tested(core, manager):
    assert type(manager._table) is core.module("session_table").SessionTable
    assert isinstance(
        manager.create_session(user_id="ada"), core.module("session_table").SessionHandle
    )


def test_a_session_is_one_object_while_somebody_holds_it(manager):
    session = manager.create_session("s", "ada")
    assert manager.get_session("s") is session
    assert manager.sessions["s"] is session


def test_a_subclass_may_leave_its_table_out():
    class Broken(NexusSessionManager):
        def __init__(self):
            pass

    with pytest.raises(AttributeError):
        Broken().get_session_state("s")


def test_a_session_that_is_not_adopted_keeps_its_times(make):
    manager = make(None, clock=lambda: 10**15)
    manager.create_session("s", "ada")
    other = CrossChannelSession("s", "bob")
    before = (other.created_at, other.last_accessed, other.expires_at)
    assert not manager.sessions.adopt(other, replace=False)
    assert (other.created_at, other.last_accessed, other.expires_at) == before
