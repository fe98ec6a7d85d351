"""Operations of the session table: hot, and at random ids of tables of several sizes."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from bench.core.contenders import COMPILED, ORIGINAL, PURE, Call, expect, installed
from bench.core.contenders.sessions import (
    CACHES,
    TABLES,
    Cache,
    Dict,
    state_of,
)
from bench.core.ids import random_ids
from bench.core.operations import (
    EMPTY_CALL,
    Operation,
    Part,
    Target,
    clock_reads,
    measured,
)
from bench.core.scale import Scale
from bench.core.sweeps import sweep_all, whole_tables
from bench.report import Section
from bench.timing import collector_off

__all__ = ["check_state", "filled", "measure"]

C = TypeVar("C", bound=Cache)

YARDSTICK = "dict"
DRAWS = 500_000
"""Random ids to go through before the first one comes again."""


def measure(scale: Scale, say: Callable[[str], None]) -> Section:
    """Time every operation of a table of sessions.

    Parameters
    ----------
    scale
        How much to measure.
    say
        Reports what is being measured.

    Raises
    ------
    WrongAnswerError
        A contender does something else than what it is timed for.
    """
    return measured("Sessions", operations(scale, say), scale, say)


def operations(scale: Scale, say: Callable[[str], None]) -> Iterator[Operation]:
    """Yield one operation after the other, each with the tables that it needs."""
    yield from hot()
    yield create()
    for size in scale.sizes:
        if size > 1:
            say(f"tables of {size:,} sessions")
            yield from at_random(size, whole=size == scale.many)
    yield sweep_all(scale.many, idle=True)
    yield sweep_all(scale.many, idle=False)


def hot() -> Iterator[Operation]:
    """Get and update the only session there is."""
    (session_id,) = ids = random_ids(1)
    tables, no_tables = filled(TABLES, ids)
    caches, no_caches = filled(CACHES, ids)
    yardstick, _ = filled({YARDSTICK: Dict}, ids)
    contenders: dict[str, Cache] = {**tables, **caches, **yardstick}
    absent = {**no_tables, **no_caches}
    state = state_of(2)
    held = {"state": state, "states": {session_id: state}, "id": session_id}
    copying = Part("copying the state", Call("state.copy()", held).run(), EMPTY_CALL.run)
    lookup = Part("a dict.get of the id", Call("states.get(id)", held).run())
    yield Operation(
        "get, one hot session",
        {name: contender.get.run(ids) for name, contender in contenders.items()},
        absent,
        (Target(ORIGINAL, 12), Target(PURE, 5), Target("cachebox", 1 / 2)),
        (lookup, clock_reads(1), copying),
    )
    yield Operation(
        "update, one hot session",
        {name: contender.update.run(ids) for name, contender in contenders.items()},
        absent,
        (Target(ORIGINAL, 12), Target(PURE, 5)),
        (
            lookup,
            clock_reads(1),
            Part("making the dictionary of updates", Call("{'turn': 2}", {}).run()),
            Part(
                "merging it into the state",
                Call("state.update(updates)", {**held, "updates": {"turn": 2}}).run(),
                EMPTY_CALL.run,
            ),
        ),
    )


def create() -> Operation:
    """Create sessions in a table that is empty at first."""
    tables, absent = installed(TABLES)
    for name, table in tables.items():
        table.create.function()()
        expect(name, "sessions after creating one", table.active(), 1)
    entropy = secrets.token_bytes(16)
    return Operation(
        "create a session",
        {name: table.create.run() for name, table in tables.items()},
        absent,
        (Target(ORIGINAL, 8), Target(PURE, 2)),
        (
            Part("an id as text", Call("entropy.hex()", {"entropy": entropy}).run()),
            clock_reads(1),
            Part("an empty dictionary for the state", Call("dict()", {}).run()),
        ),
    )


def at_random(size: int, whole: bool) -> Iterator[Operation]:
    """Get and update random ids; on the largest table also sweep and count."""
    ids = random_ids(size)
    wanted = (COMPILED, PURE, ORIGINAL)
    tables, absent = filled({name: TABLES[name] for name in wanted}, ids)
    caches, _ = filled({"cachebox": CACHES["cachebox"]}, ids)
    yardstick, _ = filled({YARDSTICK: Dict}, ids)
    contenders: dict[str, Cache] = {**tables, **caches, **yardstick}
    draws = random.Random(size).choices(ids, k=DRAWS)  # noqa: S311 - a workload, not a secret
    yield Operation(
        f"get, random ids of {size:,}",
        {name: contender.get.run(draws) for name, contender in contenders.items()},
        absent,
    )
    yield Operation(
        f"update, random ids of {size:,}",
        {name: contender.update.run(draws) for name, contender in contenders.items()},
        absent,
    )
    if whole:
        yield from whole_tables(size, tables, absent)


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
