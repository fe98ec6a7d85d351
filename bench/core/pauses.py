"""How long the others wait while half of the sessions expire together and are swept."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from statistics import median

import numpy as np
from numpy.typing import NDArray

from bench.comparing import duration, judged
from bench.core.contenders import COMPILED, PURE, WrongAnswerError, available
from bench.core.contenders.sessions import CHANGE, CHANNEL, STORES, Sessions, Table
from bench.core.distribution import arrival_quantile, quantile, survival
from bench.core.heap import isolated_heap, no_collections, random_ids
from bench.core.scale import Scale
from bench.report import Row, Section

__all__ = ["Draw", "Load", "Measured", "Reader", "draws", "expire_under_load", "measure"]

SLICE_TARGET = 1e-3
GET_TARGET = 5e-3
DRAWS = 250_000
CHUNK = 10_000
"""Answers between two looks at whether to stop."""
UPDATE_EVERY = 10
OURS = (COMPILED, PURE)
REPEATS = 5
"""Of our own; what the original shows once is plain enough."""
FAILURES_BORNE = 3

Gaps = NDArray[np.float64]
Draw = tuple[str, bool, bool]
"""An id, whether its session is live, and whether to update rather than get it."""


@dataclass
class Measured:
    """One store, over all repeats; all times are in seconds."""

    slices: list[float] = field(default_factory=list)
    """Processor time of each call that swept, without what its thread lost to others."""
    batches: list[float] = field(default_factory=list)
    """Processor time of calls that hold the table's lock once, where a store has such."""
    expiry: list[Gaps] = field(default_factory=list)
    """From each answer to the next while sessions are swept, so that no pause is missed."""
    quiet: list[Gaps] = field(default_factory=list)
    """The same while nothing is swept."""


