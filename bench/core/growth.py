"""What operations cost as tables grow, beside what a dict of the same size shows.

A dict grows dearer, too, when it no longer fits into the processor's caches. A table may cost more
than a dict at any size, but not grow faster than twice as fast.
"""

from __future__ import annotations

import gc
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from itertools import repeat, starmap
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.contenders import COMPILED, ORIGINAL, PURE, WrongAnswerError
from bench.core.distribution import bucket_peaks, duration, quantile
from bench.core.ids import random_ids
from bench.core.judging import judged
from bench.core.reader import gaps_of
from bench.core.scale import Scale
from bench.core.store import CHANGE, CHANNEL, STATE, Store
from bench.core.subjects import isolated_heap, no_collections, stores
from bench.report import Row, Section

__all__ = ["factor", "measure"]

SMALL = 1_000
LIMIT = 2.0
CALLS = 10_000
CREATED = 2_000
ROUNDS = 9
REPEATS = 3
BUCKETS = 100
YARDSTICK = "dict"
CREATING = {"create", "insert"}
KINDS = {"get": "get", "update": "set", "create": "insert", "record": "set"}
"""Which operation of a dict each is compared with."""

HISTOGRAMS = {
    COMPILED: "kaizen_nexus._core.latency_histogram",
    PURE: "kaizen_nexus._fallback.latency_histogram",
}

Operation = Callable[[list[str]], Iterable[object]]


@dataclass
class Table:
    """One contender at one size, and what was measured on it."""

    operations: dict[str, Operation]
    """Each performs itself lazily on the ids it is given."""
    undo: Callable[[list[str], list[Any]], object] = lambda _, __: None
    """Removes what was created: the ids that were given, and what the operation returned."""
    nanoseconds: dict[str, list[float]] = field(default_factory=dict)


def measure(scale: Scale, say: Callable[[str], None]) -> Section:
    """Measure get, update, create and record at each size, and every create on the way there."""
    makers, missing = stores(COMPILED, PURE, ORIGINAL)
    costs: dict[str, dict[str, dict[int, float]]] = {}
    for size in scale.sizes:
        say(f"growth: operations at {size:,}")
        with isolated_heap():
            for name, by_operation in at_size(makers, size, min(ROUNDS, scale.rounds)).items():
                for operation, nanoseconds in by_operation.items():
                    costs.setdefault(name, {}).setdefault(operation, {})[size] = nanoseconds
    large = max(scale.sizes)
    rows = [
        _growth_row(name, operation, cost, costs[YARDSTICK][KINDS[operation]], large)
        for name, by_operation in costs.items()
        if name != YARDSTICK
        for operation, cost in by_operation.items()
    ]
    creating, created = while_growing(makers, scale, say)
    rows += creating
    rows += [Row(f"growth of {name}", "not measured", reason=why) for name, why in missing.items()]
    data: dict[str, object] = {"cost_by_size_ns": costs, **created}
    return Section("Growth: cost by size, and creating while a table grows", rows, data)


def factor(cost: Mapping[int, float], yardstick: Mapping[int, float], large: int) -> float:
    """Return how much faster `cost` grows from a thousand to `large` than the yardstick does."""
    return (cost[large] / cost[SMALL]) / (yardstick[large] / yardstick[SMALL])


