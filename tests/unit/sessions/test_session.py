# ruff: noqa: DTZ005, DTZ901 - naive local datetimes are what is tested
from __future__ import annotations

import copy
import dataclasses
import pickle
from datetime import datetime, timedelta, timezone

import pytest

from kaizen_nexus import VersionConflictError
from kaizen_nexus.sessions import CrossChannelSession

HOUR = timedelta(hours=1)


@pytest.fixture(params=["on its own", "managed"])
def session(request, manager):
    if request.param == "managed":
        return manager.create_session("s", "ada")
    return CrossChannelSession("s", "ada", ttl=60)


def test_a_session_on_its_own_begins_now_and_lasts_an_hour():
    before = datetime.now()
    session = CrossChannelSession()
    assert len(session.session_id) == 32
    assert session.user_id == ""
    assert session.created_at == session.last_accessed
    assert timedelta() <= session.created_at - before < timedelta(seconds=5)
    assert session.expires_at - session.created_at == HOUR
    assert (session.state, session.memory_pool_id, session.channel_activity) == ({}, None, {})
    assert not session.is_expired()


def test_every_attribute_can_be_given_in_order():
    moment = datetime.now().replace(microsecond=123_456)
    state = {"a": 1}
    session = CrossChannelSession(
        "s", "ada", moment, moment + HOUR, moment + 3 * HOUR, state, {"api": moment}, "pool"
    )
    assert repr(session) == (
        f"CrossChannelSession(session_id='s', user_id='ada', created_at={moment!r}, "
        f"last_accessed={moment + HOUR!r}, expires_at={moment + 3 * HOUR!r}, state={{'a': 1}}, "
        f"channel_activity={{'api': {moment!r}}}, memory_pool_id='pool')"
    )
    assert session.state is state
    assert session.ttl == 2 * 3600


@pytest.mark.parametrize(
    ("times", "ttl"),
    [
        ({}, 3600),
        ({"expires_at": timedelta(hours=5)}, 5 * 3600),
        ({"expires_at": timedelta(hours=-5)}, 3600),
        ({"expires_at": timedelta(hours=5), "last_accessed": timedelta(hours=4)}, 3600),
        ({"expires_at": timedelta(hours=5), "last_accessed": timedelta(hours=6)}, 3600),
    ],
)
def test_a_restored_session_slides_as_it_did(times, ttl):
    now = datetime.now()
    session = CrossChannelSession(**{name: now + delta for name, delta in times.items()})
    assert session.ttl == pytest.approx(ttl, abs=1)
    session.refresh()
    lasts = session.expires_at - session.last_accessed
    assert lasts.total_seconds() == pytest.approx(session.ttl, abs=1e-5)


def test_setting_attributes(session, manager):
    past = datetime.now().replace(microsecond=7) - HOUR
    session.created_at = past
    session.last_accessed = past + HOUR / 2
    session.user_id = "bob"
    session.memory_pool_id = "pool"
    session.state = {"a": 1}
    session.channel_activity["api"] = past
    session.channel_activity["cli"] = past
    assert (session.created_at, session.last_accessed) == (past, past + HOUR / 2)
    assert (session.user_id, session.memory_pool_id, session.state) == ("bob", "pool", {"a": 1})
    assert session.channel_activity == {"api": past, "cli": past}
    del session.channel_activity["api"]
    with pytest.raises(KeyError):
        del session.channel_activity["api"]
    assert session.channel_activity == {"cli": past}
    session.channel_activity = {"mcp": past}
    assert session.channel_activity == {"mcp": past}
    assert repr(session.channel_activity) == repr({"mcp": past})
    if "s" in manager.sessions:
        assert manager.sessions["s"] == session


def test_the_past_expires_a_session_and_a_refresh_revives_it(session):
    session.expires_at = datetime.now() - timedelta(seconds=1)
    assert session.is_expired()
    session.refresh("api")
    assert not session.is_expired()
    assert session.expires_at - session.last_accessed == timedelta(seconds=60)
    assert session.channel_activity.keys() == {"api"}


def test_moments_beyond_every_calendar(session):
    session.expires_at = datetime.min
    assert session.is_expired()
    session.expires_at = datetime.max
    assert not session.is_expired()
    assert session.expires_at.year >= 2099
    for moment in (5, None, "now"):
        with pytest.raises(TypeError, match="a point in time must be a datetime"):
            session.expires_at = moment


def test_aware_datetimes_are_converted(session):
    now = datetime.now().replace(microsecond=0)
    session.created_at = now.astimezone(timezone(timedelta(hours=5)))
    assert session.created_at == now


