"""Timing what cannot be repeated as it is, and showing what was measured."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.timing import Sample

__all__ = ["expect", "milliseconds", "once"]


def once(call: Callable[[], object]) -> float:
    """Return the duration, in seconds, of a call that cannot be repeated as it is."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def expect(found: object, expected: object) -> None:
    """Raise unless an answer is the right one: nothing is timed that is wrong."""
    if found != expected:
        raise AssertionError(f"expected {expected!r}, got {found!r}")


def milliseconds(sample: Sample) -> str:
    """Return the median and the quartiles."""
    low, high = sample.spread
    return f"{sample.median * 1e3:.3g} ms ({low * 1e3:.3g} to {high * 1e3:.3g})"
