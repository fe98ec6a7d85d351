"""Nothing is lost or torn between threads, and nothing is leaked."""

from __future__ import annotations

import functools
import gc
import os
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


def test_recording_goes_on_while_intervals_are_taken(histogram_class: Any) -> None:
    """Eight threads record while one scrapes: every value is in exactly one interval."""
    histogram = histogram_class(exact=32)
    done = threading.Event()
    intervals: list[Any] = []

    def write() -> None:
        for index in range(1500):
            histogram.record(index * 1e-4)

    def scrape() -> None:
        previous = histogram_class(exact=32)
        finished = False
        while not finished:
            finished = done.is_set()
            current = histogram.copy()
            interval = current.copy()
            interval.subtract(previous)
            intervals.append(interval)
            assert histogram_class.from_bytes(interval.to_bytes()) == interval
            previous = current

    with ThreadPoolExecutor(9) as pool:
        scraping = pool.submit(scrape)
        for future in [pool.submit(write) for _ in range(8)]:
            future.result()
        done.set()
        scraping.result()
    total = histogram_class(exact=32)
    for interval in intervals:
        total.merge(interval)
    assert total.count == histogram.count == 12_000
    assert total.sum == histogram.sum
    assert total.percentiles(range(101)) == histogram.percentiles(range(101))


def test_intervals_are_taken_out_while_recording_goes_on(histogram_class: Any) -> None:
    """Eight threads record while others subtract from the very histogram, copy and read it."""
    histogram = histogram_class(exact=32)
    parts = [histogram_class(exact=32) for _ in range(40)]
    for part in parts:
        part.record_many(np.full(700, 0.125))
        histogram.merge(part)

    def write() -> None:
        for index in range(1500):
            histogram.record(index * 1e-4)

    def take_out(chosen: list[Any]) -> None:
        for part in chosen:
            histogram.subtract(part)

    def read() -> None:
        for _ in range(40):
            duplicate = histogram.copy()
            assert histogram_class.from_bytes(duplicate.to_bytes()) == duplicate
            assert duplicate.count <= 12_000 + 40 * 700

    halves = [functools.partial(take_out, parts[start::2]) for start in (0, 1)]
    run_together(*[write] * 8, *halves, read)
    expected = histogram_class(exact=32)
    for _ in range(8):
        expected.record_many(np.arange(1500) * 1e-4)
    assert histogram.count == expected.count
    assert histogram.sum == expected.sum
    assert histogram.stddev == expected.stddev
    points = range(5, 100, 5)
    assert histogram.percentiles(points) == expected.percentiles(points)


def test_a_window_turns_while_threads_record(core: Any) -> None:
    module = core.module("latency_histogram")
    now = [0]
    window = module.SlidingLatencyHistogram(1e-3, 8, exact=16, clock=lambda: now[0])

    def write() -> None:
        for _ in range(1500):
            now[0] += 100
            window.record(0.5)

    def read() -> None:
        for _ in range(100):
            snapshot = window.snapshot()
            assert module.LatencyHistogram.from_bytes(snapshot.to_bytes()) == snapshot
            assert snapshot.mean in {0.0, 0.5}
            assert window.count <= 8 * 1500

    run_together(*[write] * 8, read)
    now[0] = 1 << 40
    assert window.count == 0
    write()
    assert window.count == 1500


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


class Recording:
    """In a cycle, so that the collector deletes it, and records whenever that is."""

    def __init__(self, histogram: Any) -> None:
        self.me = self
        self.histogram = histogram

    def __del__(self) -> None:
        self.histogram.record(0.5)


def test_finalisers_may_record_at_any_moment(histogram_class: Any) -> None:
    histogram = histogram_class(exact=64)
    threshold = gc.get_threshold()
    gc.set_threshold(1)  # collect at whatever allocation, those within the histogram too
    try:
        for index in range(3000):
            Recording(histogram)
            histogram.record(10.0 ** (index % 19 - 9))
            if index % 97 == 0:
                histogram.percentiles((50, 99))
                histogram.recent()
                histogram.copy().subtract(histogram_class())
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert histogram.count == 6000
    assert histogram_class.from_bytes(histogram.to_bytes()) == histogram


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform does not fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_goes_on_with_what_was_recorded(histogram_class: Any) -> None:
    histogram = histogram_class(exact=8)
    for number in range(1000):
        histogram.record(float(number))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            histogram.record(1000.0)
            status = 0 if (histogram.count, histogram.max) == (1001, 1000.0) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (histogram.count, histogram.max) == (1000, 999.0)


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
