"""Nothing is lost or torn between threads, and nothing is leaked."""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

THREADS = 6


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture
def histogram_class(core: Any) -> Any:
    return core.module("latency_histogram").LatencyHistogram


def run_together(*actions: Callable[[], None]) -> None:
    barrier = threading.Barrier(len(actions))

    def started(action: Callable[[], None]) -> None:
        barrier.wait()
        action()

    with ThreadPoolExecutor(len(actions)) as pool:
        for future in [pool.submit(started, action) for action in actions]:
            future.result()


def test_every_value_is_counted_once(histogram_class: Any) -> None:
    histogram = histogram_class(exact=128)
    values = [10.0 ** (index % 12 - 8) for index in range(1500)]
    bulk = np.repeat(np.array(values), 4)  # long enough to be recorded without the GIL

    def record_singly() -> None:
        for value in values:
            histogram.record(value)

    def record_in_bulk() -> None:
        histogram.record_many(bulk)

    run_together(*[record_singly] * THREADS, *[record_in_bulk] * 2)
    expected = histogram_class(exact=128)
    for _ in range(THREADS + 2 * 4):
        expected.record_many(np.array(values))
    assert histogram.count == expected.count == (THREADS + 8) * len(values)
    summary = histogram.summary()
    assert summary == expected.summary()
    assert histogram.sum == expected.sum
    assert histogram_class.from_bytes(histogram.to_bytes()) == histogram


def test_readers_see_whole_records(histogram_class: Any) -> None:
    histogram = histogram_class(exact=16)
    done = threading.Event()
    seen: list[int] = []
    written = [0]

    def write() -> None:
        # However the threads are scheduled, some reads happen beside the writing.
        while written[0] < 3000 or (len(seen) < 10 and written[0] < 1_000_000):
            histogram.record(0.5)
            written[0] += 1
        done.set()

    def read() -> None:
        while not done.is_set():
            # Decoding verifies every relation between counts, sums, extremes and samples.
            consistent = histogram_class.from_bytes(histogram.to_bytes())
            summary = histogram.summary()
            assert summary["mean"] == (0.5 if summary["count"] else 0.0)
            assert summary["count"] >= consistent.count
            seen.append(consistent.count)

    run_together(write, read, read)
    assert histogram.count == written[0]
    assert seen
    assert max(seen) <= written[0]


def test_merging_both_ways_at_once_neither_blocks_nor_loses(histogram_class: Any) -> None:
    first, second = histogram_class(exact=4), histogram_class(exact=4)
    parts = [histogram_class(exact=4) for _ in range(200)]
    for part in parts:
        part.record(0.25)

    def merge_into(target: Any) -> None:
        for part in parts:
            target.merge(part)

    run_together(*[lambda: merge_into(first), lambda: merge_into(second)] * 3)
    run_together(lambda: first.merge(second), lambda: second.merge(first))
    assert sorted((first.count, second.count)) in ([1200, 1200], [1200, 1800])
    assert first.mean == second.mean == 0.25


def test_resetting_meanwhile_leaves_a_consistent_histogram(histogram_class: Any) -> None:
    histogram = histogram_class(exact=8)

    def write() -> None:
        for index in range(2000):
            histogram.record(index * 1e-4)

    def reset() -> None:
        for _ in range(200):
            histogram.reset()

    run_together(write, write, reset)
    assert histogram_class.from_bytes(histogram.to_bytes()) == histogram
    assert histogram.count <= 4000


def test_memory_is_constant_and_returned(histogram_class: Any) -> None:
    values = np.random.default_rng(5).lognormal(-5, 3, 5000)

    def use() -> None:
        histogram = histogram_class()
        histogram.record_many(values)
        histogram.record(1.0)
        histogram.merge(histogram.copy())
        histogram_class.from_bytes(histogram.to_bytes()).summary()

    use()
    kept = histogram_class()
    kept.record_many(values)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(5):
            use()
            kept.record_many(values)
            kept.summary()
        gc.collect()
        growth = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert growth < 300_000
