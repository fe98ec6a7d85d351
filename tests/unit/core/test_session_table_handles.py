"""Handles onto rows: in a table, out of it, and from one to the other."""

from __future__ import annotations

import gc
import weakref
from importlib import import_module

import pytest

from kaizen_nexus._errors import SessionTableFullError

SECOND = 1_000_000_000


@pytest.fixture
def tables(core):
    return core.module("session_table").SessionTable


def new_session(tables, *arguments, **options):
    return import_module(tables.__module__).SessionHandle(*arguments, **options)


@pytest.fixture
def ticking():
    """A clock that is a list of one number."""
    return [1_000 * SECOND]


@pytest.fixture
def table(tables, ticking):
    return tables(60, clock=lambda: ticking[0])


def test_a_handle_reads_and_writes_its_row(table, ticking):
    row = table.create_handle("s", "ada", ttl=10)
    now = ticking[0]
    assert (row.session_id, row.user_id, row.attached) == ("s", "ada", True)
    assert (row.created, row.accessed, row.expires, row.ttl) == (
        now,
        now,
        now + 10 * SECOND,
        10,
    )
    assert row.memory_pool_id is None
    row.user_id = "bob"
    row.memory_pool_id = "pool"
    row.created = -5
    row.accessed = 7
    row.expires = now + 1
    other = table.peek("s")
    assert (other.user_id, other.memory_pool_id) == ("bob", "pool")
    assert (other.created, other.accessed, other.expires) == (-5, 7, now + 1)
    ticking[0] += 1
    assert row.is_expired()
    assert table.get_state("s") is None


def test_the_live_state_is_one_dict(table):
    row = table.create_handle("s")
    row.state["a"] = 1
    assert table.get_state("s") == {"a": 1}
    table.update("s", {"b": 2})
    assert row.state == {"a": 1, "b": 2}
    assert row.state is table.peek("s").state
    replacement = {"c": 3}
    row.state = replacement
    assert table.peek("s").state is replacement
    row.update_state({"d": 4}, "api")
    assert row.get_state("cli") == {"c": 3, "d": 4} == replacement
    assert row.channels().keys() == {"api", "cli"}


def test_a_handle_acts_on_an_expired_row_while_it_is_held(table, ticking):
    row = table.create_handle("s", ttl=1)
    ticking[0] += SECOND
    assert row.is_expired()
    assert table.handle("s") is None
    row.refresh()
    assert not row.is_expired()
    assert table.get_state("s") == {}


def test_channel_times_can_be_set_and_forgotten(table, ticking):
    row = table.create_handle("s")
    row.set_channel("never", None)
    row.refresh("api")
    row.set_channel("cli", 5)
    assert row.channels() == {"api": ticking[0], "cli": 5}
    row.set_channel("api", None)
    assert row.channels() == {"cli": 5}
    assert table.metrics()["channels_used"] == ["cli"]
    table.delete("s")
    assert row.channels() == {"cli": 5}


def let_go(table, row, how, ticking):
    if how == "deleted":
        assert table.delete(row.session_id)
    elif how == "deleted through the handle":
        assert row.delete()
    elif how == "replaced":
        table.create(row.session_id, "someone else", state={"theirs": 1})
    elif how == "cleared":
        assert table.clear() == 1
    else:
        ticking[0] = row.expires
        assert table.sweep_all() == 1


@pytest.mark.parametrize(
    "how", ["deleted", "deleted through the handle", "replaced", "cleared", "swept"]
)
def test_a_handle_outlives_its_row_and_touches_no_other(table, ticking, how):
    row = table.create_handle("s", "ada", state={"mine": 1})
    row.refresh("api")
    row.memory_pool_id = "pool"
    seen = (row.created, row.accessed, row.expires, row.ttl, row.channels())
    state = row.state
    let_go(table, row, how, ticking)

    assert not row.attached
    assert row.is_expired()
    assert not row.delete()
    assert (row.created, row.accessed, row.expires, row.ttl, row.channels()) == seen
    assert (row.session_id, row.user_id, row.memory_pool_id) == ("s", "ada", "pool")
    assert row.state is state

    successor = table.create_handle("s", "bob")  # takes the same slot under the same id
    row.user_id = "eve"
    row.memory_pool_id = None
    row.state["stolen"] = True
    row.state = {"new": 1}
    row.update_state(iter([("more", 2)]), "mcp")
    row.refresh("mcp")
    row.expires = row.created = row.accessed = 0
    row.set_channel("cli", 1)
    assert row.get_state() == {"new": 1, "more": 2}
    assert row.is_expired()
    assert (successor.user_id, successor.memory_pool_id) == ("bob", None)
    assert (successor.state, successor.channels()) == ({}, {})
    assert successor.created == ticking[0]
    assert len(table) == 1


def test_all_handles_onto_a_row_are_of_one_mind_after_it_is_gone(table):
    first = table.create_handle("s")
    second = table.handle("s")
    table.update("s", {"late": 1})
    table.delete("s")
    assert first.state == second.state == {"late": 1}


def test_dropping_a_handle_leaves_the_row(table):
    row = table.create_handle("s", state={"a": 1})
    del row
    assert table.get_state("s") == {"a": 1}
    assert table.peek("s").attached
    assert table.delete("s")


