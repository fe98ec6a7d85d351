"""Each step of the expiry structures on its own, after all have given the same answers."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.contenders import WrongAnswerError
from bench.report import Row
from bench.wheel.workload import SECOND, TTL, Int32s, Int64s, Table, table

__all__ = ["BUDGET", "Figures", "Structures", "agreed", "extra_bytes", "filled", "single_steps"]

Structures = Mapping[str, Callable[[int], Any]]
"""Each kind of structure, by name; called with the number of slots."""

BUDGET = 65_536  # rows that a slice looks at
INTERVAL = 300 * SECOND  # between two sweeps, as the session manager has it by default
HELD_BACK = 0.1  # of the rows, which are created and removed


@dataclass
class Figures:
    """One measurement of every structure."""

    name: str
    unit: str
    per: float
    """What to divide by for the unit."""
    detail: bool = False
    """Whether to leave it to the JSON."""
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, structure: str, value: float) -> None:
        """Take down a value of one round."""
        self.values.setdefault(structure, []).append(value / self.per)

    def median(self, structure: str) -> float:
        """Return the median of a structure's rounds."""
        return statistics.median(self.values[structure])

    @property
    def text(self) -> str:
        """The medians, with the quartiles of each."""
        parts = [f"{name} {quartiles(values)}" for name, values in self.values.items()]
        return f"{'; '.join(parts)} {self.unit}"

    @property
    def data(self) -> dict[str, object]:
        """Every value, for JSON."""
        return {"unit": self.unit, **self.values}


def quartiles(values: list[float]) -> str:
    """Return the median of some values, with their quartiles in parentheses."""
    if len(values) == 1:
        return short(values[0])
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{short(middle)} ({short(low)} to {short(high)})"


def short(value: float) -> str:
    """Return a value to three digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.001 else "0"


def extra_bytes(structures: Structures) -> Row:
    """Return what each structure keeps of a row beside its expiry."""
    sizes = (1_000, 1_001_000)
    figures = []
    for name, make in structures.items():
        small, large = (make(size).extra_bytes for size in sizes)
        each = (large - small) / (sizes[1] - sizes[0])
        figures.append(f"{name} {each:.0f} B")
    return Row("memory of a row beside its expiry", "; ".join(figures))


def filled(module: ModuleType, structure: Any, start: Table, users: Int32s) -> Any:
    """Insert the sessions of some users, and refresh those that were used since."""
    module.sweep(structure, start.now, BUDGET, np.empty(structure.capacity, np.int32))
    module.insert(structure, start.slot_of[users], start.linked[users])
    module.touch(structure, start.slot_of[users], start.expires[users])
    return structure


def agreed(answers: Mapping[str, NDArray[Any]]) -> None:
    """Raise unless all structures gave the same answer: nothing is timed that is wrong."""
    first, *others = answers.values()
    if any(not np.array_equal(first, other) for other in others):
        raise WrongAnswerError(f"the structures disagree: {answers}")


def single_steps(
    module: ModuleType, structures: Structures, ttl: Int64s, rounds: int
) -> list[Figures]:
    """Time accesses, creations, removals and sweeps of one table; structures take turns."""
    random = np.random.default_rng(len(ttl))
    start = table(random, ttl)
    users = random.permutation(start.held)
    back, kept = np.split(users, [max(1, int(len(users) * HELD_BACK))])
    rows = len(kept)
    figures = [
        Figures("touch, one hot row", "ns", rows),
        Figures("touch, rows at random", "ns", rows),
        Figures("create", "ns", len(back)),
        Figures("remove, rows at random", "ns", len(back)),
        Figures("sweep 5 minutes after the last, all rows used since", "us", 1e3),
        Figures("sweep of all rows, expired", "us", 1e3),
        Figures("the longest slice of it", "us", 1e3),
    ]
    for counted in (False, *[True] * rounds):
        answers: dict[str, NDArray[Any]] = {}
        for name, make in structures.items():
            structure = filled(module, make(len(ttl)), start, kept)
            found, *timed = take_steps(module, structure, start, kept, back)
            answers[name] = np.sort(found)
            if counted:
                for figure, value in zip(figures, timed, strict=True):
                    figure.add(name, value)
        agreed(answers)
    return figures


def take_steps(
    module: ModuleType, structure: Any, start: Table, kept: Int32s, back: Int32s
) -> tuple[Int32s, float, float, float, float, float, float, float]:
    """Return the slots that expire in the end, and the nanoseconds of each step."""
    found = np.empty(structure.capacity, np.int32)
    slots, others = start.slot_of[kept], start.slot_of[back]
    times = start.now + np.linspace(0, INTERVAL, len(kept), dtype=np.int64)
    soon = start.now + np.linspace(0, INTERVAL, len(back), dtype=np.int64) + TTL
    hot = module.touch(structure, np.full_like(slots, slots[0]), times + TTL)
    touched = module.touch(structure, slots, times + TTL)
    created = module.insert(structure, others, soon)
    removed = module.remove(structure, others[::-1].copy())
    none, nothing, _ = module.sweep(structure, start.now + INTERVAL, BUDGET, found)
    if none:
        raise WrongAnswerError(f"{none} rows expired that were used just now")
    count, everything, longest = module.sweep(structure, start.now + 2 * TTL, BUDGET, found)
    if count != len(kept):
        raise WrongAnswerError(f"{count} of {len(kept)} rows expired")
    return found[:count], hot, touched, created, removed, nothing, everything, longest
