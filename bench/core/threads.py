"""Several threads on one table of each size, against one thread doing as much."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter

from bench.core.contenders import COMPILED, ORIGINAL, PURE
from bench.core.contenders.sessions import TABLES, Sessions
from bench.core.ids import random_ids
from bench.core.operations import figures
from bench.core.scale import Scale
from bench.core.sessions import filled
from bench.report import Row, Section
from bench.timing import Run, collector_off, take_turns

__all__ = ["THREADS", "measure", "together"]

THREADS = 4
AT_LEAST = 0.02
"""Seconds: several of the slices of 5 ms after which a thread gives way to another."""


def measure(scale: Scale, say: Callable[[str], None]) -> Section:
    """Time getting and updating from one thread and from several.

    Parameters
    ----------
    scale
        How much to measure.
    say
        Reports what is being measured.

    Raises
    ------
    WrongAnswerError
        A contender does something else than what it is timed for.
    """
    rows: list[Row] = []
    data: dict[str, object] = {}
    for size in scale.sizes:
        say(f"{THREADS} threads, {size:,} sessions")
        ids = random_ids(size)
        tables, _ = filled({name: TABLES[name] for name in (COMPILED, PURE, ORIGINAL)}, ids)
        for operation, runs in threaded(tables, ids).items():
            what = f"{operation} from {THREADS} threads, {size:,} in the table"
            samples = take_turns(runs, scale.rounds, AT_LEAST)
            data[what] = {name: figures(sample) for name, sample in samples.items()}
            for name in tables:
                one, several = samples[label(name, 1)], samples[label(name, THREADS)]
                figure = f"{1 / several.median / 1e6:.3g} million a second, "
                figure += f"{one.median / several.median:.2f}x what one thread does"
                rows.append(Row(f"{what}: {name}", figure))
    return Section("Several threads on one table", rows, data)


def threaded(tables: Mapping[str, Sessions], ids: list[str]) -> dict[str, dict[str, Run]]:
    """Return getting and updating random ids, by contender and number of threads."""
    # In an order of its own for each thread, the same ones for every contender.
    orders = [random.sample(ids, len(ids)) for _ in range(THREADS)]
    return {
        operation: {
            label(name, number): together([call(table).run(order) for order in orders[:number]])
            for name, table in tables.items()
            for number in (1, THREADS)
        }
        for operation, call in (("get", attrgetter("get")), ("update", attrgetter("update")))
    }


def together(runs: list[Run]) -> Run:
    """Return what divides the repetitions among threads that start at the same time."""

    def run(number: int) -> float:
        share = max(1, number // len(runs))
        gate = threading.Barrier(len(runs))

        def work(own: Run) -> tuple[float, float]:
            gate.wait()
            started = time.perf_counter()
            own(share)
            return started, time.perf_counter()

        with collector_off(), ThreadPoolExecutor(len(runs)) as pool:
            spans = list(pool.map(work, runs))
        seconds = max(stop for _, stop in spans) - min(start for start, _ in spans)
        # As if exactly `number` had been done, of which the shares are a little less or more.
        return seconds * number / (share * len(runs))

    return run


def label(name: str, number: int) -> str:
    """Return how a contender with so many threads is called."""
    return f"{name}, {number} {'thread' if number == 1 else 'threads'}"
