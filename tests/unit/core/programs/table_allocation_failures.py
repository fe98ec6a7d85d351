"""Fail each allocation of each call of the compiled session table in turn.

After each failure the table must be as before the call, or as a shorter call would have left it;
the same call must then succeed, and nothing may be kept that is no longer in use.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from failing_malloc import FailingMalloc
from kaizen_nexus._core.session_table import SessionHandle, SessionTable

SECOND = 1_000_000_000
MANY = {f"key {number}": number for number in range(40)}
LEFT = ("replaced", "expired", "deleted", "evicted")
MOST_ALLOCATIONS = 2_000


class Value:
    """Counted by reference: held by sessions, and by nothing else for long."""


VALUE, POOL, USER, NAME = Value(), Value(), "".join(("us", "er")), "".join(("ki", "osk"))


def references() -> list[int]:
    return [sys.getrefcount(shared) for shared in (VALUE, POOL, USER, NAME)]


@dataclass
class Subject:
    """A table with a session in use, an expired one, an empty one and one that a handle holds."""

    capacity: int = 100
    on_full: str = "refuse"
    now: int = SECOND
    table: SessionTable = field(init=False)
    handle: SessionHandle = field(init=False)
    detached: SessionHandle = field(init=False)
    expected: dict[str, tuple[Any, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self.table = SessionTable(
            10, capacity=self.capacity, on_full=self.on_full, clock=lambda: self.now
        )
        self.table.create("old", USER, 1, {"value": VALUE})
        self.table.create("empty", USER)
        self.table.create("kept", USER, None, {"value": VALUE})
        self.handle = self.table.create_handle("held", USER, None, {"value": VALUE})
        self.handle.memory_pool_id = POOL
        self.handle.refresh("api")
        self.detached = SessionHandle("adopted", USER)
        # NAME first: what the second tuple of dict.items() would hold, CPython leaks if it fails.
        self.detached.set_channel(NAME, SECOND)
        self.detached.update_state({"value": VALUE}, "api")
        self.detached.memory_pool_id = POOL
        self.now += 2 * SECOND
        self.expected = {
            "old": (USER, {"value": VALUE}, None, SECOND),
            "empty": (USER, {}, None, SECOND),
            "kept": (USER, {"value": VALUE}, None, SECOND),
            "held": (USER, {"value": VALUE}, POOL, SECOND),
        }

    def contents(self) -> dict[str, tuple[Any, ...]]:
        """Return what each session holds, but for the times, which an access in vain changes too.

        To look at the state of a session that has none yet gives it one.
        """
        contents = {}
        for session_id in self.table.ids():
            row = self.table.peek(session_id)
            assert row is not None, session_id
            assert row.session_id == session_id
            assert row.attached
            contents[session_id] = (row.user_id, row.state.copy(), row.memory_pool_id, row.created)
        return contents

    def check(self) -> dict[str, tuple[Any, ...]]:
        contents, figures = self.contents(), self.table.metrics()
        gone = sum(figures[name] for name in LEFT)
        assert figures["created"] - gone == figures["total"] == len(self.table) == len(contents), (
            figures,
            contents.keys(),
        )
        assert self.detached.attached is ("adopted" in contents)
        for row in (self.handle, self.detached):
            assert row.user_id is USER
            assert row.memory_pool_id is POOL
        return contents


FULL = partial(Subject, capacity=4, on_full="evict")
UNCHANGED, ANY_PART = "unchanged", "any part"


@dataclass(frozen=True)
class Case:
    """A call, and what a failed one leaves: the contents unchanged, or any part of its work."""

    operate: Callable[[Subject], Any]
    succeeded: Callable[[Subject, Any], bool]
    begin: Callable[[], Subject] = Subject
    left: str = UNCHANGED


def full_of_live_ones() -> Subject:
    subject = FULL()
    subject.table.peek("old").refresh()
    return subject


def without_chunks() -> Subject:
    subject = Subject()
    subject.table = SessionTable(10, clock=lambda: subject.now)
    subject.handle = SessionHandle("held", USER)
    subject.handle.memory_pool_id = POOL
    subject.expected = {}
    return subject


def state_of(subject: Subject, session_id: str) -> dict[str, Any]:
    return subject.table.peek(session_id).state


def has(session_id: str) -> Callable[[Subject, Any], bool]:
    return lambda subject, _: session_id in subject.table.ids()


def lacks(session_id: str) -> Callable[[Subject, Any], bool]:
    return lambda subject, _: session_id not in subject.table.ids()


def gives(expected: Any) -> Callable[[Subject, Any], bool]:
    return lambda _, result: result == expected


NEW = {"value": VALUE}
CASES = {
    "create": Case(lambda s: s.table.create("new", USER, 5, NEW), has("new")),
    "create the first": Case(
        lambda s: s.table.create("new", USER, 5, NEW), has("new"), without_chunks
    ),
    "create with a random id": Case(
        lambda s: s.table.create(None, USER), lambda s, result: result in s.table
    ),
    "create a handle": Case(
        lambda s: s.table.create_handle("new", USER), lambda _, row: row.attached
    ),
    "replace": Case(
        lambda s: s.table.create("kept", USER, None, MANY),
        lambda s, _: state_of(s, "kept") == MANY,
    ),
    "replace an expired one": Case(lambda s: s.table.create("old", USER), has("old")),
    "reclaim": Case(lambda s: s.table.create("new", USER), lacks("old"), FULL),
    "evict": Case(lambda s: s.table.create("new", USER), has("new"), full_of_live_ones),
    "adopt": Case(lambda s: s.table.adopt(s.detached), lambda s, _: s.detached.attached),
    "get a state": Case(lambda s: s.table.get_state("kept"), gives(NEW)),
    "get a state on a new channel": Case(lambda s: s.table.get_state("kept", NAME), gives(NEW)),
    "touch": Case(lambda s: s.table.touch("kept", "api"), gives(True)),
    "touch on a new channel": Case(lambda s: s.table.touch("kept", NAME), gives(True)),
    "get a handle": Case(lambda s: s.table.handle("kept"), lambda _, row: row.user_id is USER),
    "peek": Case(lambda s: s.table.peek("old"), lambda _, row: row.is_expired()),
    "update": Case(
        lambda s: s.table.update("kept", {"more": VALUE}),
        lambda s, _: state_of(s, "kept") == {**NEW, "more": VALUE},
    ),
    "update by many keys": Case(
        lambda s: s.table.update("kept", MANY),
        lambda s, _: state_of(s, "kept") == {**NEW, **MANY},
    ),
    "update an empty one": Case(
        lambda s: s.table.update("empty", NEW), lambda s, _: state_of(s, "empty") == NEW
    ),
    "update on a new channel": Case(
        lambda s: s.table.update("kept", {"more": VALUE}, NAME),
        lambda s, _: "more" in state_of(s, "kept"),
    ),
    "delete": Case(lambda s: s.table.delete("kept"), lacks("kept")),
    "delete one with a handle": Case(
        lambda s: s.table.delete("held"), lacks("held"), left=ANY_PART
    ),
    "sweep": Case(lambda s: s.table.sweep(), lacks("old"), left=ANY_PART),
    "sweep all": Case(lambda s: s.table.sweep_all(), lacks("old"), left=ANY_PART),
    "clear": Case(lambda s: s.table.clear(), lambda s, _: len(s.table) == 0, left=ANY_PART),
    "read the figures": Case(lambda s: s.table.metrics(), lambda _, got: got["active"] == 3),
    "list the ids": Case(lambda s: s.table.ids(), lambda _, ids: len(ids) == 4),
    "make a table": Case(
        lambda _: SessionTable(10, capacity=10**6), lambda _, table: table.create("s") == "s"
    ),
    "make a handle": Case(lambda _: SessionHandle("s", USER), lambda _, row: not row.attached),
    "update through a handle": Case(
        lambda s: s.handle.update_state({"more": VALUE}, NAME),
        lambda s, _: "more" in s.handle.state,
    ),
    "update through a detached handle": Case(
        lambda s: s.detached.update_state({"more": VALUE}, "cli"),
        lambda s, _: "more" in s.detached.state,
    ),
    "get a state through a handle": Case(lambda s: s.handle.get_state("mcp"), gives(NEW)),
    "begin a state through a handle": Case(
        lambda s: s.table.peek("empty").state, lambda _, state: state == {}
    ),
    "set a state": Case(
        lambda s: setattr(s.handle, "state", dict(MANY)),
        lambda s, _: s.handle.state == MANY,
    ),
    "set an activity": Case(
        lambda s: s.handle.set_channel(NAME, SECOND),
        lambda s, _: s.handle.channels()[NAME] == SECOND,
    ),
    "list activities": Case(lambda s: s.handle.channels(), lambda _, got: list(got) == ["api"]),
    "delete through a handle": Case(lambda s: s.handle.delete(), lacks("held"), left=ANY_PART),
}


def run(malloc: FailingMalloc, case: Case, refusals: int) -> int:
    """Make a case's call with each of its allocations failing; return how often it raised."""
    raised = 0
    for granted in count():
        assert granted < MOST_ALLOCATIONS
        unused = references()
        subject = case.begin()
        # With all those in use that were kept for reuse, another handle has to be allocated.
        spare = [SessionHandle("spare") for _ in range(40)]
        outcome = malloc.attempt(partial(case.operate, subject), granted, refusals)
        after = subject.check()
        result = outcome.result
        if outcome.raised:
            raised += 1
            assert outcome.refused
            assert case.left == ANY_PART or after == subject.expected, after
            result = case.operate(subject)
            subject.check()
        assert case.succeeded(subject, result), result
        reached = outcome.refused > 0
        del subject, spare, after, outcome, result
        gc.collect()
        assert references() == unused, (references(), unused)
        if not reached:
            return raised
    raise AssertionError


