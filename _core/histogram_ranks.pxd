"""Order statistics of a histogram's store whose block has been folded."""

from libc.math cimport ceil
from libc.stdint cimport int64_t

from histogram_store cimport OCTAVE_BITS, Store, bucket_midpoint


cdef inline bint is_exact(const Store *store) noexcept nogil:
    """Whether every recorded value is still retained."""
    return store.retained == store.totals.count


cdef inline double order_statistic(const Store *store, int64_t rank) noexcept nogil:
    """Return the value of a 1-based rank; the ring, if it is exact, has been sorted."""
    cdef int octave = 0
    cdef int i = 0
    if is_exact(store):
        return store.ring[rank - 1]
    if rank == 1:
        return store.totals.minimum
    if rank == store.totals.count:
        return store.totals.maximum
    while rank > store.octave_counts[octave]:
        rank -= store.octave_counts[octave]
        octave += 1
    while rank > store.octaves[octave][i]:
        rank -= store.octaves[octave][i]
        i += 1
    cdef double middle = bucket_midpoint(octave << OCTAVE_BITS | i)
    return min(max(middle, store.totals.minimum), store.totals.maximum)


cdef inline double percentile_of(const Store *store, double percentile) noexcept nogil:
    """Return the value of the nearest rank, ``ceil(percentile / 100 * count)``.

    In doubles 99.9 % of 1,000 is a hair above 999: a product that exceeds an integer by no more
    than such rounding counts as that integer.
    """
    cdef int64_t count = store.totals.count
    if count == 0:
        return 0.0
    cdef double product = percentile * <double>count / 100.0 * (1.0 - 1.0 / (<int64_t>1 << 51))
    return order_statistic(store, min(max(<int64_t>ceil(product), 1), count))


cdef inline double median_of(const Store *store) noexcept nogil:
    """Return the middle value, or the mean of the two."""
    cdef int64_t half = store.totals.count >> 1
    if store.totals.count & 1:
        return order_statistic(store, half + 1)
    if half == 0:
        return 0.0
    return (order_statistic(store, half) + order_statistic(store, half + 1)) / 2.0
