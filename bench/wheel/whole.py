"""The expiry structures on a trace of the whole workload, sweeps included."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from bench.wheel.steps import BUDGET, Figures, Structures, agreed, filled
from bench.wheel.workload import SECOND, Int32s, Int64s, Table, table, trace

__all__ = ["whole_workload"]

OPERATIONS = 200_000  # at least, so that small tables are measurable
INTERVALS = (2, 10, 60, 300)
"""Seconds between two sweeps; the session manager's default is the last."""


def whole_workload(
    module: ModuleType, structures: Structures, ttl: Int64s, rounds: int, kind: str
) -> list[Figures]:
    """Replay accesses to a table, with sweeps at different intervals."""
    random = np.random.default_rng(len(ttl))
    start = table(random, ttl)
    rarest = INTERVALS[-1] * SECOND // start.step
    users = trace(random, len(ttl), max(OPERATIONS, 2 * rarest + 1))
    figures = []
    for seconds in INTERVALS:
        operations = max(OPERATIONS, len(ttl), 2 * seconds * SECOND // start.step + 1)
        name = f"{kind}, a sweep each {seconds} s"
        figures += replayed(
            module,
            structures,
            start,
            users[:operations],
            seconds=seconds,
            rounds=rounds,
            name=name,
        )
    return figures


def replayed(
    module: ModuleType,
    structures: Structures,
    start: Table,
    users: Int32s,
    *,
    seconds: int,
    rounds: int,
    name: str,
) -> list[Figures]:
    """Replay one trace on all structures, which take turns."""
    in_all = Figures("", "ns an operation", len(users))
    sweeping = Figures(f"{name}: the sweeps alone", "ns an operation", len(users), detail=True)
    longest = Figures(f"{name}: the longest slice", "us", 1e3, seconds != INTERVALS[-1])
    every = max(1, seconds * SECOND // start.step)
    expired = sweeps = created = 0
    for counted in (False, *[True] * rounds):
        answers: dict[str, Int64s] = {}
        for structure_name, make in structures.items():
            structure = filled(module, make(len(start.ttl)), start, start.held)
            result, answers[structure_name] = replay(module, structure, start, users, every)
            expired, sweeps, created = (result[key] for key in ("expired", "sweeps", "created"))
            if counted:
                in_all.add(structure_name, result["taken"])
                sweeping.add(structure_name, result["sweeping"])
                longest.add(structure_name, result["longest"])
        agreed(answers)
    share = expired / max(1, sweeps) / len(start.held)
    in_all.name = f"{name} ({share:.2%} expire by then, {created / len(users):.1%} creations)"
    return [in_all, sweeping, longest]


def replay(
    module: ModuleType, structure: Any, start: Table, users: Int32s, every: int
) -> tuple[dict[str, int], Int64s]:
    """Return the figures of a trace, and the expiry that each user's session has after it."""
    slot_of, owner_of = start.slot_of.copy(), start.owner_of.copy()
    room = np.empty(2 * structure.capacity, np.int32)
    result: dict[str, int] = module.replay(
        structure, users, start.ttl, slot_of, owner_of, start.now, start.step, every, BUDGET, room
    )
    by_slot = np.empty(structure.capacity, np.int64)
    module.read(structure, by_slot)
    return result, np.where(slot_of >= 0, by_slot[slot_of], -1)
