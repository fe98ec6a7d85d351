# cython: language_level=3, binding=False, embedsignature.format=clinic
"""A latency histogram with bounded memory, compiled.

Counts are int64 numpy arrays, one per octave of values that occurred; retained samples are a
float64 numpy ring. The histogram keeps no labels, no rates and no time windows: those belong to
its callers.

Locking. The GIL is the lock: an update, and a copy for a reader, runs from its first to its last
store without a Python call, an allocation or a release of the GIL. Storage is allocated before.
Bulk recording releases the GIL only while it fills a private histogram, merged afterwards. A lock
of its own would double the price of `record` and could be inherited locked over a fork; a
free-threaded interpreter turns the GIL on for a module that, like this one, does not declare that
it can do without. Methods are built-in descriptors (binding=False) because the interpreter calls
those fastest.
"""
cimport cython
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from clock cimport monotonic_ns
from exact_sum cimport SQUARE_WORDS, SUM_WORDS, load_words, store_words
from histogram_store cimport (
    OCTAVE_BITS, OCTAVE_SIZE, OCTAVES, READY, RING, Store, Totals, absorb, add, add_many, clear,
    is_exact, median_of, percentile_of, retain, ring_for, room_for, sample,
)

from functools import partial

from kaizen_nexus._common.latency_codec import HistogramState, decode, encode
from kaizen_nexus._common.latency_values import (
    CLAMPS,
    DEFAULT_EXACT,
    SUMMARY_PERCENTILES,
    as_exact,
    as_percentile,
    as_seconds,
    as_slice,
    check_capacity,
    describe,
    float64_view,
    mean_of,
    not_a_histogram,
    stddev_of,
    sum_of,
)
from kaizen_nexus._common.timed_blocks import (
    close_block,
    has_open_block,
    open_block,
    timed,
    unknown_operation,
)

__all__ = ["LatencyHistogram", "PerformanceMonitor"]

cdef enum:
    BATCH = 4096            # no more values than this are recorded without releasing the GIL

cdef extern from "Python.h":
    int PySlice_Unpack(object, Py_ssize_t *, Py_ssize_t *, Py_ssize_t *) except -1
    Py_ssize_t PySlice_AdjustIndices(
        Py_ssize_t, Py_ssize_t *, Py_ssize_t *, Py_ssize_t
    ) noexcept


cdef object integer(const uint64_t *words, int size):
    """Return the value of an accumulator."""
    cdef unsigned char data[8 * SQUARE_WORDS]
    store_words(data, words, size)
    return int.from_bytes(data[:8 * size], "little")


include "histogram_memory.pxi"


