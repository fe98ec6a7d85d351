"""Distributions of latencies: their tails, as operations and as arriving requests see them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["arrival_quantile", "quantile", "survival"]


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
