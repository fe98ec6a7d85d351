"""The histogram of the last seconds, by a clock that the test turns, on both implementations."""

from __future__ import annotations

import importlib
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from kaizen_nexus._core.latency_histogram import SlidingLatencyHistogram as Compiled

from kaizen_nexus._fallback.latency_histogram import SlidingLatencyHistogram as Pure

SECOND = 1_000_000_000


class FakeClock:
    def __init__(self, now: int = 0) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@pytest.fixture(
    scope="module", params=["kaizen_nexus._core", "kaizen_nexus._fallback"], ids=["c", "py"]
)
def module(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(f"{request.param}.latency_histogram")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1_000_000 * SECOND)


def test_an_empty_window_reports_zeros(module: Any, clock: FakeClock) -> None:
    window = module.SlidingLatencyHistogram(clock=clock)
    assert (window.window, window.slices, window.exact) == (60.0, 6, 4096)
    assert set(window.summary().values()) == {0}
    assert (window.count, window.retained, window.recent()) == (0, 0, [])
    assert repr(window) == (
        "SlidingLatencyHistogram(window=60, count=0, mean=0, p50=0, p99=0, max=0)"
    )


def test_it_reads_like_a_histogram_of_the_same_values(module: Any, clock: FakeClock) -> None:
    values = np.random.default_rng(2).lognormal(-5, 2, 5000)
    values[::500] = -1.0
    expected = module.LatencyHistogram()
    window = module.SlidingLatencyHistogram(60, 6, clock=clock)
    for part in np.split(values, 5):
        window.record_many(part)
        expected.record_many(part)
        clock.now += 10 * SECOND
    window.record(0.25)
    expected.record(0.25)
    assert window.snapshot() == expected
    assert type(window.snapshot()) is module.LatencyHistogram
    for name in ("count", "min", "max", "sum", "mean", "stddev", "median", "clamped", "retained"):
        assert getattr(window, name) == getattr(expected, name)
    assert window.summary() == expected.summary()
    assert window.percentiles((1, 50, 99)) == expected.percentiles((1, 50, 99))
    assert window.percentile(Decimal(75)) == expected.percentile(75)
    assert window.recent() == expected.recent()
    assert window.recent(-2) == expected.recent(-2)
    assert repr(window) == repr(expected).replace(
        "LatencyHistogram(", "SlidingLatencyHistogram(window=60, "
    )


def test_values_leave_with_their_slice(module: Any, clock: FakeClock) -> None:
    window = module.SlidingLatencyHistogram(60, 6, clock=clock)
    for second in range(120):
        window.record(float(second))
        clock.now += SECOND
    # It is 120 s: the present slice, just begun, and the five before it.
    assert window.recent() == [float(second) for second in range(70, 120)]
    clock.now += 10 * SECOND - 1
    assert window.count == 50
    clock.now += 1
    assert (window.count, window.min) == (40, 80.0)


def test_a_pause_empties_all(module: Any, clock: FakeClock) -> None:
    window = module.SlidingLatencyHistogram(1.0, 1024, exact=3, clock=clock)
    for _ in range(2000):
        window.record(0.5)
        clock.now += SECOND // 1024
    assert window.count == 1023
    assert window.recent() == [0.5] * 3
    clock.now = 1 << 62
    assert window.count == 0
    window.record(0.25)
    assert window.recent() == [0.25]


def test_a_clock_that_steps_back_counts_in_the_present_slice(module: Any, clock: FakeClock) -> None:
    window = module.SlidingLatencyHistogram(6, 3, clock=clock)
    window.record(1.0)
    clock.now = 0
    window.record(2.0)
    window.record_many(np.array([3.0]))
    assert window.recent() == [1.0, 2.0, 3.0]
    clock.now = 1_000_000 * SECOND + 4 * SECOND
    assert window.count == 3
    clock.now += 2 * SECOND
    assert window.count == 0


def test_a_window_of_one_slice_starts_over(module: Any, clock: FakeClock) -> None:
    window = module.SlidingLatencyHistogram(2, 1, clock=clock)
    window.record(1.0)
    clock.now += 2 * SECOND - 1
    assert window.count == 1
    clock.now += 1
    assert window.count == 0


def test_the_built_in_clock_moves(module: Any) -> None:
    window = module.SlidingLatencyHistogram(1e-6, 2)
    window.record(1.0)
    while window.count:
        pass
    assert window.max == 0.0


