"""How long a full garbage collection takes over idle sessions: nobody else runs meanwhile."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

from bench.comparing import duration, judged
from bench.core.contenders import COMPILED, WrongAnswerError, available
from bench.core.contenders.sessions import CHANNEL, LOCKED, STORES, MakeState, Store, state_of
from bench.core.heap import isolated_heap
from bench.core.ids import random_ids
from bench.core.scale import Scale
from bench.report import Row, Section

__all__ = ["full_collections", "measure"]

TARGET = 0.1
PASSES = 5
NESTED = "a nested state"
STATES: dict[str, MakeState] = {
    "no state": lambda _: None,
    "a state of plain values": state_of,
    NESTED: lambda _: {"messages": [{"role": "user", "content": "hello"}]},
}


def measure(scale: Scale, say: Callable[[str], None]) -> Section:
    """Collect over `scale.many` idle sessions, without state and with two kinds of it."""
    makers, missing = available({n: STORES[n] for n in STORES if n != LOCKED})
    ids = random_ids(scale.many)
    taken: dict[str, dict[str, list[float]]] = {}
    rows = []
    with isolated_heap():
        nothing = full_collections(min(PASSES, scale.rounds))
    for state_name, make_state in STATES.items():
        for name, make in makers.items():
            say(f"collector: {state_name}, {name}")
            with isolated_heap():
                spent = over_idle_sessions(make(), ids, make_state, min(PASSES, scale.rounds))
            taken.setdefault(name, {})[state_name] = spent
            rows.append(_row(name, state_name, spent, scale.many))
    rows.append(Row("no sessions", duration(median(nothing))))
    rows += [
        Row(f"collection over {name}", "not measured", reason=why) for name, why in missing.items()
    ]
    title = f"Garbage collector: a full collection over {scale.many:,} idle sessions"
    return Section(title, rows, {"full_collection": taken})


def over_idle_sessions(
    store: Store, ids: list[str], make_state: MakeState, passes: int
) -> list[float]:
    """Return the durations of full collections while `store` holds a session of each id."""
    gc.disable()
    try:
        store.fill(ids, make_state)
        gc.collect()
        spent = full_collections(passes)
        if store.size() != len(ids) or store.read(ids[0], CHANNEL) is None:
            raise WrongAnswerError("the sessions have gone")
    finally:
        gc.enable()
    return spent


def full_collections(passes: int) -> list[float]:
    """Return how long each of some collections of the oldest generation took, in seconds.

    There are at least two, and no more than `passes` or than fit into a second.
    """
    with _recorded() as spent:
        while len(spent) < 2 or (len(spent) < passes and sum(spent) < 1.0):
            gc.collect()
    return spent[:]


@contextmanager
def _recorded() -> Iterator[list[float]]:
    """Record the collections of the oldest generation as the interpreter announces them."""
    spent: list[float] = []
    started = 0.0

    def note(phase: str, info: dict[str, int]) -> None:
        nonlocal started
        if info["generation"] == 2:
            if phase == "start":
                started = time.perf_counter()
            else:
                spent.append(time.perf_counter() - started)

    gc.callbacks.append(note)
    try:
        yield spent
    finally:
        gc.callbacks.remove(note)


def _row(name: str, state_name: str, spent: list[float], sessions: int) -> Row:
    worst = max(spent)
    figure = f"{duration(median(spent))}, at most {duration(worst)}"
    row_name = f"{name}: sessions with {state_name}"
    if name != COMPILED or state_name == NESTED:
        return Row(row_name, figure)
    reason = "the collector visits objects of idle sessions"
    return judged(Row(row_name, figure, "under 0.1 s", worst < TARGET, reason), sessions)
