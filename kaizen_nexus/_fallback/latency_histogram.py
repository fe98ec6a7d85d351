"""A latency histogram with bounded memory: the pure-Python twin of the compiled module.

Buckets are a counter of bucket numbers, retained samples a deque. The histogram keeps no labels,
no rates and no time windows: those belong to its callers.
"""

from __future__ import annotations

from collections import defaultdict, deque
from itertools import islice
from threading import RLock
from typing import TYPE_CHECKING

from kaizen_nexus._common.latency_codec import HistogramState, decode, encode
from kaizen_nexus._common.latency_values import (
    CLAMPS,
    DEFAULT_EXACT,
    MAX_SECONDS,
    SUM_EXPONENT,
    SUMMARY_PERCENTILES,
    as_exact,
    as_percentile,
    as_seconds,
    as_slice,
    bucket_of,
    check_capacity,
    describe,
    float64_view,
    mean_of,
    not_a_histogram,
    scale,
    stddev_of,
    sum_of,
)
from kaizen_nexus._fallback.order_statistics import OrderStatistics
from kaizen_nexus._fallback.performance_monitor import PerformanceMonitor

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import SupportsFloat, SupportsIndex

    from typing_extensions import Buffer, Self

__all__ = ["LatencyHistogram", "PerformanceMonitor"]

_UNIT = 1 << SUM_EXPONENT


