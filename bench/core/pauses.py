"""How long the others wait while half of the sessions expire together and are swept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from bench.core.contenders import COMPILED, ORIGINAL, PURE, WrongAnswerError
from bench.core.distribution import arrival_quantile, duration, quantile, survival
from bench.core.ids import random_ids
from bench.core.judging import judged
from bench.core.reader import Draw, Observed, Reader, draws, without_table
from bench.core.scale import Scale
from bench.core.store import STATE, Store
from bench.core.subjects import DICT, LIBRARY, isolated_heap, no_collections, stores
from bench.report import Row, Section

__all__ = ["measure"]

SLICE_TARGET_NS = 1e6
GET_TARGET_NS = 5e6
DRAWS = 250_000
CONTROL = 2_000_000
OURS = (COMPILED, PURE)
Percentile = Callable[[NDArray[np.int64], float], float]
REPEATS = 5
"""Of our own; what the others show once is plain enough."""
FAILURES_BORNE = 3


@dataclass
class Slices:
    """The calls that swept a store."""

    wall: list[int] = field(default_factory=list)
    processor: list[int] = field(default_factory=list)
    """Of the sweeping thread alone, in ns; what it lost to others is not in it."""
    failures: int = 0


@dataclass
class Measured:
    """One store, over all repeats."""

    slices: Slices = field(default_factory=Slices)
    batches: list[int] = field(default_factory=list)
    """Processor time of calls that hold the table's lock once, where a store has such."""
    expiry: list[Observed] = field(default_factory=list)
    quiet: list[Observed] = field(default_factory=list)


@dataclass(frozen=True)
class Load:
    """Sessions, half of which expire, and what is asked meanwhile."""

    live: list[str]
    dying: list[str]
    both: list[list[Draw]]
    live_only: list[list[Draw]]


