"""A mixed trace: nine gets in ten, some updates, a few creates, ids as unequal as users are."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from numpy.typing import NDArray

from bench.core.contenders import COMPILED, ORIGINAL, PURE, WrongAnswerError
from bench.core.distribution import duration, quantile, zipf
from bench.core.ids import random_ids
from bench.core.reader import gaps_of
from bench.core.scale import Scale
from bench.core.store import CHANGE, CHANNEL, STATE, Store
from bench.core.subjects import LIBRARY, isolated_heap, no_collections, stores
from bench.report import Row, Section

__all__ = ["Trace", "drawn", "measure"]

EXPONENT = 1.1
SIZE = 100_000
THREADS = (1, 4)
ROUNDS = 3
GET, UPDATE, CREATE = range(3)
SHARES = (0.90, 0.09, 0.01)
SWEEP_SECONDS = 0.5

Trace = list[tuple[int, str]]
"""Operations in their order, each on an id."""


@dataclass
class Measured:
    """One store at one size with one number of threads."""

    rates: list[float] = field(default_factory=list)
    """Operations per second, of each round."""
    gaps: list[NDArray[np.int64]] = field(default_factory=list)
    sweeps: int = 0
    failures: int = 0
    """Sweeps that raised."""


def measure(scale: Scale, say: Callable[[str], None]) -> Section:
    """Play the trace to each store, at 100,000 and `scale.many` sessions, by one and more threads.

    The stores take turns on tables of the same sessions; the trace is the same for all of them.
    """
    makers, missing = stores(COMPILED, PURE, ORIGINAL, LIBRARY)
    measured: dict[tuple[int, int, str], Measured] = {}
    for size in sorted({SIZE, scale.many}):
        ids = random_ids(size)
        rng = np.random.default_rng(size)
        traces = {n: [drawn(ids, scale.many // 5 // n, rng) for _ in range(n)] for n in THREADS}
        say(f"trace: filling {len(makers)} stores with {size:,} sessions")
        with isolated_heap():
            tables = filled(makers, ids)
            for number in range(max(1, min(ROUNDS, scale.rounds // 5))):
                for threads in THREADS:
                    for name, store in tables.items():
                        say(f"trace: {size:,} sessions, {threads} threads, {name}, {number + 1}")
                        of = measured.setdefault((size, threads, name), Measured())
                        play(store, traces[threads], of)
    rows = _rows(measured)
    rows += [Row(f"trace by {name}", "not measured", reason=why) for name, why in missing.items()]
    data: dict[str, object] = {
        "trace": [
            {"sessions": size, "threads": threads, "store": name, "rates": of.rates}
            for (size, threads, name), of in measured.items()
        ]
    }
    return Section("A mixed trace: 90 % get, 9 % update, 1 % create, sweeps running", rows, data)


def drawn(ids: list[str], total: int, rng: np.random.Generator) -> Trace:
    """Return a trace over `ids` in which the most popular one has a place by chance."""
    operations = rng.choice(len(SHARES), total, p=SHARES).tolist()
    places = rng.permutation(len(ids))[zipf(rng, len(ids), total, EXPONENT)].tolist()
    return [(operation, ids[place]) for operation, place in zip(operations, places, strict=True)]


def filled(makers: Mapping[str, Callable[[], Store]], ids: list[str]) -> dict[str, Store]:
    """Make every store and give it the sessions."""
    tables = {}
    with no_collections():
        for name, make in makers.items():
            tables[name] = make()
            tables[name].fill(ids, STATE)
    return tables


def play(store: Store, traces: list[Trace], of: Measured) -> None:
    """Play one trace per thread at once, with sweeps from another thread, and check the answers."""
    stop = threading.Event()
    sweeper = threading.Thread(target=_sweep, args=(store, stop, of))
    stamps = [array("q", bytes(8 * (len(trace) + 1))) for trace in traces]
    wrong: list[int] = []
    start = threading.Barrier(len(traces) + 1)

    def player(trace: Trace, into: array[int]) -> None:
        start.wait()
        wrong.append(ask(store, trace, into))

    players = [
        threading.Thread(target=player, args=arguments)
        for arguments in zip(traces, stamps, strict=True)
    ]
    for thread in (sweeper, *players):
        thread.start()
    start.wait()
    for thread in players:
        thread.join()
    stop.set()
    sweeper.join()
    if wrong != [0] * len(traces):
        raise WrongAnswerError(f"wrong answers: {wrong}, of {len(traces)} threads")
    if store.get(traces[0][0][1], CHANNEL) not in ({**STATE}, {**STATE, **CHANGE}):
        raise WrongAnswerError("a wrong state")
    elapsed = max(into[-1] for into in stamps) - min(into[0] for into in stamps)
    of.rates.append(sum(map(len, traces)) * 1e9 / elapsed)
    of.gaps += map(gaps_of, stamps)


def ask(store: Store, trace: Trace, stamps: array[int]) -> int:
    """Perform the operations, noting the time after each; return how many answers were wrong."""
    get, update, create = store.get, store.update, store.create_brief
    clock = time.perf_counter_ns
    wrong = 0
    stamps[0] = clock()
    for position, (operation, session_id) in enumerate(trace, 1):
        if operation == GET:
            wrong += get(session_id, CHANNEL) is None
        elif operation == UPDATE:
            wrong += update(session_id, CHANGE, CHANNEL) is not True
        else:
            wrong += not create()
        stamps[position] = clock()
    return wrong


def _sweep(store: Store, stop: threading.Event, of: Measured) -> None:
    """Sweep now and every half second; what was created meanwhile has expired by then."""
    while True:
        try:
            store.sweep()
            of.sweeps += 1
        except (KeyError, RuntimeError):
            of.failures += 1
        if stop.wait(SWEEP_SECONDS):
            return


def _rows(measured: dict[tuple[int, int, str], Measured]) -> list[Row]:
    rows = []
    for (size, threads, name), of in measured.items():
        rate = median(of.rates)
        gaps = np.concatenate(of.gaps)
        figure = f"{rate:,.0f} operations/s ({min(of.rates):,.0f} to {max(of.rates):,.0f}), "
        figure += f"p99 {duration(quantile(gaps, 0.99))}"
        ratios = [
            f"{rate / median(other.rates):.1f}x {rival}"
            for rival in (PURE, ORIGINAL, LIBRARY)
            if (other := measured.get((size, threads, rival))) and name == COMPILED
        ]
        figure += "".join(f"; {ratio}" for ratio in ratios)
        if of.failures:
            figure += f"; {of.failures} of {of.sweeps + of.failures} sweeps failed"
        plural = "s" if threads > 1 else ""
        rows.append(Row(f"{name}: {size:,} sessions, {threads} thread{plural}", figure))
    return rows