def test_state_is_updated_and_copied(session):
    session.update_state({"a": [1]}, "api")
    session.update_state({"b": 2})
    returned = session.get_state("cli")
    assert returned == session.state == {"a": [1], "b": 2}
    returned["c"] = 3
    assert "c" not in session.state
    session.state["d"] = 4
    assert session.get_state()["d"] == 4
    assert session.channel_activity.keys() == {"api", "cli"}
    with pytest.raises(TypeError, match="str keys"):
        session.update_state({5: 5})


def test_equality_is_by_value_and_sessions_are_not_hashable(manager):
    managed = manager.create_session("s", "ada")
    assert managed == manager.sessions["s"]
    assert managed != manager.create_session("t", "ada")
    assert managed != "s"
    own = CrossChannelSession("s", "ada")
    twin = copy.copy(own)
    assert own == twin
    twin.user_id = "bob"
    assert own != twin
    with pytest.raises(TypeError, match="unhashable"):
        hash(own)


def pickled(session):
    return pickle.loads(pickle.dumps(session))  # noqa: S301 - its own


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickled])
def test_copies_are_sessions_of_their_own(session, manager, duplicate):
    session.update_state({"a": [1]}, "api")
    session.memory_pool_id = "pool"
    twin = duplicate(session)
    assert twin == session
    assert twin.ttl == session.ttl
    twin.user_id = "bob"
    twin.refresh("cli")
    assert session.user_id == "ada"
    assert session.channel_activity.keys() == {"api"}
    assert (twin.state["a"] is session.state["a"]) is (duplicate is copy.copy)


def test_a_session_passes_for_a_dataclass(session):
    session.update_state({"a": [1]}, "api")
    fields = dataclasses.asdict(session)
    assert list(fields) == [field.name for field in dataclasses.fields(CrossChannelSession)]
    assert {**fields, "session_id": "s"} == {name: getattr(session, name) for name in fields}
    assert type(fields["channel_activity"]) is dict
    fields["state"]["a"].append(2)
    assert session.state == {"a": [1]}
    other = dataclasses.replace(session, user_id="bob")
    assert (other.user_id, other.state, session.user_id) == ("bob", {"a": [1]}, "ada")


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, dict.copy, dict])
def test_a_copy_of_the_activity_is_a_dict(session, duplicate):
    session.refresh("api")
    activity = session.channel_activity
    copied = activity.copy() if duplicate is dict.copy else duplicate(activity)
    assert type(copied) is dict
    del copied["api"]
    assert session.channel_activity.keys() == {"api"}


def test_a_session_may_contain_itself(session):
    session.state["self"] = session
    assert "state={'self': ...}" in repr(session)


def test_a_deleted_session_keeps_answering(manager):
    session = manager.create_session("s", "ada")
    manager.update_session_state("s", {"a": 1}, "api")
    manager.bind_memory_pool("s", "pool")
    before = repr(session)
    manager.delete_session("s")
    assert repr(session) == before
    assert session.is_expired()
    assert session.get_state() == {"a": 1}
    session.update_state({"b": 2})
    assert session.state == {"a": 1, "b": 2}
    assert len(manager.sessions) == 0


def test_reading_twice_shows_the_same_moment(session):
    assert len({session.created_at for _ in range(1_000)}) == 1


def test_a_version_counts_changes_of_the_state(manager):
    session = manager.create_session("s", user_id="ada")
    assert session.version == 0
    manager.update_session_state("s", {"a": 1}, "api")
    session.update_state({"b": 2}, "cli")
    session.state = {"c": 3}
    session.state["d"] = 4
    manager.get_session_state("s", "mcp")
    session.refresh("mcp")
    assert session.version == manager.get_session("s").version == 3
    with pytest.raises(VersionConflictError, match="version 3, not 2"):
        manager.update_session_state("s", {"a": 1}, if_version=2)
    with pytest.raises(VersionConflictError):
        session.update_state({"a": 1}, if_version=4)
    assert manager.update_session_state("s", {"e": 5}, if_version=3)
    session.update_state({}, if_version=4)
    assert session.version == 4
    with pytest.raises(VersionConflictError):
        manager.delete_session("s", if_version=3)
    assert manager.delete_session("s", if_version=4)
    assert session.version == 4


def test_a_session_of_its_own_begins_with_its_state():
    session = CrossChannelSession(user_id="ada", state={"a": 1})
    assert session.version == 0
    session.update_state({"b": 2})
    assert session.version == 1


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_has_the_version(manager, duplicate):
    session = manager.create_session("s", user_id="ada")
    session.update_state({"a": 1})
    twin = duplicate(session)
    assert twin.version == 1
    twin.update_state({"a": 2})
    assert (twin.version, session.version) == (2, 1)
