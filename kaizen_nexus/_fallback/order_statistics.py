"""Percentiles and median of one instant of the pure-Python histogram."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from kaizen_nexus._common.latency_values import bucket_midpoint, nearest_rank

if TYPE_CHECKING:
    from kaizen_nexus._fallback.histogram_memory import HistogramMemory

__all__ = ["OrderStatistics"]


class OrderStatistics:
    """The values of `histogram` by rank: its samples if they are all, else its buckets.

    Attributes
    ----------
    count, minimum, maximum
        Those of the same instant; zeros when empty.
    """

    def __init__(self, histogram: HistogramMemory) -> None:
        self._samples: list[float] | None = None
        with histogram._lock:
            self.count = histogram._count
            self.minimum = histogram._min if self.count else 0.0
            self.maximum = histogram._max
            if len(histogram._samples) == self.count:
                self._samples = list(histogram._samples)
            else:
                buckets = histogram._buckets.copy()
        if self._samples is not None:
            self._samples.sort()
        else:
            self._numbers = sorted(buckets)
            self._cumulative = list(accumulate(map(buckets.__getitem__, self._numbers)))

    def percentile(self, point: float) -> float:
        """Return the value of the nearest rank to `point` per cent."""
        return self._at(nearest_rank(point, self.count)) if self.count else 0.0

    def median(self) -> float:
        """Return the middle value, or the mean of the two."""
        half, odd = divmod(self.count, 2)
        if odd:
            return self._at(half + 1)
        return (self._at(half) + self._at(half + 1)) / 2 if half else 0.0

    def _at(self, rank: int) -> float:
        if self._samples is not None:
            return self._samples[rank - 1]
        if rank == 1:
            return self.minimum
        if rank == self.count:
            return self.maximum
        bucket = self._numbers[bisect_left(self._cumulative, rank)]
        return min(max(bucket_midpoint(bucket), self.minimum), self.maximum)
