"""The memory of a latency histogram, and all that is done to it without the GIL or Python.

The owner allocates: `add` and `room_for` say what is missing, and nothing is changed before it is
there. Every operation thus runs to its end in one go.
"""

from libc.math cimport ceil
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memset

from exact_sum cimport SQUARE_WORDS, SUM_WORDS, add_moments, add_words

cdef enum:
    OCTAVES = 55                # the whole nanoseconds below 512, then bit lengths 10 to 63
    OCTAVE_BITS = 9
    OCTAVE_SIZE = 512
    # What a double's exponent and upper 9 bits of mantissa, as one number, exceed its bucket by.
    EXPONENT_BIAS = (1023 + OCTAVE_BITS - 1) << OCTAVE_BITS
    READY = -1                  # nothing is missing
    RING = OCTAVES              # a longer ring is missing; smaller numbers name an octave
    CLAMPS = 3


cdef enum Clamp:
    NEGATIVE, NAN, OVERFLOW


cdef struct Totals:
    int64_t count
    int64_t clamped[CLAMPS]
    double minimum
    double maximum
    uint64_t sum[SUM_WORDS]
    uint64_t squares[SQUARE_WORDS]


cdef struct Store:
    Totals totals
    int64_t octave_counts[OCTAVES]
    int64_t *octaves[OCTAVES]   # NULL until needed
    double *ring
    Py_ssize_t exact            # what the ring may grow to
    Py_ssize_t capacity         # what it has grown to
    Py_ssize_t retained
    Py_ssize_t next             # where the next sample goes


cdef inline double max_seconds() noexcept nogil:
    return 8589934592.0


cdef inline int bucket_of(double seconds) noexcept nogil:
    """Return the bucket of a value within 0 and `max_seconds`.

    The bit length of the whole nanoseconds, and the bits after the leading one, are the exponent
    and the upper mantissa of the same number as a double: no logarithm is involved.
    """
    cdef double nanoseconds = seconds * 1e9
    cdef uint64_t bits
    if nanoseconds < OCTAVE_SIZE:
        return <int>nanoseconds
    memcpy(&bits, &nanoseconds, sizeof(bits))
    return <int>(bits >> (52 - OCTAVE_BITS)) - EXPONENT_BIAS


cdef inline double bucket_midpoint(int bucket) noexcept nogil:
    """Return the middle of a bucket, in seconds."""
    cdef int octave = bucket >> OCTAVE_BITS
    cdef int shift = octave - 1 if octave else 0
    cdef int64_t width = <int64_t>1 << shift
    cdef int64_t low = (bucket - (shift << OCTAVE_BITS)) * width
    return (<double>low + 0.5 * <double>width) / 1e9


cdef inline void clear(Store *store) noexcept nogil:
    """Forget every value, but keep the memory."""
    cdef int octave
    for octave in range(OCTAVES):
        if store.octaves[octave] is not NULL:
            memset(store.octaves[octave], 0, OCTAVE_SIZE * sizeof(int64_t))
    memset(store.octave_counts, 0, sizeof(store.octave_counts))
    memset(&store.totals, 0, sizeof(Totals))
    store.totals.minimum = max_seconds()
    store.retained = store.next = 0


cdef inline void retain(Store *store, double seconds) noexcept nogil:
    """Put a sample into the ring, which has room for it or is full for good."""
    if store.capacity == 0:
        return
    store.ring[store.next] = seconds
    store.next += 1
    if store.next == store.exact:
        store.next = 0
    if store.retained < store.capacity:
        store.retained += 1


cdef inline double sample(const Store *store, Py_ssize_t index) noexcept nogil:
    """Return a retained sample, 0 being the oldest."""
    cdef Py_ssize_t position = store.next - store.retained + index
    return store.ring[position if position >= 0 else position + store.exact]


cdef inline int add(Store *store, double seconds) noexcept nogil:
    """Record a value and return `READY`, or do nothing and return what is missing."""
    cdef int clamp = CLAMPS
    if not 0.0 < seconds <= max_seconds():
        if seconds > 0.0:
            clamp = OVERFLOW
        elif seconds < 0.0:
            clamp = NEGATIVE
        elif seconds != 0.0:
            clamp = NAN
        seconds = max_seconds() if clamp == OVERFLOW else 0.0   # which also makes -0.0 0.0
    cdef int bucket = bucket_of(seconds)
    cdef int octave = bucket >> OCTAVE_BITS
    if store.octaves[octave] is NULL:
        return octave
    if store.retained == store.capacity and store.capacity < store.exact:
        return RING
    if clamp != CLAMPS:
        store.totals.clamped[clamp] += 1
    store.octaves[octave][bucket & (OCTAVE_SIZE - 1)] += 1
    store.octave_counts[octave] += 1
    store.totals.count += 1
    if seconds < store.totals.minimum:
        store.totals.minimum = seconds
    if seconds > store.totals.maximum:
        store.totals.maximum = seconds
    add_moments(store.totals.sum, store.totals.squares, seconds)
    retain(store, seconds)
    return READY


cdef inline Py_ssize_t add_many(
    Store *store, const double *values, Py_ssize_t size, int *missing
) noexcept nogil:
    """Record values until something is missing; return how many."""
    cdef Py_ssize_t i
    missing[0] = READY
    for i in range(size):
        missing[0] = add(store, values[i])
        if missing[0] != READY:
            return i
    return size


cdef inline Py_ssize_t ring_for(const Store *store, const Store *other) noexcept nogil:
    """Return the capacity that the ring needs to absorb `other`."""
    return min(store.exact, store.retained + other.retained)


cdef inline int room_for(const Store *store, const Store *other) noexcept nogil:
    """Return `READY` if `other` can be absorbed, or what is missing."""
    cdef int octave
    for octave in range(OCTAVES):
        if other.octave_counts[octave] and store.octaves[octave] is NULL:
            return octave
    return READY if ring_for(store, other) <= store.capacity else RING


cdef inline void absorb(Store *store, const Store *other) noexcept nogil:
    """Record what `other`, which is not `store` and for which there is room, has recorded."""
    cdef int octave, i
    cdef Py_ssize_t index
    for octave in range(OCTAVES):
        if other.octave_counts[octave]:
            store.octave_counts[octave] += other.octave_counts[octave]
            for i in range(OCTAVE_SIZE):
                store.octaves[octave][i] += other.octaves[octave][i]
    store.totals.count += other.totals.count
    for i in range(CLAMPS):
        store.totals.clamped[i] += other.totals.clamped[i]
    store.totals.minimum = min(store.totals.minimum, other.totals.minimum)
    store.totals.maximum = max(store.totals.maximum, other.totals.maximum)
    add_words(store.totals.sum, other.totals.sum, SUM_WORDS)
    add_words(store.totals.squares, other.totals.squares, SQUARE_WORDS)
    for index in range(other.retained):
        retain(store, sample(other, index))


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
