"""Taking out of a histogram's store what another has recorded; both blocks have been folded."""

from libc.math cimport INFINITY, nextafter
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from exact_sum cimport SQUARE_WORDS, SUM_WORDS, add_moments, exceeds, subtract_words
from histogram_ranks cimport is_exact
from histogram_store cimport (
    CLAMPS, OCTAVE_BITS, OCTAVE_SIZE, OCTAVES, Store, Totals, bucket_of, clear, sample,
)


cdef inline double least_of(int bucket) noexcept nogil:
    """Return the least double that belongs to a bucket or, for one past the last, to none."""
    cdef int shift = max(bucket >> OCTAVE_BITS, 1) - 1
    cdef int64_t edge = <int64_t>(bucket - (shift << OCTAVE_BITS)) << shift
    cdef double seconds = <double>edge / 1e9
    # The quotient and the product that `bucket_of` forms of it are rounded: some steps may miss.
    while bucket_of(seconds) < bucket:
        seconds = nextafter(seconds, INFINITY)
    while seconds > 0.0 and bucket_of(nextafter(seconds, 0.0)) == bucket:
        seconds = nextafter(seconds, 0.0)
    return seconds


cdef inline bint contains(const Store *store, const Store *other) noexcept nogil:
    """Whether no bucket and no count of clamped values of `other` is the greater one."""
    cdef int octave, i
    for i in range(CLAMPS):
        if store.totals.clamped[i] < other.totals.clamped[i]:
            return False
    for octave in range(OCTAVES):
        if store.octave_counts[octave] < other.octave_counts[octave]:
            return False
        if other.octave_counts[octave]:
            for i in range(OCTAVE_SIZE):
                if store.octaves[octave][i] < other.octaves[octave][i]:
                    return False
    return True


cdef inline int64_t *counter_of(Store *store, double seconds) noexcept nogil:
    cdef int bucket = bucket_of(seconds)
    return &store.octaves[bucket >> OCTAVE_BITS][bucket & (OCTAVE_SIZE - 1)]


cdef inline bint holds_samples(Store *store) noexcept nogil:
    """Whether the retained samples can be among the values that buckets and sums stand for."""
    cdef Py_ssize_t tried = 0
    cdef Py_ssize_t i
    cdef bint fits = True
    cdef uint64_t total[SUM_WORDS]
    cdef uint64_t squares[SQUARE_WORDS]
    memset(total, 0, sizeof(total))
    memset(squares, 0, sizeof(squares))
    while fits and tried < store.retained:
        counter_of(store, sample(store, tried))[0] -= 1
        fits = counter_of(store, sample(store, tried))[0] >= 0
        add_moments(total, squares, sample(store, tried))
        tried += 1
    for i in range(tried):
        counter_of(store, sample(store, i))[0] += 1
    if not fits or exceeds(total, store.totals.sum, SUM_WORDS):
        return False
    if exceeds(squares, store.totals.squares, SQUARE_WORDS):
        return False
    return not is_exact(store) or not (
        exceeds(store.totals.sum, total, SUM_WORDS)
        or exceeds(store.totals.squares, squares, SQUARE_WORDS)
    )


cdef inline void keep_newest(Store *store) noexcept nogil:
    """Retain no more samples than there are values, and none that are not among them."""
    store.retained = <Py_ssize_t>min(<int64_t>store.retained, store.totals.count)
    if not holds_samples(store):
        store.retained = store.next = 0
    elif store.retained and store.capacity < store.exact:   # a ring that may grow starts at 0
        memmove(
            store.ring, store.ring + (store.next - store.retained),
            store.retained * sizeof(double),
        )
        store.next = store.retained


cdef inline void narrow_extremes(Store *store) noexcept nogil:
    """Set minimum and maximum to those of the samples, or to bounds of the outermost buckets."""
    cdef int octave = 0
    cdef int bucket = 0
    cdef Py_ssize_t i
    cdef double seconds
    if is_exact(store):
        store.totals.minimum = store.totals.maximum = sample(store, 0)
        for i in range(1, store.retained):
            seconds = sample(store, i)
            store.totals.minimum = min(store.totals.minimum, seconds)
            store.totals.maximum = max(store.totals.maximum, seconds)
        return
    while store.octave_counts[octave] == 0:
        octave += 1
    while store.octaves[octave][bucket] == 0:
        bucket += 1
    seconds = least_of(octave << OCTAVE_BITS | bucket)
    store.totals.minimum = max(store.totals.minimum, seconds)
    octave = OCTAVES - 1
    bucket = OCTAVE_SIZE - 1
    while store.octave_counts[octave] == 0:
        octave -= 1
    while store.octaves[octave][bucket] == 0:
        bucket -= 1
    seconds = nextafter(least_of((octave << OCTAVE_BITS | bucket) + 1), 0.0)
    store.totals.maximum = min(store.totals.maximum, seconds)


cdef inline bint is_nothing(const Totals *totals) noexcept nogil:
    """Whether sums and clamped values are those of no values."""
    cdef int i
    for i in range(CLAMPS):
        if totals.clamped[i]:
            return False
    for i in range(SUM_WORDS):
        if totals.sum[i]:
            return False
    for i in range(SQUARE_WORDS):
        if totals.squares[i]:
            return False
    return True


cdef inline bint subtract(Store *store, const Store *other) noexcept nogil:
    """Take out what `other` recorded and return True; or return False, and change nothing."""
    cdef Totals left
    cdef int octave, i
    memcpy(&left, &store.totals, sizeof(Totals))
    if not contains(store, other):
        return False
    if subtract_words(left.sum, other.totals.sum, SUM_WORDS):
        return False
    if subtract_words(left.squares, other.totals.squares, SQUARE_WORDS):
        return False
    left.count -= other.totals.count
    for i in range(CLAMPS):
        left.clamped[i] -= other.totals.clamped[i]
    if left.count == 0 and not is_nothing(&left):
        return False
    for octave in range(OCTAVES):
        if other.octave_counts[octave]:
            store.octave_counts[octave] -= other.octave_counts[octave]
            for i in range(OCTAVE_SIZE):
                store.octaves[octave][i] -= other.octaves[octave][i]
    memcpy(&store.totals, &left, sizeof(Totals))
    if left.count:
        keep_newest(store)
        narrow_extremes(store)
    else:
        clear(store)
    return True
