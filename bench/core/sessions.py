"""Operations of the session table: hot, at random ids of several sizes, and on whole tables."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from bench.comparing import Target, judged, less_than_a_million
from bench.core.contenders import COMPILED, ORIGINAL, PURE, expect, installed
from bench.core.contenders.sessions import (
    CACHES,
    MANAGER,
    TABLES,
    Cache,
    Dict,
    Sessions,
    state_of,
)
from bench.core.heap import random_ids
from bench.core.operations import Operation, measured
from bench.core.scale import Scale
from bench.report import Row, Section
from bench.timing import Run, collector_off

__all__ = ["check_state", "create", "filled", "hot", "measure"]

C = TypeVar("C", bound=Cache)

YARDSTICK: dict[str, Callable[[], Cache]] = {"dict": Dict}
SMALL = 1_000
CREATED = 2_000
DRAWS = 500_000
"""Random ids to go through before the first one comes again."""


def measure(scale: Scale, say: Callable[[str], None]) -> Section:
    """Time every operation of a table of sessions."""
    section = measured("Sessions", operations(scale, say), scale, say)
    costs, rows = growth(section.data, max(scale.sizes))
    return Section(section.title, [*section.rows, *rows], {**section.data, "cost_by_size": costs})


def operations(scale: Scale, say: Callable[[str], None]) -> Iterator[Operation]:
    """Yield one operation after the other, each with the tables that it needs."""
    yield from hot()
    yield create()
    for size in scale.sizes:
        if size > 1:
            say(f"tables of {size:,} sessions")
            yield from at_random(size, whole=size == scale.many)
    yield sweep_expired(scale.many, "idle sessions", lambda _: None)
    yield sweep_expired(scale.many, "sessions with a state", state_of)


def hot() -> Iterator[Operation]:
    """Get and update the only session there is."""
    ids = random_ids(1)
    contenders, absent = filled({**TABLES, **CACHES, **YARDSTICK}, ids)
    ours = (Target(PURE, 5), Target("cachebox", 1 / 1.5))
    for what, targets, manager in (
        ("get", (Target(ORIGINAL, 14), *ours), 20),
        ("update", (Target(ORIGINAL, 13), ours[0]), 13),
    ):
        yield Operation(
            f"{what}, one hot session",
            {name: getattr(held, what).run(ids) for name, held in contenders.items()},
            absent,
            (*targets, Target(ORIGINAL, manager, MANAGER)),
        )


def create() -> Operation:
    """Create sessions in a table that is empty at first."""
    tables, absent = installed(TABLES)
    for name, table in tables.items():
        table.create.function()()
        expect(name, "sessions after creating one", table.size(), 1)
    return Operation(
        "create a session",
        {name: table.create.run() for name, table in tables.items()},
        absent,
        (Target(ORIGINAL, 14), Target(PURE, 2), Target(ORIGINAL, 14, MANAGER)),
    )


def at_random(size: int, whole: bool) -> Iterator[Operation]:
    """Get and update random ids; on the largest table also sweep and count."""
    ids = random_ids(size)
    tables, absent = filled({name: TABLES[name] for name in (COMPILED, PURE, ORIGINAL)}, ids)
    others, _ = filled({"cachebox": CACHES["cachebox"], **YARDSTICK}, ids)
    contenders: dict[str, Cache] = {**tables, **others}
    draws = random.Random(size).choices(ids, k=DRAWS)  # noqa: S311 - a workload, not a secret
    for what in ("get", "update"):
        yield Operation(
            f"{what}, random ids of {size:,}",
            {name: getattr(held, what).run(draws) for name, held in contenders.items()},
            absent,
        )
    yield create_among(size, tables, absent)
    if whole:
        yield from whole_tables(size, tables, absent)


def create_among(size: int, tables: Mapping[str, Sessions], absent: Mapping[str, str]) -> Operation:
    """Create sessions in a table that holds many, and remove them again."""
    number = min(CREATED, size // 4)

    def run(table: Sessions) -> Run:
        def once() -> float:
            started = time.process_time()
            created: list[Any] = [table.add() for _ in range(number)]
            seconds = time.process_time() - started
            for session in created:
                table.delete(session if isinstance(session, str) else session.session_id)
            return seconds

        return lambda repetitions: sum(once() for _ in range(repetitions))

    runs = {name: run(table) for name, table in tables.items()}
    return Operation(f"create, random ids of {size:,}", runs, absent, per=number)


def growth(data: Mapping[str, Any], large: int) -> tuple[dict[str, Any], list[Row]]:
    """Return what operations cost by size, and judge how that grows beside what a dict shows.

    A dict grows dearer, too, when it no longer fits into the processor's caches. A table may cost
    more than a dict at any size, but not grow faster than twice as fast.
    """
    costs: dict[str, dict[str, dict[int, float]]] = {}
    for title, figures in data.items():
        operation, found, size = title.partition(", random ids of ")
        for name, sample in figures["contenders"].items() if found else ():
            by_size = costs.setdefault(name, {}).setdefault(operation, {})
            by_size[int(size.replace(",", ""))] = sample["median"]
    rows = []
    for operation, cost in costs.get(COMPILED, {}).items():
        yardstick = costs["dict"]["get" if operation == "get" else "update"]
        own, other = (held[large] / held[SMALL] for held in (cost, yardstick))
        figure = f"{own:.1f}x; a dict {other:.1f}x"
        what = f"{operation} at random among {large:,} sessions against among {SMALL:,}"
        row = Row(what, figure, "at most twice what a dict shows", own <= 2 * other)
        rows.append(judged(row, large))
    return costs, rows


def whole_tables(
    size: int, tables: Mapping[str, Sessions], absent: Mapping[str, str]
) -> Iterator[Operation]:
    """Sweep tables in which nothing has expired, and count their sessions.

    Targets are judged on tables in long use. Right after sessions were created ours need not be
    looked at, because it is known when the first of them can expire.
    """
    for what, method, expected, targets in (
        (f"sweep {size:,} sessions, none expired", "sweep", 0, (400, 5)),
        (f"session metrics over {size:,} sessions", "metrics", size, (500, 2)),
    ):
        calls = {name: getattr(table, method) for name, table in tables.items()}

        def in_long_use(name: str, method: str = method, expected: int = expected) -> Run:
            table, call = tables[name], getattr(tables[name], method).function()
            return repeated(name, call, table.refresh, expected)

        yield Operation(
            f"{what}, in long use",
            {name: in_long_use(name) for name in tables},
            absent,
            (Target(ORIGINAL, targets[0]), Target(PURE, targets[1])),
            unjudged=less_than_a_million(size),
        )
        runs = {name: call.run() for name, call in calls.items()}
        yield Operation(f"{what}, newly created", runs, absent)


def sweep_expired(
    size: int, kind: str, make_state: Callable[[int], dict[str, object] | None]
) -> Operation:
    """Sweep a table in which everything has expired; it is filled anew for each measurement."""
    tables, absent = installed({name: TABLES[name] for name in (COMPILED, PURE, ORIGINAL)})

    def run(name: str) -> Run:
        table = tables[name]

        def prepare() -> None:
            ids = random_ids(size)
            table.fill(ids, make_state)
            table.expire(ids)

        return repeated(name, table.sweep.function(), prepare, size)

    return Operation(
        f"sweep {size:,} {kind}, all expired",
        {name: run(name) for name in tables},
        absent,
        (Target(ORIGINAL, 4), Target(PURE, 5)),
        unjudged=less_than_a_million(size),
    )


def repeated(
    name: str, call: Callable[[], object], prepare: Callable[[], object], expected: int
) -> Run:
    """Return what times a call on a table that is prepared for each, and checks its answer."""

    def once() -> float:
        prepare()
        started = time.process_time()
        answer = call()
        seconds = time.process_time() - started
        if isinstance(answer, dict):
            answer = answer.get("active", answer.get("active_sessions"))
        expect(name, "the answer of a whole table", answer, expected)
        return seconds

    def run(number: int) -> float:
        with collector_off():
            return sum(once() for _ in range(number))

    return run


def filled(
    makers: Mapping[str, Callable[[], C]], ids: Sequence[str]
) -> tuple[dict[str, C], dict[str, str]]:
    """Make the contenders that are installed, fill and check them."""
    contenders, absent = installed(makers)
    for name, contender in contenders.items():
        with collector_off():
            contender.fill(ids)
        check_state(name, contender, ids)
    return contenders, absent


def check_state(name: str, contender: Cache, ids: Sequence[str]) -> None:
    """Raise unless states are read as they were written, before and after an update.

    Raises
    ------
    WrongAnswerError
        They are not.
    """
    get = contender.get.function()
    last = len(ids) - 1
    for turn in {0, last // 2, last}:
        expect(name, f"session {turn} of {len(ids)}", get(ids[turn]), state_of(turn))
    contender.update.function()(ids[last])
    expect(name, "an updated session", get(ids[last]), state_of(2))
