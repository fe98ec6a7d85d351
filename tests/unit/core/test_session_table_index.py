"""The way from an id to its row, at sizes where an index has to grow and to close gaps."""

from __future__ import annotations

import random

import pytest

SECOND = 1_000_000_000


@pytest.fixture
def tables(core):
    return core.module("session_table").SessionTable


def assert_holds(table, model):
    assert len(table) == len(model)
    assert set(table.ids()) == set(model)
    for session_id, number in model.items():
        assert table.get_state(session_id) == {"n": number}


def test_a_table_agrees_with_a_dict_while_it_grows_and_shrinks(tables):
    rng = random.Random(17)  # noqa: S311 - a repeatable order, not a secret
    table = tables()
    model = {}
    for target in (3_000, 100, 9_000, 0, 2_000):
        while len(model) < target:
            number = rng.getrandbits(64)
            model[f"{number:x}"] = number
            assert table.create(f"{number:x}", state={"n": number}) == f"{number:x}"
        for session_id in rng.sample(sorted(model), len(model) - target):
            del model[session_id]
            assert table.delete(session_id)
            assert session_id not in table
        assert_holds(table, model)


def test_ids_of_every_width_are_told_apart(tables):
    """One character decides, whatever the width that the interpreter stores a str with."""
    table = tables()
    endings = ["a", "b", "\x00", "\x00\x00", "\xe9", "\u0101", "\u0201", "\U00010101", "\U00020101"]
    ids = [body + ending for body in ("", "x" * 31, "\xe9\xe9", "\u4e00") for ending in endings]
    for number, session_id in enumerate(ids):
        table.create(session_id, state={"n": number})
    assert_holds(table, {session_id: number for number, session_id in enumerate(ids)})


def test_an_equal_id_finds_the_row_without_being_the_same_object(tables):
    table = tables()
    for number in range(2_000):
        table.create(f"session-{number}", state={"n": number})
    for number in range(2_000):
        assert table.get_state("-".join(("session", str(number)))) == {"n": number}
    assert table.get_state("session-2000") is None


def test_a_mass_expiry_leaves_the_others_where_they_can_be_found(tables):
    now = [SECOND]
    table = tables(10, clock=lambda: now[0])
    model = {}
    for number in range(6_000):
        kept = number % 3 == 0
        session_id = table.create(ttl=1_000 if kept else 10, state={"n": number})
        if kept:
            model[session_id] = number
    now[0] += 10 * SECOND
    assert table.sweep_all() == 4_000
    assert_holds(table, model)
    for number in range(6_000, 10_000):
        model[table.create(ttl=1_000, state={"n": number})] = number
    assert_holds(table, model)


@pytest.mark.parametrize("policy", ["refuse", "evict"])
def test_expired_rows_are_found_wherever_they_are_when_the_table_is_full(tables, policy):
    """Each refreshed row leaves a stale bound behind, which must hide no row that did expire."""
    now = [SECOND]
    size = 40_000
    table = tables(100, capacity=size, on_full=policy, clock=lambda: now[0])
    ids = [table.create() for _ in range(size)]
    now[0] += 19 * SECOND
    for step, expired in enumerate((size - 1, 0, size // 2, 17_000)):
        now[0] += 80 * SECOND
        for number, session_id in enumerate(ids):
            if number != expired:
                assert table.touch(session_id)
        now[0] += 19 * SECOND
        ids[expired] = table.create()
        assert len(table) == size
        figures = table.metrics()
        assert (figures["active"], figures["expired"], figures["evicted"]) == (size, step + 1, 0)
