"""Eight threads that do everything to one table: traffic.py PACKAGE OPERATIONS SECONDS.

Each thread has sessions of its own, of which it knows everything, and shares others that come and
go. The clock is a Python function and values have destructors, so that threads are switched, and
code of every kind runs, in the middle of calls as well.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import random
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

THREADS = 8
SHARED = [f"shared {number}" for number in range(48)]
CHANNELS = (None, "api", "cli", "mcp")
BRIEFLY, FOR_EVER = 1e-4, 1e6  # seconds; each look at the clock takes a microsecond
LEFT = ("replaced", "expired", "deleted", "evicted")

ticks = count(10**9, 1_000)
leap = [0]
destroyed = count()  # its increments are atomic


def clock() -> int:
    return next(ticks) + leap[0]


class Value:
    """Uses the table when it is destroyed, in whichever thread and call that is."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __del__(self) -> None:
        self.table.touch(SHARED[0], "api")
        next(destroyed)


class Worker:
    """One thread's work, what it knows of its own sessions, and what it did to those shared."""

    def __init__(self, table: Any, crowded: Any, number: int) -> None:
        self.table, self.crowded, self.number = table, crowded, number
        self.random = random.Random(number)  # noqa: S311 - repeatable, not a secret
        self.own: dict[str, dict[str, Any]] = {}
        self.done: Counter[str] = Counter()
        self.create_own()

    def work(self, operations: int) -> Worker:
        actions = [
            *[self.get_own] * 6,
            *[self.update_own] * 3,
            *[self.use_own_handle] * 2,
            *[self.get_shared] * 5,
            *[self.update_shared] * 3,
            *[self.create_shared] * 3,
            *[self.use_shared_handle] * 2,
            *[self.crowd] * 3,
            self.create_own,
            self.delete_own,
            self.delete_shared,
            self.sweep,
            self.look_around,
        ]
        for _ in range(operations):
            action = self.random.choice(actions)
            action()
            self.done[action.__name__] += 1
        return self

    def any_own(self) -> str:
        return self.random.choice(list(self.own))

    def create_own(self) -> None:
        if len(self.own) < 20:
            state = {"thread": self.number}
            session_id = self.table.create(None, f"user {self.number}", FOR_EVER, state)
            assert session_id not in self.own
            self.own[session_id] = state
            self.done["created"] += 1

    def get_own(self) -> None:
        session_id = self.any_own()
        channel = self.random.choice(CHANNELS)
        assert self.table.get_state(session_id, channel) == self.own[session_id]

    def update_own(self) -> None:
        session_id = self.any_own()
        updates = {f"key {self.random.randrange(20)}": self.random.random()}
        assert self.table.update(session_id, updates, self.random.choice(CHANNELS))
        self.own[session_id].update(updates)

    def use_own_handle(self) -> None:
        session_id = self.any_own()
        row = self.table.handle(session_id, "cli")
        assert row.attached
        assert row.user_id == f"user {self.number}"
        assert "cli" in row.channels()
        row.update_state({"handle": self.number}, "mcp")
        self.own[session_id]["handle"] = self.number
        assert row.state == self.own[session_id]

    def delete_own(self) -> None:
        if len(self.own) > 10:
            session_id = self.any_own()
            assert self.table.delete(session_id)
            assert self.table.get_state(session_id) is None
            del self.own[session_id]
            self.done["deleted"] += 1

    def pair(self) -> dict[str, Any]:
        self.done["made"] += 1
        value = Value(self.table)
        return {"left": value, "right": value}

    def create_shared(self) -> None:
        self.table.create(self.random.choice(SHARED), "shared", BRIEFLY, self.pair())
        self.done["created"] += 1

    def update_shared(self) -> None:
        self.table.update(self.random.choice(SHARED), self.pair(), self.random.choice(CHANNELS))

    def get_shared(self) -> None:
        state = self.table.get_state(self.random.choice(SHARED))
        if state is not None:
            assert state["left"] is state["right"]
            self.done["found"] += 1

    def use_shared_handle(self) -> None:
        session_id = self.random.choice(SHARED)
        row = self.table.peek(session_id)
        if row is None:
            return
        row.refresh("api")
        row.update_state(self.pair())
        assert row.session_id == session_id
        assert row.user_id == "shared"
        state = row.get_state()
        assert state["left"] is state["right"]
        if self.random.random() < 0.2:
            self.done["deleted"] += row.delete()
        elif self.random.random() < 0.2:
            row.expires = clock()

    def delete_shared(self) -> None:
        self.done["deleted"] += self.table.delete(self.random.choice(SHARED))

    def crowd(self) -> None:
        """Create more sessions than there is room for, so that the least used are evicted."""
        session_id = self.crowded.create(None, f"user {self.number}", FOR_EVER, {"n": self.number})
        row = self.crowded.peek(session_id)
        if row is not None:
            row.refresh("api")
            assert row.user_id == f"user {self.number}"
            assert row.get_state() == {"n": self.number}
        self.done["crowded"] += 1

    def sweep(self) -> None:
        if self.random.random() < 0.1:
            self.done["swept"] += self.table.sweep_all()
        else:
            self.done["swept"] += self.table.sweep(self.random.randrange(1, 64))[0]

    def look_around(self) -> None:
        ids = self.table.ids()
        assert len(ids) == len(set(ids))
        assert set(self.own) <= set(ids)
        figures = self.table.metrics()
        assert set(figures["channels_used"]) <= {"api", "cli", "mcp"}
        assert all(value >= 0 for name, value in figures.items() if name != "channels_used")


def balanced(table: Any) -> dict[str, Any]:
    figures: dict[str, Any] = table.metrics()
    gone = sum(figures[name] for name in LEFT)
    assert figures["created"] - gone == figures["total"] == len(table) == len(set(table.ids()))
    return figures


def main(package: str, operations: int, seconds: float) -> None:
    faulthandler.dump_traceback_later(seconds, exit=True)
    sys.setswitchinterval(1e-6)
    tables = importlib.import_module(f"{package}.session_table").SessionTable
    table = tables(FOR_EVER, clock=clock)
    crowded = tables(FOR_EVER, capacity=25, on_full="evict", clock=clock)
    workers = [Worker(table, crowded, number) for number in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        for future in [pool.submit(worker.work, operations) for worker in workers]:
            future.result()
    done = sum((worker.done for worker in workers), Counter[str]())

    figures = balanced(table)
    assert figures["created"] == done["created"]
    assert figures["deleted"] == done["deleted"]
    assert figures["expired"] >= done["swept"] > 0
    assert min(figures["replaced"], done["found"], done["made"]) > operations // 20, (figures, done)
    leap[0] = 10**9
    table.sweep_all()
    own = {key: state for worker in workers for key, state in worker.own.items()}
    assert set(table.ids()) == own.keys()
    assert all(table.get_state(key) == state for key, state in own.items())
    assert balanced(table)["active"] == len(own)
    figures = balanced(crowded)
    assert figures["created"] == done["crowded"]
    assert figures["total"] == 25
    assert figures["evicted"] == done["crowded"] - 25

    gc.collect()
    assert next(destroyed) == done["made"]
    sys.stdout.write(f"{THREADS} threads, {operations} operations each: {dict(done)}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
