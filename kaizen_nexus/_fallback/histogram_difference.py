"""What is left of a histogram when another is taken out: the pure-Python `subtract`."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from kaizen_nexus._common.latency_codec import HistogramState, check_difference
from kaizen_nexus._common.latency_values import bucket_of, exact_sums, not_contained

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["difference"]


def difference(state: HistogramState, other: HistogramState) -> HistogramState:
    """Return what `state` holds besides what `other` holds.

    Raises
    ------
    ValueError
        `other` holds something that `state` does not.
    """
    negative, nan, overflow = map(int.__sub__, state.clamped, other.clamped)
    left = replace(
        state,
        count=state.count - other.count,
        clamped=(negative, nan, overflow),
        total=state.total - other.total,
        squares=state.squares - other.squares,
        buckets=_remaining(state.buckets, other.buckets),
    )
    if min(*left.clamped, left.total, left.squares) < 0:
        raise not_contained()
    if not left.count:
        if left.total or left.squares or any(left.clamped):
            raise not_contained()
        return HistogramState.empty(state.exact)
    samples = state.samples[max(len(state.samples) - left.count, 0) :]
    left = replace(left, samples=samples if _can_hold(left, samples) else ())
    minimum, maximum = _extremes(left)
    left = replace(left, minimum=minimum, maximum=maximum)
    check_difference(left)
    return left


def _remaining(buckets: dict[int, int], taken: dict[int, int]) -> dict[int, int]:
    remaining = dict(buckets)
    for bucket, number in taken.items():
        remaining[bucket] = remaining.get(bucket, 0) - number
        if remaining[bucket] < 0:
            raise not_contained()
    return {bucket: number for bucket, number in remaining.items() if number}


def _can_hold(state: HistogramState, samples: Sequence[float]) -> bool:
    """Whether `samples` can be among the values that buckets and sums stand for."""
    held = Counter(map(bucket_of, samples))
    if any(number > state.buckets.get(bucket, 0) for bucket, number in held.items()):
        return False
    total, squares = exact_sums(samples)
    if len(samples) == state.count:
        return (total, squares) == (state.total, state.squares)
    return total <= state.total and squares <= state.squares


def _extremes(state: HistogramState) -> tuple[float, float]:
    """Return those of the samples if they are all values, else bounds of the outermost buckets."""
    if len(state.samples) == state.count:
        return min(state.samples), max(state.samples)
    first, last = min(state.buckets), max(state.buckets)
    return (
        max(state.minimum, _least_of(first)),
        min(state.maximum, math.nextafter(_least_of(last + 1), 0.0)),
    )


def _least_of(bucket: int) -> float:
    """Return the least float that belongs to a bucket or, for one past the last, to none."""
    shift = max(bucket >> 9, 1) - 1
    seconds = ((bucket - (shift << 9)) << shift) / 1e9
    # The quotient and the product that `bucket_of` forms of it are rounded: some steps may miss.
    while bucket_of(seconds) < bucket:
        seconds = math.nextafter(seconds, math.inf)
    while seconds > 0.0 and bucket_of(math.nextafter(seconds, 0.0)) == bucket:
        seconds = math.nextafter(seconds, 0.0)
    return seconds
