"""Percentiles and median of one state of the pure-Python histogram."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from kaizen_nexus._common.latency_values import bucket_midpoint, nearest_rank

if TYPE_CHECKING:
    from kaizen_nexus._common.latency_codec import HistogramState

__all__ = ["OrderStatistics"]


class OrderStatistics:
    """The values of `state` by rank: exact while all are retained, else from the buckets."""

    def __init__(self, state: HistogramState) -> None:
        self._state = state
        self._samples: list[float] | None = None
        if len(state.samples) == state.count:
            self._samples = sorted(state.samples)
        else:
            self._numbers = list(state.buckets)
            self._cumulative = list(accumulate(state.buckets.values()))

    def percentile(self, point: float) -> float:
        """Return the value of the nearest rank to `point` per cent."""
        count = self._state.count
        return self._at(nearest_rank(point, count)) if count else 0.0

    def median(self) -> float:
        """Return the middle value, or the mean of the two."""
        half, odd = divmod(self._state.count, 2)
        if odd:
            return self._at(half + 1)
        return (self._at(half) + self._at(half + 1)) / 2 if half else 0.0

    def _at(self, rank: int) -> float:
        if self._samples is not None:
            return self._samples[rank - 1]
        state = self._state
        if rank == 1:
            return state.minimum
        if rank == state.count:
            return state.maximum
        bucket = self._numbers[bisect_left(self._cumulative, rank)]
        return min(max(bucket_midpoint(bucket), state.minimum), state.maximum)
