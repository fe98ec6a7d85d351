"""The memory of a latency histogram, and how values enter it, without the GIL or Python.

The owner allocates: `fold`, `add_block` and `room_for` say what is missing, and nothing is changed
before it is there. Every operation thus runs to its end in one go.

A recorded value first waits in a block, as it came. Counting a whole block at a time, in passes
over short arrays, costs a fraction of counting each value on its own; all but `count` and the
number of retained samples must be read from a store whose block has been folded.
"""

from libc.stdint cimport int64_t, uint16_t, uint64_t
from libc.string cimport memcpy, memset

from exact_sum cimport (
    SQUARE_WORDS, SUM_WORDS, Moments, add_moments, add_words, clear_moments, gather, spill,
)

cdef enum:
    OCTAVES = 55                # the whole nanoseconds below 512, then bit lengths 10 to 63
    OCTAVE_BITS = 9
    OCTAVE_SIZE = 512
    # What a double's exponent and upper 9 bits of mantissa, as one number, exceed its bucket by.
    EXPONENT_BIAS = (1023 + OCTAVE_BITS - 1) << OCTAVE_BITS
    READY = -1                  # nothing is missing
    RING = OCTAVES              # a longer ring is missing; smaller numbers name an octave
    CLAMPS = 3                  # reasons why a value is clamped
    NEGATIVE = 0
    NAN = 1
    OVERFLOW = 2
    BLOCK = 512                 # at most MOMENTS_LIMIT


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
    Py_ssize_t capacity         # what it has grown to; until that is `exact`, it has not wrapped
    Py_ssize_t retained
    Py_ssize_t next             # where the next sample goes
    Py_ssize_t waiting          # values in the block, which are in nothing else yet
    double block[BLOCK]


cdef inline double max_seconds() noexcept nogil:
    return 8589934592.0


cdef inline int64_t max_count() noexcept nogil:
    return <int64_t>1 << 62


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


cdef inline int64_t count_of(const Store *store) noexcept nogil:
    """Return the number of recorded values, those that wait included."""
    return store.totals.count + store.waiting


cdef inline Py_ssize_t retained_of(const Store *store) noexcept nogil:
    """Return the number of retained samples, those that wait included."""
    return min(store.exact, store.retained + store.waiting)


cdef inline void clear(Store *store) noexcept nogil:
    """Forget every value, but keep the memory."""
    cdef int octave
    for octave in range(OCTAVES):
        if store.octave_counts[octave]:
            memset(store.octaves[octave], 0, OCTAVE_SIZE * sizeof(int64_t))
    memset(store.octave_counts, 0, sizeof(store.octave_counts))
    memset(&store.totals, 0, sizeof(Totals))
    store.totals.minimum = max_seconds()
    store.retained = store.next = store.waiting = 0


cdef inline void retain(Store *store, const double *seconds, Py_ssize_t size) noexcept nogil:
    """Put samples into the ring, which has room for them or is as long as it may be."""
    cdef Py_ssize_t part
    if size > store.exact:      # the last ones alone would remain
        seconds += size - store.exact
        size = store.exact
    store.retained = min(store.retained + size, store.exact)
    while size:
        part = min(size, store.capacity - store.next)
        memcpy(store.ring + store.next, seconds, part * sizeof(double))
        seconds += part
        size -= part
        store.next += part
        if store.next == store.exact:
            store.next = 0


cdef inline double sample(const Store *store, Py_ssize_t index) noexcept nogil:
    """Return a retained sample, 0 being the oldest."""
    cdef Py_ssize_t position = store.next - store.retained + index
    return store.ring[position if position >= 0 else position + store.exact]


cdef inline Py_ssize_t ring_for(const Store *store, Py_ssize_t more) noexcept nogil:
    """Return the capacity that the ring needs to retain so many more samples."""
    return min(store.exact, store.retained + more)