class LatencyHistogram:
    """Latencies in log-linear buckets: any percentile, mergeable, in constant memory.

    A value, in seconds, is counted by its whole nanoseconds: below 1,024 ns in a bucket of 1 ns,
    above in one of the 512 equal buckets of its octave, which the integer bit length selects. A
    bucket at or above 512 ns is therefore at most 1/512 of its lower edge wide, and its middle,
    which a percentile reports, is at most 1/1,024 (0.098 %) away from any value in it: the error
    is below 0.1 % from 1 us (an absolute 0.5 ns below that) to 24 h and far beyond. Buckets cost
    memory only once used; there are 28,090 at most.

    The sums of the values and of their squares are kept as exact fixed-point integers, so `sum`,
    `mean` and `stddev` are correctly rounded however many values there are and in whatever order
    they were recorded or merged. `count`, `min` and `max` are exact as well. While every recorded
    value is still retained (see `exact`), so are `median` and the percentiles.

    Parameters
    ----------
    exact
        How many of the most recent values to retain, 0 to 1,048,576. They make percentiles exact
        while `count` does not exceed it, and are what `recent` returns for ever.

    Raises
    ------
    TypeError, ValueError
        `exact` is not an integer, or out of range.

    Notes
    -----
    Thread-safe. Recording is O(1); percentiles depend on the buckets in use, not on `count`.
    An empty histogram reports zeros. The buckets are those of HdrHistogram (Tene, 2012), taken at
    9 bits; the exact sums are the small superaccumulator of Neal, "Fast exact summation using
    small and large superaccumulators" (2015), for values that are never negative.
    """

    _exact: int
    _count: int
    _clamped: dict[str, int]
    _min: float
    _max: float
    _sums: defaultdict[int, int]  # exact: numerators by denominator, a power of two for a float
    _squares: defaultdict[int, int]
    _buckets: defaultdict[int, int]
    _samples: deque[float]

    def __init__(self, *, exact: SupportsIndex = DEFAULT_EXACT) -> None:
        # Re-entrant: the collector may run a finaliser that records here in the middle of a call.
        self._lock = RLock()
        self._restore(HistogramState.empty(as_exact(exact)))

    @property
    def exact(self) -> int:
        """How many of the most recent values it may retain."""
        return self._exact

    @property
    def retained(self) -> int:
        """How many values are retained now."""
        return len(self._samples)

    @property
    def count(self) -> int:
        """Number of recorded values, clamped ones included."""
        return self._count

    @property
    def min(self) -> float:
        """The least recorded value, in seconds."""
        return self._min if self._count else 0.0

    @property
    def max(self) -> float:
        """The greatest recorded value, in seconds."""
        return self._max

    @property
    def sum(self) -> float:
        """The sum of all recorded values, in seconds, correctly rounded."""
        with self._lock:
            return sum_of(scale(self._sums, 1))

    @property
    def mean(self) -> float:
        """The arithmetic mean, in seconds, correctly rounded: that of `statistics.mean`."""
        with self._lock:
            return mean_of(scale(self._sums, 1), self._count)

    @property
    def stddev(self) -> float:
        """The population standard deviation, in seconds, correctly rounded."""
        with self._lock:
            return stddev_of(scale(self._sums, 1), scale(self._squares, 2), self._count)

    @property
    def median(self) -> float:
        """The median, in seconds, averaging the two middle values of an even count."""
        return OrderStatistics(self._state()).median()

    @property
    def clamped(self) -> dict[str, int]:
        """How many values were out of range, by reason.

        ``negative`` (recorded as 0), ``nan`` (recorded as 0), and ``overflow`` (above 2**33 s,
        infinity included, recorded as 2**33 s).
        """
        with self._lock:
            return dict(self._clamped)

    def record(self, seconds: SupportsFloat | SupportsIndex, /) -> None:
        """Record one value, in seconds; a value out of range is clamped and counted as such.

        Raises
        ------
        TypeError
            `seconds` is not a real number, or is a bool.
        """
        self._extend((seconds if type(seconds) is float else as_seconds(seconds),))

    def record_many(self, values: Buffer, /) -> None:
        """Record every value of a one-dimensional, contiguous float64 array, in seconds.

        Raises
        ------
        TypeError
            `values` does not support the buffer protocol.
        ValueError
            Its dtype, shape or strides are others.
        """
        self._extend(float64_view(values))

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
        ranked = OrderStatistics(self._state())
        return [ranked.percentile(point) for point in points]

    def summary(self) -> dict[str, float]:
        """Return the statistics of one instant, in seconds.

        Returns
        -------
        dict
            ``mean``, ``median``, ``min``, ``max``, ``count``, ``p50``, ``p90``, ``p95``, ``p99``,
            ``p999`` and ``stddev``; zeros when empty.
        """
        state = self._state()
        ranked = OrderStatistics(state)
        return {
            "mean": mean_of(state.total, state.count),
            "median": ranked.median(),
            "min": state.minimum,
            "max": state.maximum,
            "count": state.count,
            **{name: ranked.percentile(point) for name, point in SUMMARY_PERCENTILES.items()},
            "stddev": stddev_of(state.total, state.squares, state.count),
        }

    def recent(self, start: SupportsIndex = 0, stop: SupportsIndex | None = None, /) -> list[float]:
        """Return the retained values, in seconds, oldest first.

        Parameters
        ----------
        start, stop
            A slice of them: ``recent(-1)`` is the last one alone.
        """
        wanted = as_slice(start, stop)
        with self._lock:
            window = range(len(self._samples))[wanted]
            return list(islice(self._samples, window.start, window.stop))

    def merge(self, other: LatencyHistogram, /) -> None:
        """Record all that `other` recorded, after what this histogram did.

        The result is the one of recording the values of both here; only where `other` retained
        fewer values than this histogram would have do the percentiles stop being exact earlier.
        `other` is unchanged, and may be this very histogram.

        Raises
        ------
        TypeError
            `other` is not a histogram of the same implementation.
        OverflowError
            Together they would hold more than 2**62 values.
        """
        if not isinstance(other, LatencyHistogram):
            raise not_a_histogram(other)
        state = other._state()
        with self._lock:
            check_capacity(self._count, state.count)
            self._count += state.count
            for reason, number in zip(CLAMPS, state.clamped, strict=True):
                self._clamped[reason] += number
            if state.count:
                self._min = min(self._min, state.minimum)
                self._max = max(self._max, state.maximum)
            self._sums[_UNIT] += state.total
            self._squares[_UNIT] += state.squares
            for bucket, number in state.buckets.items():
                self._buckets[bucket] += number
            self._samples.extend(state.samples)

    def reset(self) -> None:
        """Forget every value."""
        with self._lock:
            self._restore(HistogramState.empty(self._exact))

    def copy(self) -> LatencyHistogram:
        """Return an independent histogram in the same state."""
        return LatencyHistogram._of(self._state())

    def to_bytes(self) -> bytes:
        """Return the versioned, checksummed binary form: equal for equal histograms."""
        return encode(self._state())

    @classmethod
    def from_bytes(cls, data: Buffer, /) -> Self:
        """Return the histogram that `to_bytes` turned into `data`.

        Raises
        ------
        TypeError
            `data` is not bytes-like.
        ValueError
            `data` is damaged, of an unknown version, or contradicts itself.
        """
        return cls._of(decode(data))

    def __eq__(self, other: object) -> bool:
        """Whether both have the same `exact`, statistics and retained values."""
        if not isinstance(other, LatencyHistogram):
            return NotImplemented
        return self._state() == other._state()

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        """Copy and pickle by way of `to_bytes`."""
        return type(self).from_bytes, (self.to_bytes(),)

    def __repr__(self) -> str:
        """Return the count and the main statistics."""
        return describe(self.summary())

    @classmethod
    def _of(cls, state: HistogramState) -> Self:
        histogram = cls(exact=state.exact)
        histogram._restore(state)
        return histogram

    def _extend(self, values: Iterable[float]) -> None:
        with self._lock:
            for value in values:
                seconds = value if 0.0 < value <= MAX_SECONDS else self._clamp(value)
                self._buckets[bucket_of(seconds)] += 1
                numerator, denominator = seconds.as_integer_ratio()
                self._sums[denominator] += numerator
                self._squares[denominator] += numerator * numerator
                self._min = min(self._min, seconds)
                self._max = max(self._max, seconds)
                self._samples.append(seconds)
                self._count += 1

    def _clamp(self, seconds: float) -> float:
        if seconds > 0.0:
            self._clamped["overflow"] += 1
            return MAX_SECONDS
        if seconds < 0.0:
            self._clamped["negative"] += 1
        elif seconds != 0.0:
            self._clamped["nan"] += 1
        return 0.0

    def _state(self) -> HistogramState:
        with self._lock:
            negative, nan, overflow = self._clamped.values()
            return HistogramState(
                self._exact,
                self._count,
                (negative, nan, overflow),
                self.min,
                self.max,
                scale(self._sums, 1),
                scale(self._squares, 2),
                dict(sorted(self._buckets.items())),
                tuple(self._samples),
            )

    def _restore(self, state: HistogramState) -> None:
        self._exact = state.exact
        self._count = state.count
        self._clamped = dict(zip(CLAMPS, state.clamped, strict=True))
        self._min = state.minimum if state.count else MAX_SECONDS
        self._max = state.maximum
        self._sums = defaultdict(int, {_UNIT: state.total})
        self._squares = defaultdict(int, {_UNIT: state.squares})
        self._buckets = defaultdict(int, state.buckets)
        self._samples = deque(state.samples, maxlen=state.exact)
