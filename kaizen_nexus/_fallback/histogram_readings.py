"""What can be read from a histogram: the twin of the compiled base class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import islice
from typing import TYPE_CHECKING

from kaizen_nexus._common.latency_values import (
    SUMMARY_PERCENTILES,
    as_percentile,
    as_slice,
    describe,
    mean_of,
    stddev_of,
    sum_of,
)
from kaizen_nexus._fallback.order_statistics import OrderStatistics

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import SupportsFloat, SupportsIndex

    from kaizen_nexus._fallback.histogram_memory import HistogramMemory

__all__ = ["HistogramReadings"]


class HistogramReadings(ABC):
    """The statistics of a histogram, each of one instant."""

    __slots__ = ()

    @abstractmethod
    def _settled(self) -> HistogramMemory:
        """Return the histogram to read, after everything recorded has been counted in it."""

    @property
    def min(self) -> float:
        """The least recorded value, in seconds."""
        histogram = self._settled()
        with histogram._lock:
            return histogram._min if histogram._count else 0.0

    @property
    def max(self) -> float:
        """The greatest recorded value, in seconds."""
        return self._settled()._max

    @property
    def sum(self) -> float:
        """The sum of all recorded values, in seconds, correctly rounded."""
        return sum_of(self._settled()._total)

    @property
    def mean(self) -> float:
        """The arithmetic mean, in seconds, correctly rounded: that of `statistics.mean`."""
        histogram = self._settled()
        with histogram._lock:
            return mean_of(histogram._total, histogram._count)

    @property
    def stddev(self) -> float:
        """The population standard deviation, in seconds, correctly rounded."""
        histogram = self._settled()
        with histogram._lock:
            total, squares, count = histogram._total, histogram._squares, histogram._count
        return stddev_of(total, squares, count)

    @property
    def median(self) -> float:
        """The median, in seconds, averaging the two middle values of an even count."""
        return OrderStatistics(self._settled()).median()

    @property
    def clamped(self) -> dict[str, int]:
        """How many values were out of range, by reason.

        ``negative`` (recorded as 0), ``nan`` (recorded as 0), and ``overflow`` (above 2**33 s,
        infinity included, recorded as 2**33 s).
        """
        histogram = self._settled()
        with histogram._lock:
            return dict(histogram._clamped)

    def percentile(self, percentile: SupportsFloat | SupportsIndex, /) -> float:
        """Return the value, in seconds, below or at which `percentile` per cent of values are.

        It is the order statistic of the nearest rank, ``ceil(percentile / 100 * count)``, where
        0 gives the minimum: exact while every value is retained, else within 0.1 % of it.

        Raises
        ------
        TypeError, ValueError
            `percentile` is not a real number, or not within 0 to 100.
        """
        return self.percentiles((percentile,))[0]

    def percentiles(self, percentiles: Iterable[SupportsFloat | SupportsIndex], /) -> list[float]:
        """Return the `percentile` for each of `percentiles`, all of the same instant."""
        points = [as_percentile(point) for point in percentiles]
        ranked = OrderStatistics(self._settled())
        return [ranked.percentile(point) for point in points]

    def summary(self) -> dict[str, float]:
        """Return the statistics of one instant, in seconds.

        Returns
        -------
        dict
            ``mean``, ``median``, ``min``, ``max``, ``count``, ``p50``, ``p90``, ``p95``, ``p99``,
            ``p999`` and ``stddev``; zeros when empty.
        """
        histogram = self._settled()
        with histogram._lock:
            ranked = OrderStatistics(histogram)
            total, squares = histogram._total, histogram._squares
        return {
            "mean": mean_of(total, ranked.count),
            "median": ranked.median(),
            "min": ranked.minimum,
            "max": ranked.maximum,
            "count": ranked.count,
            **{name: ranked.percentile(point) for name, point in SUMMARY_PERCENTILES.items()},
            "stddev": stddev_of(total, squares, ranked.count),
        }

    def recent(self, start: SupportsIndex = 0, stop: SupportsIndex | None = None, /) -> list[float]:
        """Return the retained values, in seconds, oldest first.

        Parameters
        ----------
        start, stop
            A slice of them: ``recent(-1)`` is the last one alone.
        """
        wanted = as_slice(start, stop)
        histogram = self._settled()
        with histogram._lock:
            window = range(len(histogram._samples))[wanted]
            return list(islice(histogram._samples, window.start, window.stop))

    def __repr__(self) -> str:
        """Return the count and the main statistics."""
        return describe(self.summary())
