"""Distributions of latencies: their tails, as operations and as arriving requests see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "arrival_quantile",
    "bucket_peaks",
    "duration",
    "quantile",
    "survival",
    "zipf",
]

_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns"))


def zipf(
    rng: np.random.Generator, count: int, draws: int, exponent: float = 1.1
) -> NDArray[np.int64]:
    """Draw ranks from 0 to `count` - 1, rank k with a probability like (k + 1) ** -exponent.

    Unlike `numpy.random.Generator.zipf` it is bounded, by inverting the cumulative distribution.
    """
    weights = np.cumsum(np.arange(1, count + 1, dtype=np.float64) ** -exponent)
    ranks = np.searchsorted(weights, rng.random(draws) * weights[-1], side="right")
    bounded: NDArray[np.int64] = np.minimum(ranks, count - 1).astype(np.int64)
    return bounded


def quantile(values: NDArray[Any], q: float) -> float:
    """Return the smallest of the values that at least the part `q` of them do not exceed."""
    return float(np.quantile(values, q, method="inverted_cdf"))


def arrival_quantile(gaps: NDArray[Any], q: float) -> float:
    """Return what the part `q` of requests that arrive at random moments wait at most.

    A loop that waits for each answer before it asks again meets a pause once, however long it is,
    while requests that come at their own pace keep arriving in it. One that arrives in a gap
    between two answers waits for the rest of it, so the part that waits longer than x is the sum of
    max(0, gap - x) over the sum of all gaps.

    Parameters
    ----------
    gaps
        The durations between successive answers, without a hole.
    q
        Between 0 and 1.
    """
    longest_first = np.sort(gaps.astype(np.float64))[::-1]
    target = (1.0 - q) * float(longest_first.sum())
    sums = np.cumsum(longest_first)
    counts = np.arange(1, len(sums) + 1)
    # What lies above each gap's own length, of all that are longer; it grows from gap to gap.
    above = sums - counts * longest_first
    longer = int(np.searchsorted(above, target, side="right"))
    return float((sums[longer - 1] - target) / longer)


def survival(values: NDArray[Any], points: int = 80) -> list[tuple[float, float]]:
    """Return (value, part of the values that are at least as large), as `points` or fewer.

    The parts are spaced evenly on a logarithmic axis, from all of the values to the largest one.
    """
    ascending = np.sort(values)
    count = len(ascending)
    ranks = np.unique(np.geomspace(1, count, min(points, count)).round().astype(np.int64))[::-1]
    return [(float(ascending[count - rank]), float(rank / count)) for rank in ranks]


def bucket_peaks(repeats: Sequence[NDArray[Any]], width: int) -> list[float]:
    """Return the longest of each `width` operations, the median of what the repeats show.

    What the program does recurs at the same operation in every repeat; what the machine does to it
    does not.
    """
    whole = min(len(gaps) for gaps in repeats) // width * width
    peaks = [gaps[:whole].reshape(-1, width).max(axis=1) for gaps in repeats]
    return [float(peak) for peak in np.median(np.stack(peaks), axis=0)]


def duration(nanoseconds: float) -> str:
    """Return a duration with its unit, to three digits."""
    for size, unit in _UNITS:
        if nanoseconds >= size or unit == "ns":
            number = nanoseconds / size
            return f"{number:.{2 if number < 10 else 1 if number < 100 else 0}f} {unit}"
    raise AssertionError("the last unit takes everything")
