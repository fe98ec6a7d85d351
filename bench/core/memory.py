"""What an idle session costs in memory, and what sessions leave behind when they have gone.

Every figure is the resident memory of a process of its own: what the objects say of themselves
omits what the allocator adds.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.comparing import judged
from bench.core.child import run
from bench.core.contenders import COMPILED, PURE, WrongAnswerError, available
from bench.core.contenders.sessions import STORES, state_of
from bench.core.heap import no_collections
from bench.core.scale import Scale
from bench.report import Row, Section

__all__ = ["drift", "measure", "resident_in_rounds"]

BYTES_TARGET = 350
DRIFT_TARGET = 0.02
STAYS_TARGET = 0.1
"""Part of the memory of a million sessions that may stay when they have gone."""
ROUNDS = {COMPILED: 10, PURE: 4}
WARM = 1_000
STATM = Path("/proc/self/statm")


def measure(scale: Scale, say: Callable[[str], None]) -> Section:
    """Measure resident memory with `scale.many` idle sessions, after them, and over rounds."""
    many = scale.many
    title = f"Memory: {many:,} idle sessions"
    if not STATM.exists():
        reason = f"there is no {STATM} here to read resident memory from"
        return Section(title, [Row("memory", "not measured", "350 B", None, reason)])
    makers, missing = available(STORES)
    rows = [Row(f"memory of {name}", "not measured", reason=why) for name, why in missing.items()]
    data: dict[str, object] = {}
    for name in makers:
        say(f"memory: {name}")
        rounds = ROUNDS.get(name, 1)
        plain = run(__name__, "resident_in_rounds", name, many, rounds, False)
        stateful = run(__name__, "resident_in_rounds", name, many, 1, True)
        data[name] = {"resident": plain, "resident_with_state": stateful}
        rows += [
            row if name == COMPILED else Row(row.name, row.figure)
            for row in _rows(name, many, plain, stateful)
        ]
    return Section(title, rows, {"memory": data})


def _rows(name: str, many: int, plain: list[int], stateful: list[int]) -> list[Row]:
    before, full, *left = plain
    size, with_state = ((seen[1] - seen[0]) / many for seen in (plain, stateful))
    figure = f"{size:.0f} B; with a state of two values {with_state:.0f} B"
    stays = (left[0] - before) / max(full - before, 1)
    rows = [
        Row(f"{name}: memory of an idle session", figure, "at most 350 B", size <= BYTES_TARGET),
        Row(
            f"{name}: memory that stays after {many:,} sessions have expired",
            f"{stays:.1%} of {(full - before) / 1e6:.1f} MB",
            f"at most {STAYS_TARGET:.0%}",
            stays <= STAYS_TARGET,
        ),
    ]
    if len(left) > 1:
        what = f"{name}: resident memory over {len(left)} rounds of {many:,} sessions"
        strays = drift(left)
        figure = f"within {strays:.2%} of the {left[0] / 1e6:.1f} MB after the first"
        rows.append(Row(what, figure, "within 2 %", strays <= DRIFT_TARGET))
    return [rows[0], *(judged(row, many) for row in rows[1:])]


def resident_in_rounds(name: str, many: int, rounds: int, with_state: bool) -> list[int]:
    """Return the bytes of memory before there are sessions, with them, and after each round.

    In each round so many sessions are created, expire and are swept.
    """
    store = STORES[name]()
    state = state_of(1) if with_state else None
    store.fill(_ids(WARM), lambda _: state)
    store.expire(_ids(WARM))
    store.sweep_all()
    resident = [_resident()]
    for number in range(rounds):
        with no_collections():
            store.fill(_ids(many), lambda _: state)
        if store.size() != many:
            raise WrongAnswerError(f"{store.size()} sessions instead of {many}")
        if number == 0:
            resident.append(_resident())
        store.expire(_ids(many))
        store.sweep_all()
        if store.size():
            raise WrongAnswerError(f"{store.size()} sessions left")
        resident.append(_resident())
    return resident


def _ids(many: int) -> Iterator[str]:
    """Yield ids as long as the table's own, without a list of them that would be counted."""
    return (f"{number:032x}" for number in range(many))


def _resident() -> int:
    """Return the resident memory of this process in bytes."""
    gc.collect()
    return int(STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def drift(left: list[int]) -> float:
    """Return how far memory strays from what the first round left, as a part of that."""
    return max(abs(later - left[0]) for later in left[1:]) / left[0]
