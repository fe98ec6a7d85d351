"""What an idle session costs in memory, and what sessions leave behind when they have gone.

Every figure is the resident memory of a process of its own: what the objects say of themselves
omits what the allocator adds.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from importlib import import_module
from itertools import repeat
from pathlib import Path

from bench.core.child import run
from bench.core.contenders import COMPILED, ORIGINAL, PURE, WrongAnswerError
from bench.core.ids import random_ids
from bench.core.judging import judged
from bench.core.scale import Scale
from bench.core.store import STATE, USER
from bench.core.subjects import no_collections, stores
from bench.report import Row, Section

__all__ = ["churned", "drift", "idle", "measure"]

BYTES_TARGET = 350
DRIFT_TARGET = 0.02
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
    """Measure resident memory with `scale.many` idle sessions, and over rounds of as many."""
    title = f"Memory: {scale.many:,} idle sessions"
    if not STATM.exists():
        reason = f"there is no {STATM} here to read resident memory from"
        return Section(title, [Row("memory", "not measured", "350 B", None, reason)])
    makers, missing = stores(COMPILED, PURE, ORIGINAL)
    rows, data = [], {}
    for name in makers:
        say(f"memory: idle sessions, {name}")
        without, with_state = data[name] = run(HERE, "idle", name, scale.many)
        figure = f"{without:.0f} B; with a state of two values {with_state:.0f} B"
        rows.append(_bytes_row(f"{name}: memory of an idle session", name, figure, without))
    left: dict[str, list[int]] = {}
    for name, module in MODULES.items():
        if name not in makers:
            continue
        rounds = ROUNDS[name]
        say(f"memory: {rounds} rounds of sessions created and expired, {name}")
        left[name] = run(HERE, "churned", module, scale.many, rounds)
        rows.append(_churn_row(name, left[name], scale.many))
    rows += [Row(f"memory of {name}", "not measured", reason=why) for name, why in missing.items()]
    return Section(title, rows, {"bytes_per_session": data, "resident_after_round": left})


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    gc.collect()
    return int(STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def idle(name: str, many: int) -> tuple[float, float]:
    """Return the bytes of a session of one contender: without state, and with one of two values."""
    make = stores(name)[0][name]
    warm = make()
    warm.fill(random_ids(WARM), STATE)
    del warm
    empty = make()
    before = resident()
    with no_collections():
        for _ in repeat(None, many):
            empty.create()
    between = resident()
    stateful = make()
    middle = resident()
    with no_collections():
        for _ in repeat(None, many):
            stateful.create_stateful()
    after = resident()
    if empty.size() != many or stateful.size() != many:
        raise WrongAnswerError(f"{empty.size()} and {stateful.size()} sessions instead of {many}")
    return (between - before) / many, (after - middle) / many


def churned(module: str, many: int, rounds: int) -> list[int]:
    """Return the resident memory after each round of `many` sessions created, expired and swept."""
    table = import_module(module).SessionTable(NANOSECOND, capacity=many + 1)
    left = []
    for _ in range(rounds):
        for _ in repeat(None, many):
            table.create(None, USER)
        removed = table.sweep_all()
        if removed != many or len(table):
            raise WrongAnswerError(f"{removed} of {many} sessions swept, {len(table)} left")
        left.append(resident())
    return left


def drift(left: list[int]) -> float:
    """Return how far memory strays from what the first round left, as a part of that."""
    return max(abs(later - left[0]) for later in left[1:]) / left[0]


def _bytes_row(row_name: str, name: str, figure: str, size: float) -> Row:
    if name != COMPILED:
        return Row(row_name, figure)
    met = size <= BYTES_TARGET
    return Row(row_name, figure, "at most 350 B", met, "" if met else f"it takes {size:.0f} B")


def _churn_row(name: str, left: list[int], many: int) -> Row:
    row_name = f"{name}: resident memory over {len(left)} rounds of {many:,} sessions"
    figure = f"within {drift(left):.2%} of the {left[0] / 1e6:.1f} MB after the first"
    if name != COMPILED:
        return Row(row_name, figure)
    reason = ", ".join(f"{size / 1e6:.1f}" for size in left) + " MB after each round"
    return judged(Row(row_name, figure, "within 2 %", drift(left) <= DRIFT_TARGET, reason), many)