def test_a_snapshot_is_independent_and_mergeable(module: Any, clock: FakeClock) -> None:
    window = module.SlidingLatencyHistogram(exact=8, clock=clock)
    window.record(1.0)
    total = module.LatencyHistogram()
    total.merge(window.snapshot())
    window.snapshot().record(5.0)
    window.record(2.0)
    total.merge(window.snapshot())
    assert total.recent() == [1.0, 1.0, 2.0]
    assert window.snapshot().exact == 8


def test_reset_forgets_every_slice(module: Any, clock: FakeClock) -> None:
    window = module.SlidingLatencyHistogram(clock=clock)
    window.record(1.0)
    clock.now += 10 * SECOND
    window.record(2.0)
    window.reset()
    assert window.snapshot() == module.LatencyHistogram()
    window.record(3.0)
    assert window.recent() == [3.0]


@pytest.mark.parametrize("size", [0, 1, 4096, 5000])
def test_bulk_recording_is_recording_one_by_one(module: Any, clock: FakeClock, size: int) -> None:
    values = np.random.default_rng(size).lognormal(-5, 4, size)
    bulk = module.SlidingLatencyHistogram(clock=clock)
    single = module.SlidingLatencyHistogram(clock=clock)
    bulk.record_many(values)
    for value in values.tolist():
        single.record(value)
    assert bulk.snapshot() == single.snapshot()


def test_the_clock_may_use_the_window(module: Any) -> None:
    times = iter(range(0, 100 * SECOND, SECOND))
    depth = [0]

    def clock() -> int:
        if not depth[0]:
            depth[0] += 1
            window.record(0.5)
            depth[0] -= 1
        return next(times)

    window = module.SlidingLatencyHistogram(60, 6, clock=clock)
    for _ in range(5):
        window.record(0.25)
    assert window.snapshot().sum == 5 * 0.25 + 6 * 0.5


@given(
    steps=st.lists(st.tuples(st.integers(-5, 40), st.lists(st.floats(), max_size=4)), max_size=30),
    slices=st.integers(1, 7),
    exact=st.integers(0, 6),
)
def test_it_is_what_the_slices_hold(
    module: Any, steps: list[tuple[int, list[float]]], slices: int, exact: int
) -> None:
    clock = FakeClock(1000)
    window = module.SlidingLatencyHistogram(slices * 8e-9, slices, exact=exact, clock=clock)
    recorded: list[tuple[int, float]] = []
    latest = 0
    for step, values in steps:
        clock.now += step
        latest = max(latest, clock.now // 8)
        for value in values:
            window.record(value)
            recorded.append((latest, value))
        expected = module.LatencyHistogram(exact=exact)
        for number, value in recorded:
            if number > latest - slices:
                expected.record(value)
        assert window.snapshot() == expected
        assert window.count == expected.count
        assert window.retained == expected.retained


class Windows(RuleBasedStateMachine):
    """A compiled and a pure window by one clock; whatever is done to one is done to both."""

    @initialize(slices=st.integers(1, 6), exact=st.integers(0, 40))
    def create(self, slices: int, exact: int) -> None:
        self.clock = FakeClock()
        self.windows = [
            implementation(slices * 1e-8, slices, exact=exact, clock=self.clock)
            for implementation in (Compiled, Pure)
        ]

    @rule(nanoseconds=st.integers(0, 80))
    def pass_time(self, nanoseconds: int) -> None:
        self.clock.now += nanoseconds

    @rule(nanoseconds=st.integers(0, 100))
    def step_to(self, nanoseconds: int) -> None:
        self.clock.now = nanoseconds

    @rule(value=st.floats())
    def record(self, value: float) -> None:
        for window in self.windows:
            window.record(value)

    @rule(size=st.sampled_from([0, 3, 600]), seed=st.integers(0, 9))
    def record_many(self, size: int, seed: int) -> None:
        values = np.random.default_rng(seed).lognormal(-5, 5, size)
        for window in self.windows:
            window.record_many(values)

    @rule()
    def reset(self) -> None:
        for window in self.windows:
            window.reset()

    @invariant()
    def windows_agree(self) -> None:
        compiled, pure = getattr(self, "windows", (None, None))
        if compiled is not None:
            assert compiled.snapshot().to_bytes() == pure.snapshot().to_bytes()
            assert repr(compiled) == repr(pure)
            assert (compiled.count, compiled.retained) == (pure.count, pure.retained)
            assert (compiled.window, compiled.slices) == (pure.window, pure.slices)


class TestWindows(Windows.TestCase):
    settings = settings(max_examples=min(15, settings.default.max_examples))


@pytest.mark.slow
class TestWindowsAtLength(Windows.TestCase):
    pass