class Load:
    """Sessions, half of which expire, and what is asked meanwhile."""

    def __init__(self, many: int) -> None:
        ids = random_ids(many)
        self.dying, self.live = ids[: many // 2], ids[many // 2 :]
        rng = np.random.default_rng(1)
        self.both = draws(self.live, self.dying, rng, DRAWS)
        self.live_only = draws(self.live, [], rng, DRAWS)


def draws(
    live: Sequence[str], dead: Sequence[str], rng: np.random.Generator, total: int
) -> list[list[Draw]]:
    """Return random sessions to ask for, nine gets to an update, in chunks."""
    both = [*live, *dead]
    chosen = rng.integers(0, len(both), total).tolist()
    drawn = [
        (both[index], index < len(live), number % UPDATE_EVERY == UPDATE_EVERY - 1)
        for number, index in enumerate(chosen)
    ]
    return [drawn[start : start + CHUNK] for start in range(0, total, CHUNK)]


class Reader(threading.Thread):
    """Gets and updates random sessions, one after the other, until it is stopped.

    Parameters
    ----------
    store
        What to ask.
    chunks
        What to ask for, again and again.
    limit
        Answers after which it stops by itself; the memory for their times is taken beforehand.
    """

    def __init__(self, store: Sessions, chunks: list[list[Draw]], limit: int) -> None:
        super().__init__(daemon=True)
        self.store, self.chunks, self.limit = store, chunks, limit
        self.stopped = threading.Event()
        self.begun = threading.Event()
        self.wrong = 0
        self._answered = 0
        # An array of the standard library takes an int in a third of the time numpy's takes.
        self._stamps = array("q", bytes(8 * (limit + 1)))

    def run(self) -> None:
        """Ask; the thread does this."""
        self._stamps[0] = time.perf_counter_ns()
        for number in cycle(range(len(self.chunks))):
            chunk = self.chunks[number]
            if self.stopped.is_set() or self._answered + len(chunk) > self.limit:
                return
            self._ask(chunk)
            self.begun.set()

    def _ask(self, chunk: list[Draw]) -> None:
        get, update = self.store.read, self.store.write
        stamps, clock = self._stamps, time.perf_counter_ns
        wrong = 0
        for position, (session_id, live, is_update) in enumerate(chunk, self._answered + 1):
            try:
                if is_update:
                    found = update(session_id, CHANGE, CHANNEL)
                else:
                    found = get(session_id, CHANNEL) is not None
            except KeyError:
                # A store without a lock, whose sweep removed what this call was about to remove.
                found = live
            wrong += found is not live
            stamps[position] = clock()
        self.wrong += wrong
        self._answered += len(chunk)

    def finish(self) -> Gaps:
        """Wait for the thread; return the seconds from each answer to the next.

        Raises
        ------
        WrongAnswerError
            Some answers were not what they had to be.
        """
        self.join()
        if self.wrong:
            raise WrongAnswerError(f"{self.wrong} wrong answers while sessions expire")
        stamps = np.array(self._stamps[: self._answered + 1], np.float64)
        return (stamps[1:] - stamps[:-1]) / 1e9


def measure(scale: Scale, say: Callable[[str], None]) -> Section:
    """Sweep half of `scale.many` sessions while a thread gets and updates random ones."""
    makers, missing = available(STORES)
    load = Load(scale.many)
    measured = {name: Measured() for name in makers}
    for repeat in range(min(REPEATS, max(1, scale.rounds // 5))):
        for name in makers if repeat == 0 else [name for name in OURS if name in makers]:
            say(f"pauses: {name}, run {repeat + 1}")
            with isolated_heap():
                expire_under_load(makers[name](), load, measured[name])
    rows = [row for name, of in measured.items() for row in _rows(name, of, scale.many)]
    rows += [Row(f"pauses of {name}", "not measured", reason=why) for name, why in missing.items()]
    data: dict[str, object] = {
        "pause_survival": {
            name: {
                "expiry": survival(np.concatenate(of.expiry)),
                "quiet": survival(np.concatenate(of.quiet)),
            }
            for name, of in measured.items()
        },
        "sweep_slices": {name: of.slices for name, of in measured.items()},
    }
    return Section(f"Pauses: half of {scale.many:,} sessions expire together", rows, data)


def expire_under_load(store: Sessions, load: Load, measured: Measured) -> None:
    """Have half of a store's sessions expire at once; sweep them while a thread keeps asking."""
    with no_collections():
        store.fill([*load.dying, *load.live])
    many = store.size()
    store.expire(load.dying)
    reader = Reader(store, list(load.both), limit=12 * many + 4 * DRAWS)
    reader.start()
    reader.begun.wait()
    try:
        sweep(store, reader, load, measured.slices)
    finally:
        reader.stopped.set()
    measured.expiry.append(reader.finish())
    quiet = Reader(store, load.both, limit=len(measured.expiry[-1]))
    quiet.start()
    measured.quiet.append(quiet.finish())
    if len(store.ids()) != len(load.live):
        raise WrongAnswerError(f"{store.size()} sessions left")
    if isinstance(store, Table):
        store.expire(load.live)
        done = False
        while not done:
            before = time.thread_time()
            _, done = store.sweep_batch()
            measured.batches.append(time.thread_time() - before)
        if store.size():
            raise WrongAnswerError(f"{store.size()} sessions left")


def sweep(store: Sessions, reader: Reader, load: Load, slices: list[float]) -> None:
    """Sweep as the cleanup thread does: slice by slice, giving way in between."""
    done = False
    failures = 0
    while not done:
        before = time.thread_time()
        try:
            _, done = store.sweep_slice()
        except (KeyError, RuntimeError):
            failures += 1
            if failures > 2 * FAILURES_BORNE:
                raise
        slices.append(time.thread_time() - before)
        if failures == FAILURES_BORNE:
            # Without a lock, a read that removes an expired session breaks the sweep off. It would
            # never end: from now on nobody asks for those.
            reader.chunks[:] = load.live_only
            time.sleep(0.1)
        time.sleep(0)


def _rows(name: str, of: Measured, many: int) -> list[Row]:
    longest = max(of.slices)
    figure = f"{duration(longest)} of processor time; {len(of.slices):,} slices, half of them "
    figure += f"within {duration(median(of.slices))}"
    if of.batches:
        held = quantile(np.array(of.batches), 0.99)
        figure += f"; the lock held once at most {duration(max(of.batches))}, "
        figure += f"99 % within {duration(held)}"
    slices = Row(f"{name}: longest sweep slice", figure, "1 ms", longest <= SLICE_TARGET)
    runs, quiet = ([quantile(gaps, 0.999) for gaps in seen] for seen in (of.expiry, of.quiet))
    arriving = [arrival_quantile(gaps, 0.999) for gaps in of.expiry]
    figure = f"{_spread(runs)}; without a sweep {_spread(quiet)}; at most "
    figure += f"{duration(max(float(gaps.max()) for gaps in of.expiry))}"
    get = Row(f"{name}: p99.9 of a get or update", figure, "under 5 ms", median(runs) < GET_TARGET)
    random = Row(f"{name}: p99.9 of requests that arrive at random moments", _spread(arriving))
    if name == COMPILED:
        return [judged(slices, many), judged(get, many), random]
    return [*(Row(row.name, row.figure) for row in (slices, get)), random]


def _spread(runs: list[float]) -> str:
    if len(runs) == 1:
        return duration(runs[0])
    return f"{duration(median(runs))} ({duration(min(runs))} to {duration(max(runs))})"