def at_size(
    makers: Mapping[str, Callable[[], Store]], size: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Return the median cost of each operation of each contender, in ns, at one size."""
    ids = random_ids(size)
    with no_collections():
        tables = {name: _table(make(), ids) for name, make in makers.items()}
        tables[YARDSTICK] = _dict(ids)
    for name, module in HISTOGRAMS.items():
        if name in tables:
            histogram = import_module(module).LatencyHistogram()
            tables[name].operations["record"] = _record(histogram, size)
    rng = np.random.default_rng(size)
    gc.disable()
    try:
        for round_number in range(rounds + 1):
            chosen = [ids[index] for index in rng.integers(0, size, CALLS).tolist()]
            for table in tables.values():
                _measure_round(table, chosen, size, round_number + 1, counted=round_number > 0)
    finally:
        gc.enable()
    return {
        name: {operation: median(taken) for operation, taken in table.nanoseconds.items()}
        for name, table in tables.items()
    }


def _measure_round(table: Table, chosen: list[str], size: int, seed: int, *, counted: bool) -> None:
    for name, operation in table.operations.items():
        creates = name in CREATING
        calls = min(CREATED, max(100, size // 4)) if creates else CALLS
        # A request brings its own copy of the id, whose hash nobody has computed yet.
        ids = random_ids(calls, seed=seed) if creates else [key[:1] + key[1:] for key in chosen]
        performed = operation(ids)
        started = time.perf_counter_ns()
        results = deque(performed, maxlen=calls if creates else 0)
        elapsed = time.perf_counter_ns() - started
        if creates:
            table.undo(ids, list(results))
        if counted:
            table.nanoseconds.setdefault(name, []).append(elapsed / calls)


def _table(store: Store, ids: list[str]) -> Table:
    store.fill(ids, STATE)
    sample = ids[:: max(1, len(ids) // 100)]
    answers = [store.get(key, CHANNEL) for key in sample]
    if answers != [STATE] * len(sample) or store.get("absent", CHANNEL) is not None:
        raise WrongAnswerError("a get answered wrongly")
    if not all(store.update(key, CHANGE, CHANNEL) for key in sample):
        raise WrongAnswerError("an update found nothing")

    def undo(_: list[str], created: list[Any]) -> None:
        for session in created:
            store.delete(getattr(session, "session_id", session))
        if store.size() != len(ids):
            raise WrongAnswerError(f"{store.size()} sessions instead of {len(ids)}")

    operations: dict[str, Operation] = {
        "get": lambda keys: map(store.get, keys, repeat(CHANNEL)),
        "update": lambda keys: map(store.update, keys, repeat(CHANGE), repeat(CHANNEL)),
        "create": lambda keys: starmap(store.create, repeat((), len(keys))),
    }
    return Table(operations, undo)


def _dict(ids: list[str]) -> Table:
    held = dict.fromkeys(ids, 1)

    def undo(inserted: list[str], _: list[Any]) -> None:
        for key in inserted:
            del held[key]

    operations: dict[str, Operation] = {
        "get": lambda keys: map(held.get, keys),
        "set": lambda keys: map(held.__setitem__, keys, repeat(2)),
        "insert": lambda keys: map(held.__setitem__, keys, repeat(1)),
    }
    return Table(operations, undo)


def _record(histogram: Any, size: int) -> Operation:
    """Return how to record latencies, about a millisecond each, after `size` others."""
    rng = np.random.default_rng(size)
    histogram.record_many(rng.lognormal(-7.0, 1.0, size))
    values = rng.lognormal(-7.0, 1.0, CALLS).tolist()
    return lambda _: map(histogram.record, values)


def while_growing(
    makers: Mapping[str, Callable[[], Store]], scale: Scale, say: Callable[[str], None]
) -> tuple[list[Row], dict[str, object]]:
    """Time every create from an empty table to `scale.many` sessions; return rows and data."""
    bucket = max(1, scale.many // BUCKETS)
    gaps: dict[str, list[NDArray[np.int64]]] = {}
    for number in range(max(1, min(REPEATS, scale.rounds // 5))):
        for name in (*makers, YARDSTICK):
            if name == ORIGINAL and number > 0:
                continue  # one run takes as long as all the others
            say(f"growth: creating {scale.many:,} sessions, {name}, run {number + 1}")
            with isolated_heap():
                gaps.setdefault(name, []).append(_creating(makers.get(name), scale.many))
    peaks = {name: bucket_peaks(of, bucket) for name, of in gaps.items()}
    rows = []
    for name, of in gaps.items():
        every = np.concatenate(of)
        figure = f"p99.99 {duration(quantile(every, 0.9999))}, max {duration(float(every.max()))}"
        if len(of) > 1:
            figure += f"; longest in the median of {len(of)} runs {duration(max(peaks[name]))}"
        what = "insert" if name == YARDSTICK else "create"
        rows.append(Row(f"{name}: {what} while growing from 0 to {scale.many:,}", figure))
    return rows, {"create_peaks_ns": peaks, "bucket": bucket}


def _creating(make: Callable[[], Store] | None, many: int) -> NDArray[np.int64]:
    """Return the ns from each create to the next, or for a dict from each insertion."""
    stamps = array("q", bytes(8 * (many + 1)))
    clock = time.perf_counter_ns
    if make is None:
        held: dict[str, int] = {}
        ids = random_ids(many)
        stamps[0] = clock()
        for position, key in enumerate(ids, 1):
            held[key] = 1
            stamps[position] = clock()
    else:
        store = make()
        create = store.create
        stamps[0] = clock()
        for position in range(1, many + 1):
            create()
            stamps[position] = clock()
        if store.size() != many:
            raise WrongAnswerError(f"{store.size()} sessions instead of {many}")
    return gaps_of(stamps)


def _growth_row(
    name: str, operation: str, cost: dict[int, float], yardstick: dict[int, float], large: int
) -> Row:
    times = factor(cost, yardstick, large)
    figure = f"{times:.2f}x the growth of dict {KINDS[operation]}: "
    figure += ", ".join(f"{duration(ns)} at {size:,}" for size, ns in cost.items())
    figure += f"; dict {', '.join(duration(ns) for ns in yardstick.values())}"
    row_name = f"{name}: {operation} at random among {SMALL:,} and {large:,}"
    if operation == "record":
        row_name = f"{name}: record after {SMALL:,} and {large:,}"
    if name != COMPILED:
        return Row(row_name, figure)
    reason = f"it grows {cost[large] / cost[SMALL]:.1f}x, "
    reason += f"the dict {yardstick[large] / yardstick[SMALL]:.1f}x"
    return judged(Row(row_name, figure, "2x what a dict shows", times <= LIMIT, reason), large)
