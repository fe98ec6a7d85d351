# cython: language_level=3, binding=False, embedsignature.format=clinic
"""Latency histograms with bounded memory, compiled, and what records into them.

Counts are int64 numpy arrays, one per octave of values that occurred; retained samples are a
float64 numpy ring. A histogram keeps no labels and no rates: those belong to its callers.

Locking. A histogram's own critical sections guard its memory: its lock where the interpreter has no
GIL, and nothing at all where it has one, since an update, and what a reader takes, runs from its
first to its last memory access without a Python call, an allocation of a container or a release of
the GIL. Storage is allocated before. A section is never entered within that of another histogram,
so none is suspended between two accesses, and none can be inherited locked over a fork. Bulk
recording releases the GIL only while it fills a private histogram, merged afterwards. Methods are
built-in descriptors (binding=False) because the interpreter calls those fastest.
"""
cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport INT64_MIN, int64_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from clock cimport monotonic_ns
from exact_sum cimport SQUARE_WORDS, SUM_WORDS, exceeds, load_words, store_words
from histogram_difference cimport subtract
from histogram_ranks cimport is_exact, median_of, percentile_of
from histogram_store cimport (
    BLOCK, NAN, NEGATIVE, OCTAVE_BITS, OCTAVE_SIZE, OCTAVES, OVERFLOW, READY, RING, Store, Totals,
    absorb, add_block, add_many, bucket_of, clear, count_of, fold, max_count, max_seconds,
    retain_from, retained_of, ring_for, room_for, sample,
)

from functools import partial
from sys import intern
from types import MappingProxyType

from kaizen_nexus._common.latency_codec import checked_body, invalid, sealed, sums_fit
from kaizen_nexus._common.latency_values import (
    CLAMPS,
    DEFAULT_EXACT,
    MAX_EXACT,
    OPERATIONS,
    RECORDERS,
    SUMMARY_PERCENTILES,
    as_exact,
    as_percentile,
    as_seconds,
    as_slice,
    describe,
    float64_view,
    mean_of,
    not_a_histogram,
    not_contained,
    stddev_of,
    sum_of,
    too_many_values,
)
from kaizen_nexus._common.sliding_histogram import SlidingWindow
from kaizen_nexus._common.timed_blocks import (
    close_block,
    has_open_block,
    not_entered,
    open_block,
    recorder_of,
    timed,
)

__all__ = ["LatencyHistogram", "LatencyRecorders", "PerformanceMonitor", "SlidingLatencyHistogram"]

cdef enum:
    SHORT = 4096            # no more values than this are recorded without releasing the GIL

cdef extern from "Python.h":
    int PySlice_Unpack(object, Py_ssize_t *, Py_ssize_t *, Py_ssize_t *) except -1
    Py_ssize_t PySlice_AdjustIndices(
        Py_ssize_t, Py_ssize_t *, Py_ssize_t *, Py_ssize_t
    ) noexcept


include "histogram_memory.pxi"
include "histogram_readings.pxi"
include "histogram_codec.pxi"


cdef inline double seconds_of(object seconds) except? -1.0:
    return <double>seconds if type(seconds) is float else as_seconds(seconds)