@cython.no_gc
cdef class LatencyHistogram(HistogramMemory):
    """Latencies in log-linear buckets: any percentile, mergeable, in constant memory.

    A value, in seconds, is counted by its whole nanoseconds: below 1,024 ns in a bucket of 1 ns,
    above in one of the 512 equal buckets of its octave, which the integer bit length selects. A
    bucket at or above 512 ns is therefore at most 1/512 of its lower edge wide, and its middle,
    which a percentile reports, is at most 1/1,024 (0.098 %) away from any value in it: the error
    is below 0.1 % from 1 us (an absolute 0.5 ns below that) to 24 h and far beyond. Octaves cost
    memory only once used; all 55 take 220 KiB.

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

    def __init__(self, *, exact=DEFAULT_EXACT):
        cdef Py_ssize_t retained = as_exact(exact)
        clear(&self._store)
        self._store.capacity = 0
        self._store.exact = retained

    @property
    def exact(self):
        """How many of the most recent values it may retain."""
        return self._store.exact

    @property
    def retained(self):
        """How many values are retained now."""
        return self._store.retained

    @property
    def count(self):
        """Number of recorded values, clamped ones included."""
        return self._store.totals.count

    @property
    def min(self):
        """The least recorded value, in seconds."""
        return self._store.totals.minimum if self._store.totals.count else 0.0

    @property
    def max(self):
        """The greatest recorded value, in seconds."""
        return self._store.totals.maximum

    @property
    def sum(self):
        """The sum of all recorded values, in seconds, correctly rounded."""
        return sum_of(integer(self._store.totals.sum, SUM_WORDS))

    @property
    def mean(self):
        """The arithmetic mean, in seconds, correctly rounded: that of `statistics.mean`."""
        cdef Totals totals = self._store.totals
        return mean_of(integer(totals.sum, SUM_WORDS), totals.count)

    @property
    def stddev(self):
        """The population standard deviation, in seconds, correctly rounded."""
        cdef Totals totals = self._store.totals
        return stddev_of(
            integer(totals.sum, SUM_WORDS), integer(totals.squares, SQUARE_WORDS), totals.count
        )

    @property
    def median(self):
        """The median, in seconds, averaging the two middle values of an even count."""
        cdef LatencyHistogram ranked = self._ranked()
        return median_of(&ranked._store)

    @property
    def clamped(self):
        """How many values were out of range, by reason.

        ``negative`` (recorded as 0), ``nan`` (recorded as 0), and ``overflow`` (above 2**33 s,
        infinity included, recorded as 2**33 s).
        """
        cdef Totals totals = self._store.totals
        return dict(zip(CLAMPS, totals.clamped))

    def record(self, seconds, /):
        """Record one value, in seconds; a value out of range is clamped and counted as such.

        Raises
        ------
        TypeError
            `seconds` is not a real number, or is a bool.
        """
        self._record(<double>seconds if type(seconds) is float else as_seconds(seconds))

    def record_many(self, values, /):
        """Record every value of a one-dimensional, contiguous float64 array, in seconds.

        Releases the GIL for long arrays.

        Raises
        ------
        TypeError
            `values` does not support the buffer protocol.
        ValueError
            Its dtype, shape or strides are others.
        """
        cdef const double[::1] view = float64_view(values)
        cdef Py_ssize_t size = view.shape[0]
        cdef Py_ssize_t done = 0
        cdef int missing = READY
        if size <= BATCH:
            for done in range(size):
                self._record(view[done])
            return
        cdef LatencyHistogram batch = self._like()
        while done < size:
            with nogil:
                done += add_many(&batch._store, &view[done], size - done, &missing)
            if missing != READY:
                batch._reserve_missing(missing)
        self._absorb(batch)

    def percentile(self, percentile, /):
        """Return the value, in seconds, below or at which `percentile` per cent of values are.

        It is the order statistic of the nearest rank, ``ceil(percentile / 100 * count)``, where
        0 gives the minimum: exact while every value is retained, else within 0.1 % of it.

        Raises
        ------
        TypeError, ValueError
            `percentile` is not a real number, or not within 0 to 100.
        """
        cdef double point = as_percentile(percentile)
        cdef LatencyHistogram ranked = self._ranked()
        return percentile_of(&ranked._store, point)

    def percentiles(self, percentiles, /):
        """Return the `percentile` for each of `percentiles`, all of the same instant."""
        cdef list points = [as_percentile(point) for point in percentiles]
        cdef LatencyHistogram ranked = self._ranked()
        return [percentile_of(&ranked._store, <double>point) for point in points]

    def summary(self):
        """Return the statistics of one instant, in seconds.

        Returns
        -------
        dict
            ``mean``, ``median``, ``min``, ``max``, ``count``, ``p50``, ``p90``, ``p95``, ``p99``,
            ``p999`` and ``stddev``; zeros when empty.
        """
        cdef LatencyHistogram ranked = self._ranked()
        cdef dict summary = {
            "mean": ranked.mean,
            "median": median_of(&ranked._store),
            "min": ranked.min,
            "max": ranked.max,
            "count": ranked.count,
        }
        for name, point in SUMMARY_PERCENTILES.items():
            summary[name] = percentile_of(&ranked._store, point)
        summary["stddev"] = ranked.stddev
        return summary

    def recent(self, start=0, stop=None, /):
        """Return the retained values, in seconds, oldest first.

        Parameters
        ----------
        start, stop
            A slice of them: ``recent(-1)`` is the last one alone.
        """
        cdef Py_ssize_t low, high, step, i
        PySlice_Unpack(as_slice(start, stop), &low, &high, &step)
        cdef list values = []
        PySlice_AdjustIndices(self._store.retained, &low, &high, step)
        for i in range(low, high):
            values.append(sample(&self._store, i))
        return values

    def merge(self, other, /):
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
        self._absorb((<LatencyHistogram>other).copy())

    def reset(self):
        """Forget every value."""
        clear(&self._store)

    def copy(self):
        """Return an independent histogram in the same state."""
        cdef LatencyHistogram duplicate = self._like()
        duplicate._absorb(self)
        return duplicate

    def to_bytes(self):
        """Return the versioned, checksummed binary form: equal for equal histograms."""
        cdef LatencyHistogram frozen = self.copy()
        cdef Totals totals = frozen._store.totals
        cdef int octave, i
        cdef dict buckets = {}
        for octave in range(OCTAVES):
            if frozen._store.octave_counts[octave]:
                for i in range(OCTAVE_SIZE):
                    if frozen._store.octaves[octave][i]:
                        buckets[octave << OCTAVE_BITS | i] = frozen._store.octaves[octave][i]
        return encode(
            HistogramState(
                frozen._store.exact,
                totals.count,
                tuple(totals.clamped),
                frozen.min,
                frozen.max,
                integer(totals.sum, SUM_WORDS),
                integer(totals.squares, SQUARE_WORDS),
                buckets,
                frozen.recent(),
            )
        )

    @classmethod
    def from_bytes(cls, data, /):
        """Return the histogram that `to_bytes` turned into `data`.

        Raises
        ------
        TypeError
            `data` is not bytes-like.
        ValueError
            `data` is damaged, of an unknown version, or contradicts itself.
        """
        state = decode(data)
        cdef LatencyHistogram histogram = cls(exact=state.exact)
        histogram._restore(state)
        return histogram

    def __eq__(self, other):
        """Whether both have the same `exact`, statistics and retained values."""
        if not isinstance(other, LatencyHistogram):
            return NotImplemented
        return self.to_bytes() == other.to_bytes()

    def __reduce__(self):
        """Copy and pickle by way of `to_bytes`."""
        return type(self).from_bytes, (self.to_bytes(),)

    def __repr__(self):
        """Return the count and the main statistics."""
        return describe(self.summary())

    cdef LatencyHistogram _like(self):
        """Return an empty histogram that retains as many samples."""
        cdef LatencyHistogram histogram = LatencyHistogram.__new__(LatencyHistogram)
        histogram._store.exact = self._store.exact
        return histogram

    cdef LatencyHistogram _ranked(self):
        """Return a copy that is ready for `order_statistic`."""
        cdef LatencyHistogram ranked = self._like()
        if not is_exact(&self._store):
            ranked._store.exact = 0     # its samples are of no use
        ranked._absorb(self)
        if is_exact(&ranked._store) and ranked._store.retained:
            ranked._samples[:ranked._store.retained].sort()
        return ranked


include "performance_monitor.pxi"
