"""A latency histogram with bounded memory: the pure-Python twin of the compiled class.

A histogram keeps no labels and no rates: those belong to its callers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaizen_nexus._common.latency_codec import HistogramState, decode, encode
from kaizen_nexus._common.latency_values import (
    DEFAULT_EXACT,
    MAX_COUNT,
    as_exact,
    as_seconds,
    float64_view,
    not_a_histogram,
    too_many_values,
)
from kaizen_nexus._fallback.histogram_block import state_of
from kaizen_nexus._fallback.histogram_difference import difference
from kaizen_nexus._fallback.histogram_memory import HistogramMemory
from kaizen_nexus._fallback.histogram_readings import HistogramReadings

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import SupportsFloat, SupportsIndex

    from typing_extensions import Buffer, Self

__all__ = ["LatencyHistogram"]

_BLOCK = 512


class LatencyHistogram(HistogramMemory, HistogramReadings):
    """Latencies in log-linear buckets: any percentile, mergeable, in constant memory.

    A value, in seconds, is counted by its whole nanoseconds: below 1,024 ns in a bucket of 1 ns,
    above in one of the 512 equal buckets of its octave, which the integer bit length selects. A
    bucket at or above 512 ns is therefore at most 1/512 of its lower edge wide, and its middle,
    which a percentile reports, is at most 1/1,024 (0.098 %) away from any value in it: the error
    is below 0.1 % from 1 us (an absolute 0.5 ns below that) to 24 h and far beyond. Buckets cost
    memory only once used.

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
    Thread-safe. Recording is O(1), amortised: values wait in a block of 512, which is counted as
    a whole when it is full or something is read. Percentiles depend on the buckets in use, not on
    `count`. An empty histogram reports zeros. The buckets are those of HdrHistogram (Tene, 2012),
    taken at 9 bits; the exact sums are the superaccumulators of Neal, "Fast exact summation using
    small and large superaccumulators" (2015), for values that are never negative.
    """

    def __init__(self, *, exact: SupportsIndex = DEFAULT_EXACT) -> None:
        super().__init__(as_exact(exact))

    @property
    def exact(self) -> int:
        """How many of the most recent values it may retain."""
        return self._exact

    @property
    def retained(self) -> int:
        """How many values are retained now."""
        return len(self._settled()._samples)

    @property
    def count(self) -> int:
        """Number of recorded values, clamped ones included."""
        return self._settled()._count

    def record(self, seconds: SupportsFloat | SupportsIndex, /) -> None:
        """Record one value, in seconds; a value out of range is clamped and counted as such.

        Raises
        ------
        TypeError
            `seconds` is not a real number, or is a bool.
        """
        self._waiting.append(seconds if type(seconds) is float else as_seconds(seconds))
        if len(self._waiting) >= _BLOCK:
            self._fold()

    def recorder(self) -> Callable[[SupportsFloat | SupportsIndex], None]:
        """Return a function that does what `record` does, to its argument `duration`."""
        waiting, fold = self._waiting, self._fold

        def record_duration(duration: SupportsFloat | SupportsIndex) -> None:
            waiting.append(duration if type(duration) is float else as_seconds(duration))
            if len(waiting) >= _BLOCK:
                fold()

        return record_duration

    def record_many(self, values: Buffer, /) -> None:
        """Record every value of a one-dimensional, contiguous float64 array, in seconds.

        The compiled form releases the GIL for long arrays.

        Raises
        ------
        TypeError
            `values` does not support the buffer protocol.
        ValueError
            Its dtype, shape or strides are others.
        """
        view = float64_view(values)
        with self._lock:
            self._fold()
            for start in range(0, len(view), _BLOCK):
                self._absorb(state_of(view[start : start + _BLOCK].tolist()))

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
            raise not_a_histogram(other, "merge")
        state = other._state()
        with self._lock:
            self._fold()
            if self._count + state.count > MAX_COUNT:
                raise too_many_values()
            self._absorb(state)

    def subtract(self, other: LatencyHistogram, /) -> None:
        """Take out all that `other`, an earlier copy of this histogram, had recorded.

        What is left is what was recorded since. Its count, sums, clamped values and buckets are
        exact. As many of the most recent samples stay retained as there are values left, and where
        those are all of them, every statistic is exact. Where not, `min` and `max` are the least
        and the greatest double that the outermost buckets in use can hold, or those from before if
        closer: at most 1/512 (0.2 %) from the true ones, and never above or below them.

        `other` may also be the histogram of some other part of these values, such as one that was
        merged into this. The samples then tell nothing about what is left, and if they do not fit
        it, none stays retained. `other` is unchanged, and may be this very histogram.

        Raises
        ------
        TypeError
            `other` is not a histogram of the same implementation.
        ValueError
            `other` holds something that this one does not, as after a reset; nothing is changed.
            Values that share a bucket are told apart by the sums alone.
        """
        if not isinstance(other, LatencyHistogram):
            raise not_a_histogram(other, "subtract")
        taken = other._state()
        with self._lock:
            self._fold()
            with self._uninterrupted():
                self._restore(difference(self._state(), taken))

    def reset(self) -> None:
        """Forget every value."""
        with self._lock:
            self._waiting.clear()
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

    __hash__ = None  # type: ignore[assignment]  # not hashable, since it changes

    def __copy__(self) -> Self:
        """Return an independent histogram of the same class in the same state."""
        return self._of(self._state())

    def __deepcopy__(self, memo: object, /) -> Self:
        """Return an independent histogram of the same class in the same state."""
        return self.__copy__()

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        """Pickle by way of `to_bytes`."""
        return type(self).from_bytes, (self.to_bytes(),)

    @classmethod
    def _of(cls, state: HistogramState) -> Self:
        histogram = cls(exact=state.exact)
        histogram._restore(state)
        return histogram

    def _settled(self) -> LatencyHistogram:
        self._fold()
        return self
