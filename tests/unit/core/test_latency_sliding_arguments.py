"""What a window refuses, and that it is collected, on both implementations."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import weakref
from typing import Any

import numpy as np
import pytest

SECOND = 1_000_000_000


class FakeClock:
    def __init__(self, now: int = 0) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def module(core: Any) -> Any:
    return core.module("latency_histogram")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1_000_000 * SECOND)


@pytest.mark.parametrize(
    ("window", "error", "message"),
    [
        (True, ValueError, "window must be a number, not the bool True"),
        (math.nan, ValueError, "window must be finite, not nan"),
        (math.inf, ValueError, "window must be finite, not inf"),
        (-1, ValueError, "window must be positive, not -1"),
        (0, ValueError, "window must be positive, not 0"),
        (10**30, ValueError, "window must be at most 3155760000, not an int of 100 bits"),
        ("60", TypeError, "window must be a number, not str"),
        (None, TypeError, "window must be a number, not NoneType"),
        (3e-9, ValueError, "window must be at least 1 ns for each of 6 slices"),
    ],
)
def test_windows_are_checked(module: Any, window: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=f"^{message}$"):
        module.SlidingLatencyHistogram(window)


@pytest.mark.parametrize(
    ("slices", "error", "message"),
    [
        (True, TypeError, "slices must be an integer, not bool"),
        (6.0, TypeError, "slices must be an integer, not float"),
        (None, TypeError, "slices must be an integer, not NoneType"),
        (0, ValueError, "slices must be between 1 and 1024, not 0"),
        (-1, ValueError, "slices must be between 1 and 1024, not -1"),
        (2**70, ValueError, f"slices must be between 1 and 1024, not {2**70}"),
    ],
)
def test_slices_are_checked(module: Any, slices: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=f"^{message}$"):
        module.SlidingLatencyHistogram(60, slices)


def test_the_other_arguments_are_checked(module: Any) -> None:
    with pytest.raises(ValueError, match=r"^exact must be between 0 and 1048576, not -1$"):
        module.SlidingLatencyHistogram(exact=-1)
    with pytest.raises(TypeError, match=r"^clock must be callable or None, not int$"):
        module.SlidingLatencyHistogram(clock=7)


@pytest.mark.parametrize("value", ["1", None, True])
def test_what_is_no_number_is_refused(module: Any, clock: FakeClock, value: Any) -> None:
    window = module.SlidingLatencyHistogram(clock=clock)
    with pytest.raises(TypeError, match=r"^seconds must be a real number, not "):
        window.record(value)
    with pytest.raises(ValueError, match=r"^record_many\(\) takes float64 values, not format 'l'$"):
        window.record_many(np.zeros(3, np.int64))
    assert window.count == 0


@pytest.mark.parametrize(
    ("reading", "error", "message"),
    [
        (1.0, TypeError, "clock must return an int of nanoseconds, not float"),
        (True, TypeError, "clock must return an int of nanoseconds, not bool"),
        (-1, ValueError, r"clock must return between 0 and 2\*\*62 nanoseconds, not -1"),
        (2**62 + 1, ValueError, r"clock must return between 0 and 2\*\*62 nanoseconds, not \d+"),
    ],
)
def test_readings_of_the_clock_are_checked(
    module: Any, clock: FakeClock, reading: Any, error: Any, message: str
) -> None:
    window = module.SlidingLatencyHistogram(clock=clock)
    window.record(1.0)
    clock.now = reading
    for action in (lambda: window.record(1.0), window.summary, lambda: window.count):
        with pytest.raises(error, match=f"^{message}$"):
            action()
    clock.now = 1_000_000 * SECOND
    assert window.count == 1


def test_a_window_cannot_be_copied(module: Any) -> None:
    window = module.SlidingLatencyHistogram()
    for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=r"^a SlidingLatencyHistogram cannot be copied or "):
            duplicate(window)


def test_a_window_that_was_not_initialised_fails_cleanly(module: Any) -> None:
    window = module.SlidingLatencyHistogram.__new__(module.SlidingLatencyHistogram)
    for action in (lambda: window.record(1.0), window.summary, window.reset):
        with pytest.raises((TypeError, AttributeError)):
            action()


def test_a_window_in_a_cycle_with_its_clock_is_collected(module: Any) -> None:
    class Ticking(module.SlidingLatencyHistogram):
        def __init__(self) -> None:
            super().__init__(clock=self.tick)

        def tick(self) -> int:
            return 5

    window = Ticking()
    window.record(1.0)
    gone = weakref.ref(window)
    del window
    gc.collect()
    assert gone() is None
