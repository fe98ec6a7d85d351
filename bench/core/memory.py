"""What an idle session costs in memory, and what sessions leave behind when they have gone.

Every figure is the resident memory of a process of its own: what the objects say of themselves
omits what the allocator adds.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import repeat
from pathlib import Path
from uuid import uuid4

from bench.comparing import judged
from bench.core.child import run
from bench.core.contenders import COMPILED, PURE, WrongAnswerError, available
from bench.core.contenders.sessions import STORES, Store, state_of
from bench.core.heap import no_collections, random_ids
from bench.core.scale import Scale
from bench.report import Row, Section

__all__ = ["churned", "drift", "emptied", "idle", "measure"]

BYTES_TARGET = 350
DRIFT_TARGET = 0.02
STAYS_TARGET = 0.1
"""Part of the memory of a million sessions that may stay when they have gone."""
ROUNDS = {COMPILED: 10, PURE: 4}
NANOSECOND = 1e-9
"""A time to live that is over when the next session is created; none is replaced or reclaimed."""
WARM = 1_000
STATM = Path("/proc/self/statm")
MODULES = {
    COMPILED: "kaizen_nexus._core.session_table",
    PURE: "kaizen_nexus._fallback.session_table",
}
HERE = "bench.core.memory"


def measure(scale: Scale, say: Callable[[str], None]) -> Section:
    """Measure resident memory with `scale.many` idle sessions, after them, and over rounds."""
    many = scale.many
    title = f"Memory: {many:,} idle sessions"
    if not STATM.exists():
        reason = f"there is no {STATM} here to read resident memory from"
        return Section(title, [Row("memory", "not measured", "350 B", None, reason)])
    makers, missing = available(STORES)
    rows, sizes, stays = [], {}, {}
    for name in makers:
        say(f"memory: idle sessions, {name}")
        without, with_state = sizes[name] = run(HERE, "idle", name, many)
        figure = f"{without:.0f} B; with a state of two values {with_state:.0f} B"
        met = without <= BYTES_TARGET
        what = f"{name}: memory of an idle session"
        rows.append(_of_ours(Row(what, figure, "at most 350 B", met), name))
    for name in makers:
        say(f"memory: after the sessions have expired, {name}")
        before, full, after = stays[name] = run(HERE, "emptied", name, many)
        part = (after - before) / max(full - before, 1)
        figure = f"{part:.1%} of {(full - before) / 1e6:.1f} MB"
        what = f"{name}: memory that stays after {many:,} sessions have expired"
        row = Row(what, figure, f"at most {STAYS_TARGET:.0%}", part <= STAYS_TARGET)
        rows.append(_of_ours(judged(row, many), name))
    left: dict[str, list[int]] = {}
    for name, module in MODULES.items():
        if name not in makers:
            continue
        rounds = ROUNDS[name]
        say(f"memory: {rounds} rounds of sessions created and expired, {name}")
        left[name] = run(HERE, "churned", module, many, rounds)
        figure = (
            f"within {drift(left[name]):.2%} of the {left[name][0] / 1e6:.1f} MB after the first"
        )
        reason = ", ".join(f"{size / 1e6:.1f}" for size in left[name]) + " MB after each round"
        what = f"{name}: resident memory over {rounds} rounds of {many:,} sessions"
        row = Row(what, figure, "within 2 %", drift(left[name]) <= DRIFT_TARGET, reason)
        rows.append(_of_ours(judged(row, many), name))
    rows += [Row(f"memory of {name}", "not measured", reason=why) for name, why in missing.items()]
    data: dict[str, object] = {
        "bytes_per_session": sizes,
        "resident_before_full_after": stays,
        "resident_after_round": left,
    }
    return Section(title, rows, data)


def _of_ours(row: Row, name: str) -> Row:
    """Return the row without a target, unless it is the compiled core's."""
    return row if name == COMPILED else Row(row.name, row.figure)


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    gc.collect()
    return int(STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def idle(name: str, many: int) -> tuple[float, float]:
    """Return the bytes of a session of one contender: without state, and with one of two values."""
    warm: Store = STORES[name]()
    warm.fill(random_ids(WARM))
    del warm
    empty = STORES[name]()
    before = resident()
    with no_collections():
        for _ in repeat(None, many):
            empty.add()
    between = resident()
    state = state_of(1)
    stateful = STORES[name]()
    middle = resident()
    with no_collections():
        stateful.fill(new_ids(many), lambda _: state)
    after = resident()
    if empty.size() != many or stateful.size() != many:
        raise WrongAnswerError(f"{empty.size()} and {stateful.size()} sessions instead of {many}")
    return (between - before) / many, (after - middle) / many


def emptied(name: str, many: int) -> tuple[int, int, int]:
    """Return the resident memory before there are sessions, with them, and after they expired."""
    store = STORES[name]()
    store.fill(random_ids(WARM))
    before = resident()
    with no_collections():
        store.fill(new_ids(many))
    full = resident()
    store.expire(store.ids())
    store.sweep_all()
    if store.size():
        raise WrongAnswerError(f"{store.size()} sessions left")
    return before, full, resident()


def new_ids(many: int) -> Iterator[str]:
    """Yield ids that nothing else refers to."""
    return (uuid4().hex for _ in range(many))


def churned(module: str, many: int, rounds: int) -> list[int]:
    """Return the resident memory after each round of `many` sessions created, expired and swept."""
    table = import_module(module).SessionTable(NANOSECOND, capacity=many + 1)
    left = []
    for _ in range(rounds):
        for _ in repeat(None, many):
            table.create(None, "user")
        removed = table.sweep_all()
        if removed != many or len(table):
            raise WrongAnswerError(f"{removed} of {many} sessions swept, {len(table)} left")
        left.append(resident())
    return left


def drift(left: list[int]) -> float:
    """Return how far memory strays from what the first round left, as a part of that."""
    return max(abs(later - left[0]) for later in left[1:]) / left[0]
