"""Versions of a session's state, and updates that insist on one."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import pytest

from kaizen_nexus._errors import NexusError, VersionConflictError

SECOND = 1_000_000_000


@pytest.fixture
def tables(core):
    return core.module("session_table").SessionTable


def new_session(tables, *arguments, **options):
    return import_module(tables.__module__).SessionHandle(*arguments, **options)


@pytest.fixture
def table(tables):
    return tables()


@pytest.fixture
def _busy_switching():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_a_version_begins_at_zero_and_grows_with_every_change(table):
    row = table.create_handle("s", state={"a": 1})
    assert row.version == 0
    table.update("s", {"b": 2})
    assert row.version == 1
    row.update_state({"b": 2, "c": 3}, "api")
    assert row.version == table.peek("s").version == 2
    row.state = {}
    assert row.version == 3


def test_a_first_update_of_a_session_without_a_state_counts(table):
    row = table.create_handle("s")
    table.update("s", {})
    assert row.version == 0
    table.update("s", {"a": 1})
    assert row.version == 1


def test_reading_and_refreshing_do_not_count(table):
    row = table.create_handle("s", state={"a": 1})
    table.get_state("s", "api")
    table.touch("s", "cli")
    table.handle("s", "mcp")
    table.update("s", {})
    row.update_state({}, "api")
    row.refresh("api")
    row.get_state("api")
    row.set_channel("api", 5)
    row.user_id, row.memory_pool_id, row.expires = "bob", "pool", row.expires + 1
    row.state["a"] = 2  # the dict's own business
    assert row.version == 0


def test_a_change_that_is_refused_does_not_count(table):
    row = table.create_handle("s")
    for change in (3, {1: 2}, None):
        with pytest.raises(TypeError):
            table.update("s", change)
        with pytest.raises(TypeError):
            row.state = change
    assert row.version == 0


def test_an_update_insists_on_a_version(table):
    row = table.create_handle("s", state={"a": 1})
    assert table.update("s", {"a": 2}, if_version=0)
    with pytest.raises(VersionConflictError) as caught:
        table.update("s", {"a": 3}, "api", if_version=0)
    assert (caught.value.expected, caught.value.version) == (0, 1)
    assert str(caught.value) == (
        "the session's state has version 1, not 0: someone has changed it; read it again"
    )
    assert isinstance(caught.value, NexusError)
    assert (row.state, row.version) == ({"a": 2}, 1)
    with pytest.raises(VersionConflictError):
        row.update_state({"a": 3}, if_version=2)
    row.update_state({"a": 3}, if_version=1)
    row.update_state({}, if_version=2)
    assert (row.state, row.version) == ({"a": 3}, 2)


def test_insisting_on_the_first_version_of_a_session_without_a_state(table):
    row = table.create_handle("s")
    with pytest.raises(VersionConflictError):
        table.update("s", {"a": 1}, if_version=1)
    assert table.update("s", {"a": 1}, if_version=0)
    assert (row.state, row.version) == ({"a": 1}, 1)


def test_a_removal_insists_on_a_version(tables):
    now = [SECOND]
    table = tables(10, clock=lambda: now[0])
    table.create("s", state={"a": 1})
    table.update("s", {"a": 2})
    with pytest.raises(VersionConflictError, match="version 1, not 0"):
        table.delete("s", if_version=0)
    with pytest.raises(TypeError, match="if_version must be an int, not str"):
        table.delete("s", if_version="1")
    assert "s" in table
    assert table.delete("s", if_version=1) is True
    assert table.delete("s", if_version=1) is False
    table.create("s")
    now[0] += 10 * SECOND
    assert table.delete("s", if_version=7) is False  # it has expired, whatever its version
    assert (table.metrics()["deleted"], table.metrics()["expired"]) == (1, 1)


def test_a_conflict_is_an_access_nevertheless(tables):
    now = [SECOND]
    table = tables(10, clock=lambda: now[0])
    row = table.create_handle("s")
    now[0] += SECOND
    with pytest.raises(VersionConflictError):
        table.update("s", {"a": 1}, "api", if_version=7)
    assert (row.accessed, row.expires) == (now[0], now[0] + 10 * SECOND)
    assert row.channels() == {"api": now[0]}


def test_where_there_is_no_session_there_is_no_conflict(table):
    assert table.update("nobody", {"a": 1}, if_version=3) is False


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (True, TypeError, "if_version must be an int, not bool"),
        (1.0, TypeError, "if_version must be an int, not float"),
        ("1", TypeError, "if_version must be an int, not str"),
        (-1, ValueError, r"if_version must be between 0 and 2\*\*62, not -1"),
        (
            2**62 + 1,
            ValueError,
            r"if_version must be between 0 and 2\*\*62, not 4611686018427387905",
        ),
        (2**99, ValueError, r"if_version must be between 0 and 2\*\*62, not an int of 100 bits"),
    ],
)
def test_a_version_is_a_whole_number(table, value, error, message):
    row = table.create_handle("s")
    with pytest.raises(error, match=message):
        table.update("s", {"a": 1}, if_version=value)
    with pytest.raises(error, match=message):
        row.update_state({"a": 1}, if_version=value)
    with pytest.raises(error, match=message.replace("if_version", "version")):
        row.version = value
    assert (row.version, row.state) == (0, {})


def test_what_is_no_version_is_told_before_what_is_no_channel(table):
    table.create("s")
    with pytest.raises(TypeError, match="if_version"):
        table.update("s", {}, 5, if_version="x")
    with pytest.raises(TypeError, match="updates"):
        table.peek("s").update_state(3, 5, if_version="x")


@pytest.mark.parametrize("out", ["delete", "replace", "sweep", "evict"])
def test_a_version_leaves_the_table_with_its_session(tables, out):
    now = [SECOND]
    table = tables(10, capacity=1, on_full="evict", clock=lambda: now[0])
    row = table.create_handle("s")
    row.update_state({"a": 1})
    row.update_state({"b": 1})
    if out == "delete":
        row.delete()
    elif out == "sweep":
        now[0] += 10 * SECOND
        table.sweep_all()
    else:
        table.create("s" if out == "replace" else "t")
    assert (row.attached, row.version) == (False, 2)
    with pytest.raises(VersionConflictError, match="version 2, not 1"):
        row.update_state({"c": 1}, if_version=1)
    row.update_state({"c": 1}, if_version=2)
    row.state = {"d": 1}
    assert row.version == 4
    assert table.adopt(row)
    assert (row.version, table.peek("s").version) == (4, 4)
    assert table.update("s", {"e": 1}, if_version=4)


def test_a_detached_session_has_a_version(tables):
    row = new_session(tables, "s")
    assert row.version == 0
    row.update_state({"a": 1})
    row.update_state({})
    row.version = 41
    row.state = {"b": 1}
    assert row.version == 42
    table = tables()
    table.adopt(row)
    assert table.peek("s").version == 42
    row.version = 3
    assert table.peek("s").version == 3


def test_a_new_session_in_the_same_row_begins_anew(tables):
    table = tables(capacity=1)
    table.create("s")
    table.update("s", {"a": 1})
    table.delete("s")
    assert table.create_handle("t").version == 0


@pytest.mark.usefixtures("_busy_switching")
def test_of_those_who_insist_on_one_version_one_succeeds(table):
    rounds, threads = 200, 8
    row = table.create_handle("s", state={"n": 0})
    barrier = threading.Barrier(threads, timeout=30)

    def worker(number):
        won = Counter()
        for version in range(rounds):
            barrier.wait()
            try:
                table.update("s", {"n": version + 1, f"{number}": version}, if_version=version)
                won["success"] += 1
            except VersionConflictError:
                won["conflict"] += 1
        return won

    with ThreadPoolExecutor(max_workers=threads) as pool:
        total = sum(pool.map(worker, range(threads)), Counter())
    assert total == {"success": rounds, "conflict": rounds * (threads - 1)}
    assert (row.version, row.state["n"]) == (rounds, rounds)


@pytest.mark.usefixtures("_busy_switching")
def test_read_change_and_try_again_loses_no_update(table):
    threads, each = 8, 60
    row = table.create_handle("s", state={"n": 0})

    def worker(number):
        for step in range(each):
            while True:
                version = row.version  # before the state: too old a version is merely refused
                n = table.get_state("s")["n"]
                try:
                    table.update("s", {"n": n + 1, f"{number}/{step}": n}, if_version=version)
                    break
                except VersionConflictError:
                    pass

    with ThreadPoolExecutor(max_workers=threads) as pool:
        list(pool.map(worker, range(threads)))
    assert (row.state["n"], row.version) == (threads * each, threads * each)
    assert len(row.state) == 1 + threads * each