cdef inline double clamp(double seconds, int64_t *clamped) noexcept nogil:
    """Return what stands for a value that is not within 0, exclusive, and `max_seconds`."""
    if seconds > 0.0:
        clamped[OVERFLOW] += 1
        return max_seconds()
    if seconds < 0.0:
        clamped[NEGATIVE] += 1
    elif seconds != 0.0:
        clamped[NAN] += 1
    return 0.0          # for -0.0, too


cdef inline void add_sums(Totals *totals, const double *seconds, Py_ssize_t size) noexcept nogil:
    """Add up to `BLOCK` values to the sums."""
    cdef Moments moments
    cdef Py_ssize_t i
    clear_moments(&moments)
    for i in range(size):
        if not gather(&moments, seconds[i]):
            add_moments(totals.sum, totals.squares, seconds[i])
    spill(&moments, totals.sum, totals.squares)


cdef inline int add_block(Store *store, const double *values, Py_ssize_t size) noexcept nogil:
    """Count up to `BLOCK` values and return `READY`, or do nothing and return what is missing."""
    cdef double seconds[BLOCK]
    cdef uint16_t buckets[BLOCK]
    cdef int64_t clamped[CLAMPS]
    cdef double minimum = store.totals.minimum
    cdef double maximum = store.totals.maximum
    cdef double value
    cdef int bucket
    cdef Py_ssize_t i
    memset(clamped, 0, sizeof(clamped))
    for i in range(size):
        value = values[i]
        if not 0.0 < value <= max_seconds():
            value = clamp(value, clamped)
        bucket = bucket_of(value)
        if store.octaves[bucket >> OCTAVE_BITS] is NULL:
            return bucket >> OCTAVE_BITS
        buckets[i] = <uint16_t>bucket
        seconds[i] = value
        minimum = value if value < minimum else minimum
        maximum = value if value > maximum else maximum
    if store.capacity < ring_for(store, size):
        return RING
    for i in range(size):
        store.octaves[buckets[i] >> OCTAVE_BITS][buckets[i] & (OCTAVE_SIZE - 1)] += 1
        store.octave_counts[buckets[i] >> OCTAVE_BITS] += 1
    store.totals.count += size
    for i in range(CLAMPS):
        store.totals.clamped[i] += clamped[i]
    store.totals.minimum = minimum
    store.totals.maximum = maximum
    add_sums(&store.totals, seconds, size)
    retain(store, seconds, size)
    return READY


cdef inline int fold(Store *store) noexcept nogil:
    """Count the values that wait and return `READY`, or do nothing and return what is missing."""
    cdef int missing = READY
    if store.waiting:
        missing = add_block(store, store.block, store.waiting)
        if missing == READY:
            store.waiting = 0
    return missing


cdef inline Py_ssize_t add_many(
    Store *store, const double *values, Py_ssize_t size, int *missing
) noexcept nogil:
    """Count values until something is missing; return how many."""
    cdef Py_ssize_t done = 0
    cdef Py_ssize_t part
    missing[0] = READY
    while done < size:
        part = min(size - done, BLOCK)
        missing[0] = add_block(store, values + done, part)
        if missing[0] != READY:
            break
        done += part
    return done


cdef inline int room_for(const Store *store, const Store *other) noexcept nogil:
    """Return `READY` if `other` can be absorbed, or what is missing."""
    cdef int octave
    for octave in range(OCTAVES):
        if other.octave_counts[octave] and store.octaves[octave] is NULL:
            return octave
    return READY if ring_for(store, other.retained) <= store.capacity else RING


cdef inline void retain_from(Store *store, const Store *other) noexcept nogil:
    """Put the samples of `other`, for which there is room, into the ring."""
    # They are in at most two parts: one that ends where the ring wraps, and one from there on.
    cdef Py_ssize_t wrapped = max(other.retained - other.next, 0)
    cdef Py_ssize_t rest = other.retained - wrapped
    if wrapped:
        retain(store, other.ring + (other.exact - wrapped), wrapped)
    if rest:
        retain(store, other.ring + (other.next - rest), rest)


cdef inline void absorb(Store *store, const Store *other) noexcept nogil:
    """Record what `other`, which is not `store` and for which there is room, has recorded."""
    cdef int octave, i
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
    retain_from(store, other)
