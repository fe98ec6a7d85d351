"""Operations on whole tables: sweeping them and counting their sessions."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from bench.core.contenders import ORIGINAL, PURE, Call, expect, installed
from bench.core.contenders.sessions import AGING, Sessions, state_of
from bench.core.ids import random_ids
from bench.core.operations import Operation, Part, Target, less_than_a_million
from bench.timing import Run, collector_off

__all__ = ["sweep_all", "whole_tables"]


def whole_tables(
    size: int, tables: Mapping[str, Sessions], absent: Mapping[str, str]
) -> Iterator[Operation]:
    """Sweep tables in which nothing has expired, and count their sessions.

    Targets are judged on tables in long use. Right after sessions were created ours need not be
    looked at, because it is known when the first of them can expire.
    """
    expiry = np.full(size, time.monotonic_ns() + 10**12)
    scan = Call("(expiry <= now).any()", {"expiry": expiry, "now": time.monotonic_ns()})
    for name, table in tables.items():
        expect(name, "a sweep of live sessions", table.sweep.function()(), 0)
        expect(name, "active sessions", table.active(), size)
    for what, call_of, expected, targets in (
        (f"sweep {size:,} sessions, none expired", sweep_of, 0, (400, 5)),
        (f"session metrics over {size:,} sessions", metrics_of, size, (500, 2)),
    ):
        yield Operation(
            f"{what}, in long use",
            {
                name: in_long_use(name, table, call_of(table), expected)
                for name, table in tables.items()
            },
            absent,
            (Target(ORIGINAL, targets[0]), Target(PURE, targets[1])),
            (Part("numpy's comparison of as many expiry times", scan.run()),),
            unjudged=less_than_a_million(size),
        )
        runs = {name: call_of(table).run() for name, table in tables.items()}
        yield Operation(f"{what}, newly created", runs, absent)


def sweep_of(table: Sessions) -> Call:
    """Return the call that sweeps."""
    return table.sweep


def metrics_of(table: Sessions) -> Call:
    """Return the call that counts."""
    return table.metrics


def in_long_use(name: str, table: Sessions, call: Call, expected: int) -> Run:
    """Return what times a call on a table whose sessions have been used since they were created."""
    function = call.function()

    def once() -> float:
        table.refresh()
        started = time.perf_counter()
        answer = function()
        seconds = time.perf_counter() - started
        found = answer if isinstance(answer, int) else table.active()
        expect(name, "the answer of a table in long use", found, expected)
        return seconds

    return repeated(once)


def sweep_all(size: int, idle: bool) -> Operation:
    """Sweep a table in which everything has expired; it is filled anew for each measurement."""
    tables, absent = installed(AGING)

    def sweeping(name: str, table: Sessions) -> Run:
        fill = table.fill_idle if idle else table.fill
        sweep = table.sweep.function()

        def once() -> float:
            fill(random_ids(size))
            table.expire()
            started = time.perf_counter()
            swept = sweep()
            seconds = time.perf_counter() - started
            expect(name, "a sweep of expired sessions", swept, size)
            return seconds

        return repeated(once)

    kind = "idle sessions" if idle else "sessions with a state"
    return Operation(
        f"sweep {size:,} {kind}, all expired",
        {name: sweeping(name, table) for name, table in tables.items()},
        absent,
        (Target(ORIGINAL, 4), Target(PURE, 5)),
        (
            Part(f"freeing as many ids{'' if idle else ' and states'}", freeing(size, idle)),
            Part("deleting as many ids from a dict", deleting(size)),
        ),
        unjudged=less_than_a_million(size),
    )


def repeated(once: Callable[[], float]) -> Run:
    """Return what repeats something that times a part of itself."""

    def run(number: int) -> float:
        with collector_off():
            return sum(once() for _ in range(number))

    return run


def freeing(size: int, idle: bool) -> Run:
    """Return what times the destruction alone of what a table of sessions holds."""

    def once() -> float:
        ids = random_ids(size)
        held: list[object] = [*ids] if idle else [(n, state_of(turn)) for turn, n in enumerate(ids)]
        ids.clear()
        started = time.perf_counter()
        held.clear()
        return time.perf_counter() - started

    return repeated(once)


def deleting(size: int) -> Run:
    """Return what times taking ids out of a dictionary, one by one, as an index has to."""

    def once() -> float:
        ids = random_ids(size)
        index = dict.fromkeys(ids, 0)
        started = time.perf_counter()
        # Loops in C.
        deque(map(index.__delitem__, ids), maxlen=0)
        return time.perf_counter() - started

    return repeated(once)