@cython.no_gc
cdef class LatencyHistogram(HistogramReadings):
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

    def __init__(self, *, exact=DEFAULT_EXACT):
        cdef Py_ssize_t retained = as_exact(exact)
        with cython.critical_section(self):
            clear(&self._store)
            self._store.capacity = 0
            self._store.exact = retained

    def record(self, seconds, /):
        """Record one value, in seconds; a value out of range is clamped and counted as such.

        Raises
        ------
        TypeError
            `seconds` is not a real number, or is a bool.
        """
        record_in(self, seconds_of(seconds))

    def record_many(self, values, /):
        """Record every value of a one-dimensional, contiguous float64 array, in seconds.

        The compiled form releases the GIL for long arrays.

        Raises
        ------
        TypeError
            `values` does not support the buffer protocol.
        ValueError
            Its dtype, shape or strides are others.
        """
        cdef const double[::1] view = float64_view(values)
        self._record_view(view)

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
            raise not_a_histogram(other, "merge")
        self._merge((<LatencyHistogram>other).copy())

    def subtract(self, other, /):
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
        cdef LatencyHistogram taken = (<LatencyHistogram>other).copy()
        cdef LatencyHistogram rehearsal = self.copy()
        if not (
            subtract(&rehearsal._store, &taken._store)
            and clamped_are_in_buckets(&rehearsal._store)
            and sums_are_plausible(&rehearsal._store.totals)
        ):
            raise not_contained()
        # More may have been recorded meanwhile. It is left, too; but a reset may have intervened.
        with cython.critical_section(self):
            self._fold()
            if not subtract(&self._store, &taken._store):
                raise not_contained()

    def reset(self):
        """Forget every value."""
        with cython.critical_section(self):
            clear(&self._store)

    def copy(self):
        """Return an independent histogram in the same state."""
        cdef LatencyHistogram duplicate = self._like()
        with cython.critical_section(self):
            duplicate._absorb(self)
        return duplicate

    def to_bytes(self):
        """Return the versioned, checksummed binary form: equal for equal histograms."""
        return sealed(pack(self.copy()))

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
        cdef LatencyHistogram parsed = LatencyHistogram.__new__(LatencyHistogram)
        cdef const unsigned char[::1] body = checked_body(data)
        reason = parse(parsed, &body[0], body.shape[0])
        if reason is not None:
            raise invalid(reason)
        if cls is LatencyHistogram:
            return parsed
        cdef LatencyHistogram histogram = cls(exact=parsed._store.exact)
        histogram._merge(parsed)
        return histogram

    def __eq__(self, other):
        """Whether both have the same `exact`, statistics and retained values."""
        if not isinstance(other, LatencyHistogram):
            return NotImplemented
        cdef LatencyHistogram one = self.copy()
        cdef LatencyHistogram another = (<LatencyHistogram>other).copy()
        return same_contents(&one._store, &another._store)

    def __copy__(self):
        """Return an independent histogram of the same class in the same state."""
        cdef LatencyHistogram duplicate = type(self)(exact=self._store.exact)
        duplicate._merge(self.copy())
        return duplicate

    def __deepcopy__(self, memo, /):
        """Return an independent histogram of the same class in the same state."""
        return self.__copy__()

    def __reduce__(self):
        """Pickle by way of `to_bytes`."""
        return type(self).from_bytes, (self.to_bytes(),)

    cdef LatencyHistogram _like(self):
        """Return an empty histogram that retains as many samples."""
        cdef LatencyHistogram histogram = LatencyHistogram.__new__(LatencyHistogram)
        histogram._store.exact = self._store.exact
        return histogram

    cdef int _record_view(self, const double[::1] values) except -1:
        if values.shape[0] > BLOCK:
            self._merge(self._counted(values))
        elif values.shape[0]:
            with cython.critical_section(self):
                self._record_block(&values[0], values.shape[0])
        return 0

    cdef int _merge(self, LatencyHistogram other) except -1:
        """Record what `other`, which is private, has recorded."""
        with cython.critical_section(self):
            self._absorb(other)
        return 0

    cdef LatencyHistogram _counted(self, const double[::1] values):
        """Return a histogram of many values, counted without the GIL if that takes long."""
        cdef LatencyHistogram batch = self._like()
        cdef Py_ssize_t size = values.shape[0]
        cdef Py_ssize_t done = 0
        cdef int missing = READY
        while done < size:
            if size > SHORT:
                with nogil:
                    done += add_many(&batch._store, &values[done], size - done, &missing)
            else:
                done += add_many(&batch._store, &values[done], size - done, &missing)
            if missing != READY:
                batch._reserve_missing(missing, size - done)
        return batch


include "latency_recorders.pxi"
include "performance_monitor.pxi"


class SlidingLatencyHistogram(SlidingWindow):
    _histogram = LatencyHistogram