def measure(scale: Scale, say: Callable[[str], None]) -> Section:
    """Sweep half of `scale.many` sessions while a thread gets and updates random ones."""
    makers, missing = stores(COMPILED, PURE, ORIGINAL, LIBRARY, DICT)
    load = prepared(scale.many)
    measured = {name: Measured() for name in makers}
    gaps = []
    for repeat in range(min(REPEATS, max(1, scale.rounds // 5))):
        for name in makers if repeat == 0 else [name for name in OURS if name in makers]:
            say(f"pauses: {name}, run {repeat + 1}")
            with isolated_heap():
                expire_under_load(makers[name](), load, measured[name])
        gaps.append(without_table(max(4 * scale.many, CONTROL)))
    control = np.concatenate(gaps)
    rows = list(_rows(measured, control, scale.many))
    rows += [Row(f"pauses of {name}", "not measured", reason=why) for name, why in missing.items()]
    data: dict[str, object] = {
        "pause_survival_ns": {
            **{name: _curves(of) for name, of in measured.items()},
            "no table": {"quiet": survival(control)},
        },
        "sweep_slices_ns": {
            name: {"wall": _summary(of.slices.wall), "processor": _summary(of.slices.processor)}
            for name, of in measured.items()
        },
    }
    return Section(f"Pauses: half of {scale.many:,} sessions expire together", rows, data)


def prepared(many: int) -> Load:
    """Draw the sessions to ask for."""
    ids = random_ids(many)
    dying, live = ids[: many // 2], ids[many // 2 :]
    rng = np.random.default_rng(1)
    return Load(live, dying, draws(live, dying, rng, DRAWS), draws(live, [], rng, DRAWS))


def expire_under_load(store: Store, load: Load, measured: Measured) -> None:
    """Have half of a store's sessions expire at once; sweep them while a thread keeps asking."""
    with no_collections():
        store.fill(load.dying, STATE)
        store.fill(load.live, STATE)
    many = len(load.dying) + len(load.live)
    store.expire(load.dying)
    reader = Reader(store.get, store.update, list(load.both), limit=12 * many + 4 * DRAWS)
    reader.start()
    try:
        sweep(store, reader, load, measured.slices)
    finally:
        reader.stop.set()
    measured.expiry.append(reader.finish())
    quiet = Reader(store.get, store.update, load.both, limit=len(measured.expiry[-1].gaps))
    quiet.start()
    measured.quiet.append(quiet.finish())
    for seen in (measured.expiry[-1], measured.quiet[-1]):
        if seen.wrong or len(store.ids()) != len(load.live):
            raise WrongAnswerError(f"{seen.wrong} wrong answers, {store.size()} sessions left")
    if store.sweep_batch is not None:
        store.expire(load.live)
        measured.batches += alone(store.sweep_batch)
        if store.size():
            raise WrongAnswerError(f"{store.size()} sessions left")


def sweep(store: Store, reader: Reader, load: Load, slices: Slices) -> None:
    """Sweep as the cleanup thread does: slice by slice, giving way in between."""
    done = False
    failures = 0
    while not done:
        processor, wall = time.thread_time_ns(), time.perf_counter_ns()
        try:
            _, done = store.sweep_slice()
        except (KeyError, RuntimeError):
            failures += 1
            if failures > 2 * FAILURES_BORNE:
                raise
        slices.wall.append(time.perf_counter_ns() - wall)
        slices.processor.append(time.thread_time_ns() - processor)
        if failures == FAILURES_BORNE:
            # Without a lock, a read that removes an expired session breaks the sweep off. It would
            # never end: from now on nobody asks for those.
            reader.chunks[:] = load.live_only
            time.sleep(0.1)
        time.sleep(0)
    slices.failures += failures


def alone(sweep_batch: Callable[[], tuple[int, bool]]) -> list[int]:
    """Return the processor time of each batch of a sweep that nobody disturbs, in ns."""
    taken = []
    done = False
    while not done:
        before = time.thread_time_ns()
        _, done = sweep_batch()
        taken.append(time.thread_time_ns() - before)
    return taken


def _rows(measured: dict[str, Measured], control: NDArray[np.int64], many: int) -> list[Row]:
    rows = []
    for name, of in measured.items():
        rows.append(_slice_row(name, of, control, many))
        if of.batches:
            held = f"at most {duration(max(of.batches))}, 99 % within "
            held += duration(quantile(np.array(of.batches), 0.99))
            rows.append(Row(f"{name}: the lock held once, with what it removed destroyed", held))
        rows.append(_get_row(name, of, many))
        rows.append(_arrival_row(name, of, many))
    figure = (
        f"p99.9 {duration(quantile(control, 0.999))}, {_longest(control)}; as seen by requests "
    )
    figure += f"that arrive at random moments {duration(arrival_quantile(control, 0.999))}"
    rows.append(Row("no table at all: the same loop asking nothing", figure))
    return rows


def _slice_row(name: str, of: Measured, control: NDArray[np.int64], many: int) -> Row:
    """Judge the longest slice: by the wall clock, unless the machine alone made it miss."""
    wall, processor = max(of.slices.wall), max(of.slices.processor)
    figure = f"{duration(wall)}, of processor time {duration(processor)}; "
    figure += f"{len(of.slices.wall):,} slices, half of them within "
    figure += duration(quantile(np.array(of.slices.wall), 0.5))
    if of.slices.failures:
        figure += f"; broken off {of.slices.failures} times by reads of expired sessions"
    row_name = f"{name}: longest sweep slice"
    if name != COMPILED:
        return Row(row_name, figure)
    over = sum(taken > SLICE_TARGET_NS for taken in of.slices.processor)
    met = True if wall <= SLICE_TARGET_NS else False if over else None
    reason = f"{over:,} of {len(of.slices.processor):,} slices took more processor time than that"
    if not over:
        reason = "the thread lost its processor in a slice; a loop with no table loses it for "
        reason += duration(float(control.max()))
    return judged(Row(row_name, figure, "1 ms", met, reason), many)


def _get_row(name: str, of: Measured, many: int) -> Row:
    expiry = np.concatenate([seen.gaps for seen in of.expiry])
    quiet = np.concatenate([seen.gaps for seen in of.quiet])
    extra = f"; of all p50 {duration(quantile(expiry, 0.5))}, p99 "
    extra += f"{duration(quantile(expiry, 0.99))}, {_longest(expiry)}, without a sweep "
    extra += _longest(quiet)
    if not all(seen.stopped for seen in of.expiry):
        extra += "; the reader was full before the sweep ended"
    row = _percentile_row(name, "p99.9 of a get or update", of, quantile, many)
    return replace(row, figure=row.figure + extra)


def _arrival_row(name: str, of: Measured, many: int) -> Row:
    what = "the same as seen by requests that arrive at random moments"
    return _percentile_row(name, what, of, arrival_quantile, many)


def _percentile_row(name: str, what: str, of: Measured, percentile: Percentile, many: int) -> Row:
    """Judge the median run's p99.9, unless it would have been missed without any sweep as well."""
    row_name = f"{name}: {what}"
    runs = [percentile(seen.gaps, 0.999) for seen in of.expiry]
    quiet = [percentile(seen.gaps, 0.999) for seen in of.quiet]
    worst, control = median(runs), median(quiet)
    figure = f"{_spread(runs)}; without a sweep {_spread(quiet)}"
    if name != COMPILED:
        return Row(row_name, figure)
    met = True if worst < GET_TARGET_NS else None if control >= GET_TARGET_NS else False
    reason = "the sweep makes the difference: without one it is " + duration(control)
    if met is None:
        reason = "this machine takes the processor away for as long when nothing is swept"
    return judged(Row(row_name, figure, "under 5 ms", met, reason), many)


def _spread(runs: list[float]) -> str:
    if len(runs) == 1:
        return duration(runs[0])
    return f"{duration(median(runs))} ({duration(min(runs))} to {duration(max(runs))})"


def _longest(gaps: NDArray[np.int64]) -> str:
    return f"max {duration(float(gaps.max()))}"


def _curves(of: Measured) -> dict[str, list[tuple[float, float]]]:
    return {
        "expiry": survival(np.concatenate([seen.gaps for seen in of.expiry])),
        "quiet": survival(np.concatenate([seen.gaps for seen in of.quiet])),
    }


def _summary(taken: list[int]) -> dict[str, float]:
    values = np.array(taken)
    quantiles = {f"p{100 * q:g}": quantile(values, q) for q in (0.5, 0.99, 1.0)}
    return {"count": len(taken), **quantiles}
