"""Fail each allocation of histograms and cache keys in turn.

A histogram that could not do what it was asked to is as before; a cache key is the right one or
none. Either then does what it is asked to.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import numpy as np
from failing_malloc import FailingMalloc
from kaizen_nexus._core.cache_key import cache_key
from kaizen_nexus._core.latency_histogram import LatencyHistogram, SlidingLatencyHistogram

MOST_ALLOCATIONS = 5_000
# Each thousandth value needs memory that those before it do not.
FEW = np.repeat([1e-9, 2e-6, 3e-3, float("nan")], 1_000)
MANY = np.repeat([1e-9, 2e-6, 3e-3, 4.0, float("nan")], 1_000)


def used() -> LatencyHistogram:
    """Return a histogram that has room for some samples and a few octaves."""
    histogram = LatencyHistogram(exact=1_000)
    histogram.record_many(np.full(60, 2e-6))
    return histogram


def much_used() -> LatencyHistogram:
    histogram = LatencyHistogram(exact=10)
    histogram.record_many(MANY)
    return histogram


def waiting() -> LatencyHistogram:
    """Return a histogram with values that are counted once something is read."""
    histogram = used()
    for value in FEW[::100]:
        histogram.record(value)
    return histogram


def filled(values: int) -> LatencyHistogram:
    """Return a histogram that has recorded so many values of an octave, and counted none yet."""
    histogram = LatencyHistogram()
    for _ in range(values):
        histogram.record(2e-6)
    return histogram


def sliding() -> SlidingLatencyHistogram:
    histogram = SlidingLatencyHistogram(10, 3, exact=100, clock=lambda: 10**9)
    histogram.record(2e-6)
    return histogram


WRITES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "record": (partial(filled, 512), lambda h: h.record(0.5)),
    "record once": (partial(filled, 0), lambda h: h.record(0.5)),
    "record few": (used, lambda h: h.record_many(FEW)),
    "record many": (used, lambda h: h.record_many(MANY)),
    "merge": (used, lambda h: h.merge(waiting())),
    "merge with itself": (waiting, lambda h: h.merge(h)),
    "subtract": (much_used, lambda h: h.subtract(used())),
    "record into a window": (sliding, lambda h: h.record(0.5)),
    "record many into a window": (sliding, lambda h: h.record_many(MANY)),
}
# A generator for which there is no memory corrupts CPython's own from 3.12 on.
GENERATE = ("from_bytes",)
READS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "summary": (waiting, lambda h: h.summary()),
    "percentiles": (much_used, lambda h: h.percentiles([50, 99, 99.9])),
    "recent": (waiting, lambda h: h.recent(-20)),
    "to_bytes": (waiting, lambda h: h.to_bytes()),
    "from_bytes": (waiting, lambda h: LatencyHistogram.from_bytes(h.to_bytes()).count),
    "copy": (waiting, lambda h: h.copy().to_bytes()),
    "equal": (waiting, lambda h: h == h.copy()),
    "sliding summary": (sliding, lambda h: h.summary()),
}


@dataclass
class Fields:
    name: str
    parts: tuple[int, ...]


KEYED: dict[str, Any] = {
    "nested": {"model": "m", "options": {"a": [1, 2.5, None, True], "b": ("x", b"y")}},
    "many keys": {f"key {number:03}"[::-1]: {number, -number} for number in range(200)},
    "long texts": ["a" * 5_000, "\u00e9" * 5_000, b"z" * 5_000],
    "long integers": [1 << 5_000, -(1 << 5_000)],
    "an object": Fields("a", (1, 2, 3)),
    "deep": [[[[[[[[[[{"a": frozenset({"b"})}]]]]]]]]]],
}
# Not those that a Python function refuses: where the frame that called it cannot be kept, CPython
# forgets what it raised.
REFUSED: dict[str, Any] = {
    "not a number": {"a": [1, float("nan")]},
    "too deep": None,  # made below
}
for _ in range(120):
    REFUSED["too deep"] = [REFUSED["too deep"]]


def exhaust(
    malloc: FailingMalloc, refusals: int, attempt: Callable[[Callable[..., Any]], bool]
) -> int:
    """Repeat an attempt with each of its allocations failing; return how often it raised."""
    raised = 0
    for granted in count():
        assert granted < MOST_ALLOCATIONS
        reached = False

        def call(operation: Callable[[], Any], granted: int = granted) -> Any:
            nonlocal reached
            outcome = malloc.attempt(operation, granted, refusals)
            reached = outcome.refused > 0
            return outcome

        raised += attempt(call)
        gc.collect()
        if not reached:
            return raised
    raise AssertionError


def contents(histogram: Any) -> bytes:
    whole = histogram.snapshot() if isinstance(histogram, SlidingLatencyHistogram) else histogram
    return whole.to_bytes()


def write(begin: Callable[[], Any], operate: Callable[[Any], Any], call: Any) -> bool:
    histogram, expected, untouched = begin(), begin(), begin()
    operate(expected)
    outcome = call(partial(operate, histogram))
    if outcome.raised:
        assert contents(histogram) == contents(untouched)
        operate(histogram)
    assert contents(histogram) == contents(expected)
    return outcome.raised


def read(begin: Callable[[], Any], operate: Callable[[Any], Any], call: Any) -> bool:
    histogram, untouched = begin(), begin()
    expected = operate(begin())
    outcome = call(partial(operate, histogram))
    assert outcome.raised or outcome.result == expected
    assert contents(histogram) == contents(untouched)
    assert operate(histogram) == expected
    return outcome.raised


def key(value: Any, expected: str, call: Any) -> bool:
    outcome = call(partial(cache_key, value))
    assert outcome.raised or outcome.result == expected
    assert cache_key(value) == expected
    return outcome.raised


def refusal(value: Any, expected: tuple[type, str], call: Any) -> bool:
    outcome = call(partial(refusal_of, value))
    assert outcome.raised or outcome.result == expected
    assert refusal_of(value) == expected
    return outcome.raised


def refusal_of(value: Any) -> tuple[type, str]:
    try:
        cache_key(value)
    except (TypeError, ValueError) as error:
        return type(error), str(error)
    raise AssertionError


def main() -> None:
    malloc = FailingMalloc()
    attempts: dict[str, Callable[[Any], bool]] = {}
    attempts |= {name: partial(write, *case) for name, case in WRITES.items()}
    attempts |= {name: partial(read, *case) for name, case in READS.items()}
    attempts |= {name: partial(key, value, cache_key(value)) for name, value in KEYED.items()}
    attempts |= {
        name: partial(refusal, value, refusal_of(value)) for name, value in REFUSED.items()
    }
    if sys.version_info >= (3, 12):
        for name in GENERATE:
            del attempts[name]
    gc.disable()
    gc.freeze()
    total = 0
    for name, attempt in attempts.items():
        for refusals in (1, 30):
            sys.stdout.write(f"{name}, {refusals} in a row: ")
            sys.stdout.flush()
            raised = exhaust(malloc, refusals, attempt)
            total += raised
            sys.stdout.write(f"failed {raised} times\n")
    assert total > 300  # how many a call needs depends on what the interpreter keeps for reuse


if __name__ == "__main__":
    main()