def test_a_detached_handle_keeps_its_own_values(tables):
    row = new_session(tables, "s", "ada", ttl=5)
    assert not row.attached
    assert not row.is_expired()
    assert not row.delete()
    assert row.expires - row.created == 5 * SECOND == row.ttl * SECOND
    row.update_state({"a": 1}, "api")
    assert row.get_state("cli") == {"a": 1}
    assert row.channels().keys() == {"api", "cli"}
    assert row.created <= row.accessed <= row.now()
    row.expires = row.now()
    assert row.is_expired()
    row.refresh()
    assert not row.is_expired()
    for number in range(14):
        row.refresh(f"channel {number}")
    with pytest.raises(ValueError, match="would be number 17"):
        row.refresh("one more")


def test_adopting_keeps_times_state_and_channels(table, tables, ticking):
    row = new_session(tables, "s", "ada", ttl=5)
    state = row.state
    row.created, row.accessed, row.expires = 1, 2, ticking[0] + SECOND
    row.memory_pool_id = "pool"
    row.set_channel("api", 3)
    assert table.adopt(row)

    assert row.attached
    assert table.adopt(row)  # already there
    assert len(table) == 1
    held = table.peek("s")
    assert held.state is state
    assert (held.created, held.accessed, held.expires) == (1, 2, ticking[0] + SECOND)
    assert (held.ttl, held.user_id, held.memory_pool_id) == (5, "ada", "pool")
    assert held.channels() == {"api": 3}
    table.update("s", {"a": 1})
    assert row.state == {"a": 1}


def test_adopting_may_leave_a_live_session_alone(table, tables, ticking):
    table.create("s", "ada", ttl=1)
    newcomer = new_session(tables, "s", "bob")
    assert not table.adopt(newcomer, replace=False)
    assert not newcomer.attached
    assert table.peek("s").user_id == "ada"
    ticking[0] += SECOND
    assert table.adopt(newcomer, replace=False)
    assert table.peek("s").user_id == "bob"


def test_a_session_may_leave_a_table_and_come_back_or_go_elsewhere(table, tables):
    row = table.create_handle("s", state={"a": 1})
    row.refresh("api")
    table.delete("s")
    assert table.adopt(row)
    assert table.get_state("s") == {"a": 1}
    assert not row.is_expired()

    other = tables()
    with pytest.raises(ValueError, match=r"^session 's' is held by another table$"):
        other.adopt(row)
    assert other.metrics()["channels_used"] == []
    row.delete()
    row.expires = other.now() + SECOND
    assert other.adopt(row)
    assert row.channels().keys() == {"api"}
    assert other.metrics()["channels_used"] == ["api"]
    assert len(table) == 0


def test_adopting_respects_the_bounds(tables):
    table = tables(capacity=1)
    table.create("a")
    row = new_session(tables, "b", state := "ada")
    with pytest.raises(SessionTableFullError):
        table.adopt(row)
    assert (row.attached, row.user_id) == (False, state)

    table.clear()
    for number in range(16):
        table.touch(table.create("a"), f"channel {number}")
    row.refresh("one more")
    with pytest.raises(ValueError, match="would be number 17"):
        table.adopt(row)
    assert not row.attached


def test_a_handle_keeps_its_table(tables):
    row = tables().create_handle("s", state={"a": 1})
    assert row.attached
    assert row.get_state("api") == {"a": 1}


class Watched:
    """Calls back when it is destroyed."""

    def __init__(self, gone):
        self.gone = gone

    def __del__(self):
        self.gone()


def test_a_table_makes_handles_of_the_class_it_is_given(core, ticking):
    module = core.module("session_table")

    class Session(module.SessionHandle):
        __slots__ = ()

    table = module.SessionTable(60, clock=lambda: ticking[0], handles=Session)
    table.context = "here"
    created = table.create_handle("s", "ada")
    assert type(created) is Session
    assert table.handle("s", "api", owner="ada") is created is weakref.ref(created)()
    assert created.context == "here"
    assert table.handle("s", "cli", owner="bob") is None
    assert created.channels().keys() == {"api"}
    assert module.SessionHandle().context is None


@pytest.mark.parametrize("act", ["peek", "handle", "delete", "create", "get_state"])
def test_a_row_may_be_used_while_what_a_subclass_added_to_its_handle_goes(core, act):
    module = core.module("session_table")

    class Session(module.SessionHandle):
        pass

    table = module.SessionTable()
    session = Session("s", "ada")
    session.extra = Watched(lambda: getattr(table, act)("s"))
    table.adopt(session)
    del session
    gc.collect()
    assert len(table) == (act != "delete" or core.name == "py")
    if "s" in table:
        table.update("s", {"n": 1})
        assert table.peek("s").state == {"n": 1}


def test_a_class_of_handles_cannot_say_which_object_its_handle_is(tables):
    base = type(new_session(tables, "s"))
    shared = []

    class Odd(base):
        def __new__(cls, *_, **__):
            shared[:] = shared or [super().__new__(cls)]
            return shared[0]

    table = tables(60, handles=Odd)
    for name in "ab":
        table.create(name, "ada")
    first, second = table.handle("a"), table.handle("b")
    assert (first.session_id, second.session_id) == ("a", "b")
    assert not shared
    del first
    assert table.delete("a")
    assert second.attached