def grow(malloc: FailingMalloc, rows: int) -> int:
    """Fill a table; where a creation allocates more than most do, fail each allocation in turn."""
    ids = [f"session {number}" for number in range(rows)]
    trial = SessionTable()
    asked = [malloc.allocations_of(partial(trial.create, session_id)) for session_id in ids]
    usual = sorted(asked)[rows // 2]
    del trial
    table = SessionTable()
    raised = 0
    for number, session_id in enumerate(ids):
        if asked[number] <= usual:
            table.create(session_id)
            continue
        for granted in range(asked[number] + 5):
            outcome = malloc.attempt(partial(table.create, session_id), granted, 1 + granted % 3)
            if not outcome.raised:
                break
            raised += 1
            assert len(table) == number
            assert session_id not in table
            assert table.metrics()["created"] == number
        assert outcome.result == session_id
    assert len(table) == rows
    assert set(table.ids()) == set(ids)
    assert all(table.peek(session_id).session_id == session_id for session_id in ids)
    assert sum(table.delete(session_id) for session_id in ids) == rows
    return raised


def main() -> None:
    malloc = FailingMalloc()
    gc.disable()
    gc.freeze()
    total = 0
    for name, case in CASES.items():
        for refusals in (1, 30):
            sys.stdout.write(f"{name}, {refusals} in a row: ")
            sys.stdout.flush()
            raised = run(malloc, case, refusals)
            total += raised
            sys.stdout.write(f"failed {raised} times\n")
    sys.stdout.write("growth: ")
    raised = grow(malloc, 40_000)
    assert raised >= 2  # for each further chunk at least
    assert total > 100  # how many a call needs depends on what the interpreter keeps for reuse
    sys.stdout.write(f"failed {raised} times\n")


if __name__ == "__main__":
    main()
