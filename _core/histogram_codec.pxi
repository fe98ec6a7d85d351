"""The binary form of a histogram, which latency_codec.py describes; part of latency_histogram.pyx.

What is packed, parsed or compared here is private to the caller.
"""

cdef enum:
    AT_EXACT = 5            # where the fields of the header begin
    AT_COUNT = 9
    AT_CLAMPED = 17
    AT_MINIMUM = 41
    AT_MAXIMUM = 49
    AT_SUM = 57
    AT_SQUARES = 209
    AT_BUCKETS = 497
    CLAMP_REASONS = 3
    VERSION = 1


# Byte by byte, whatever the machine's order; compilers make one access of eight in a row.

cdef inline uint64_t read_short(const unsigned char *data) noexcept nogil:
    return <uint64_t>data[0] | <uint64_t>data[1] << 8


cdef inline uint64_t read_int(const unsigned char *data) noexcept nogil:
    return read_short(data) | read_short(data + 2) << 16


cdef inline uint64_t read_word(const unsigned char *data) noexcept nogil:
    return (
        <uint64_t>data[0] | <uint64_t>data[1] << 8 | <uint64_t>data[2] << 16
        | <uint64_t>data[3] << 24 | <uint64_t>data[4] << 32 | <uint64_t>data[5] << 40
        | <uint64_t>data[6] << 48 | <uint64_t>data[7] << 56
    )


cdef inline unsigned char *write_short(unsigned char *data, uint64_t word) noexcept nogil:
    """Write a number and return where it ends."""
    data[0] = <unsigned char>word
    data[1] = <unsigned char>(word >> 8)
    return data + 2


cdef inline unsigned char *write_int(unsigned char *data, uint64_t word) noexcept nogil:
    return write_short(write_short(data, word), word >> 16)


cdef inline unsigned char *write_word(unsigned char *data, uint64_t word) noexcept nogil:
    data[0] = <unsigned char>word
    data[1] = <unsigned char>(word >> 8)
    data[2] = <unsigned char>(word >> 16)
    data[3] = <unsigned char>(word >> 24)
    data[4] = <unsigned char>(word >> 32)
    data[5] = <unsigned char>(word >> 40)
    data[6] = <unsigned char>(word >> 48)
    data[7] = <unsigned char>(word >> 56)
    return data + 8


cdef inline double read_double(const unsigned char *data) noexcept nogil:
    cdef uint64_t bits = read_word(data)
    cdef double value
    memcpy(&value, &bits, sizeof(value))
    return value


cdef inline unsigned char *write_double(unsigned char *data, double value) noexcept nogil:
    cdef uint64_t bits
    memcpy(&bits, &value, sizeof(bits))
    return write_word(data, bits)


cdef inline bint in_range(double value) noexcept nogil:
    """Whether a histogram may hold this value; neither NaN nor -0.0 is in range."""
    cdef uint64_t bits
    memcpy(&bits, &value, sizeof(bits))
    return 0.0 <= value <= max_seconds() and not bits >> 63


cdef inline int64_t in_bucket(const Store *store, int bucket) noexcept nogil:
    cdef const int64_t *octave = store.octaves[bucket >> OCTAVE_BITS]
    return 0 if octave is NULL else octave[bucket & (OCTAVE_SIZE - 1)]


cdef inline bint clamped_are_in_buckets(const Store *store) noexcept nogil:
    cdef const int64_t *clamped = store.totals.clamped
    return (
        clamped[NEGATIVE] + clamped[NAN] <= in_bucket(store, 0)
        and clamped[OVERFLOW] <= in_bucket(store, bucket_of(max_seconds()))
    )


cdef bint sums_are_plausible(const Totals *totals) except -1:
    return sums_fit(
        totals.count, totals.minimum if totals.count else 0.0, totals.maximum,
        integer(totals.sum, SUM_WORDS), integer(totals.squares, SQUARE_WORDS),
    )


cdef inline bint same_values(const Totals *one, const Totals *other) noexcept nogil:
    """Whether extremes and sums are equal."""
    return (
        one.minimum == other.minimum and one.maximum == other.maximum
        and memcmp(one.sum, other.sum, sizeof(one.sum)) == 0
        and memcmp(one.squares, other.squares, sizeof(one.squares)) == 0
    )


cdef inline bint same_contents(const Store *one, const Store *other) noexcept nogil:
    cdef int octave
    cdef Py_ssize_t i
    if one.exact != other.exact or one.retained != other.retained:
        return False
    if memcmp(&one.totals, &other.totals, sizeof(Totals)):
        return False
    for octave in range(OCTAVES):
        if one.octave_counts[octave] != other.octave_counts[octave]:
            return False
        if one.octave_counts[octave] and memcmp(
            one.octaves[octave], other.octaves[octave], OCTAVE_SIZE * sizeof(int64_t)
        ):
            return False
    for i in range(one.retained):
        if sample(one, i) != sample(other, i):
            return False
    return True


cdef bytes pack(HistogramMemory histogram):
    """Return the binary form of a histogram that has been folded, but for its checksum."""
    cdef Store *store = &histogram._store
    cdef Totals *totals = &store.totals
    cdef Py_ssize_t buckets = 0
    cdef Py_ssize_t i
    cdef int octave
    cdef unsigned char *numbers
    cdef unsigned char *counts
    for octave in range(OCTAVES):
        if store.octave_counts[octave]:
            for i in range(OCTAVE_SIZE):
                buckets += store.octaves[octave][i] != 0
    cdef bytes data = PyBytes_FromStringAndSize(
        NULL, AT_BUCKETS + 4 + 10 * buckets + 4 + 8 * store.retained
    )
    cdef unsigned char *at = <unsigned char *><char *>data
    memcpy(at, b"KNLH", 4)
    at[4] = VERSION
    write_int(at + AT_EXACT, store.exact)
    write_word(at + AT_COUNT, totals.count)
    for i in range(CLAMP_REASONS):
        write_word(at + AT_CLAMPED + 8 * i, totals.clamped[i])
    write_double(at + AT_MINIMUM, totals.minimum if totals.count else 0.0)
    write_double(at + AT_MAXIMUM, totals.maximum)
    store_words(at + AT_SUM, totals.sum, SUM_WORDS)
    store_words(at + AT_SQUARES, totals.squares, SQUARE_WORDS)
    numbers = write_int(at + AT_BUCKETS, buckets)
    counts = numbers + 2 * buckets
    for octave in range(OCTAVES):
        if store.octave_counts[octave]:
            for i in range(OCTAVE_SIZE):
                if store.octaves[octave][i]:
                    numbers = write_short(numbers, octave << OCTAVE_BITS | i)
                    counts = write_word(counts, store.octaves[octave][i])
    at = write_int(counts, store.retained)
    for i in range(store.retained):
        at = write_double(at, sample(store, i))
    return data


cdef inline bint covers(const int64_t *counts, const int64_t *others) noexcept nogil:
    """Whether no count of an octave is below the other one; NULL stands for zeros."""
    cdef int missing = 0
    cdef int i
    if counts is NULL:
        return False
    for i in range(OCTAVE_SIZE):
        missing |= counts[i] < others[i]
    return not missing


cdef bint read_samples(HistogramMemory held, const unsigned char *data, Py_ssize_t size) except -1:
    """Record samples; return false if one is out of range."""
    cdef double block[BLOCK]
    cdef Py_ssize_t part, i
    while size:
        part = min(size, <Py_ssize_t>BLOCK)
        for i in range(part):
            block[i] = read_double(data + 8 * i)
            if not in_range(block[i]):
                return False
        held._record_block(block, part)
        data += 8 * part
        size -= part
    return True


cdef object parse(LatencyHistogram parsed, const unsigned char *data, Py_ssize_t size):
    """Fill an empty histogram from its binary form; return what is wrong with that, or None.

    The checks are those of `latency_codec.decode`, in the same order. The retained samples are
    recorded in a histogram of their own, which tells what the whole must hold at the least.
    """
    cdef Store *store = &parsed._store
    cdef Totals *totals = &store.totals
    cdef LatencyHistogram held
    cdef uint64_t count = read_word(data + AT_COUNT)
    cdef uint64_t left = count
    cdef uint64_t number
    cdef int64_t buckets = <int64_t>read_int(data + AT_BUCKETS)
    cdef const unsigned char *numbers = data + AT_BUCKETS + 4
    cdef const unsigned char *counts
    cdef int64_t position = AT_BUCKETS + 4 + 10 * buckets
    cdef int64_t samples, i
    cdef double minimum
    cdef bint used[OCTAVES]
    cdef int bucket, octave
    cdef int last = -1
    memset(used, 0, sizeof(used))
    if position + 4 > size:
        return "it is truncated"
    counts = numbers + 2 * buckets
    samples = <int64_t>read_int(data + position)
    position += 4
    if position + 8 * samples > size:
        return "it is truncated"
    if position + 8 * samples < size:
        return "it has trailing bytes"
    for i in range(buckets):
        bucket = <int>read_short(numbers + 2 * i)
        if bucket <= last:
            return "its buckets are not in ascending order"
        last = bucket
        if bucket < OCTAVES * OCTAVE_SIZE:
            used[bucket >> OCTAVE_BITS] = True
    store.exact = <Py_ssize_t>read_int(data + AT_EXACT)
    for i in range(CLAMP_REASONS):
        number = read_word(data + AT_CLAMPED + 8 * i)
        if number > left:
            break
        left -= number
        totals.clamped[i] = <int64_t>number
    else:
        i = CLAMP_REASONS
    if store.exact > <Py_ssize_t>MAX_EXACT or count > <uint64_t>max_count() or i < CLAMP_REASONS:
        return "its header is out of range"
    totals.count = <int64_t>count
    totals.maximum = read_double(data + AT_MAXIMUM)
    minimum = read_double(data + AT_MINIMUM)
    octaves = [octave for octave in range(OCTAVES) if used[octave]]
    held = parsed._like()
    held._reserve_octaves(octaves)
    held._reserve_ring(samples)
    if (
        not in_range(minimum) or not in_range(totals.maximum)
        or not read_samples(held, data + position, samples)
    ):
        return "it has values out of range"
    if samples > store.exact or samples > totals.count:
        return "it has too many samples"
    parsed._reserve_octaves(octaves)
    left = count
    for i in range(buckets):
        bucket = <int>read_short(numbers + 2 * i)
        number = read_word(counts + 8 * i)
        if number == 0 or number > left:
            left = 1
            break
        left -= number
        if bucket < OCTAVES * OCTAVE_SIZE:
            store.octaves[bucket >> OCTAVE_BITS][bucket & (OCTAVE_SIZE - 1)] = <int64_t>number
            store.octave_counts[bucket >> OCTAVE_BITS] += <int64_t>number
    if left:
        return "its buckets do not add up to its count"
    if not clamped_are_in_buckets(store):
        return "its clamped values are not in its buckets"
    for octave in range(OCTAVES):
        if held._store.octave_counts[octave] and not covers(
            store.octaves[octave], held._store.octaves[octave]
        ):
            return "its samples are not in its buckets"
    if count == 0:
        if minimum or totals.maximum:
            return "its extremes are not those of its values"
    elif (
        bucket_of(minimum) != <int>read_short(numbers) or bucket_of(totals.maximum) != last
        or minimum > held._store.totals.minimum or totals.maximum < held._store.totals.maximum
    ):
        return "its extremes are not those of its values"
    else:
        totals.minimum = minimum
    load_words(totals.sum, data + AT_SUM, SUM_WORDS)
    load_words(totals.squares, data + AT_SQUARES, SQUARE_WORDS)
    if samples == totals.count:
        if not same_values(totals, &held._store.totals):
            return "its sums are not those of its values"
    elif (
        exceeds(held._store.totals.sum, totals.sum, SUM_WORDS)
        or exceeds(held._store.totals.squares, totals.squares, SQUARE_WORDS)
        or not sums_are_plausible(totals)
    ):
        return "its sums are not those of its values"
    # Its samples become those of the whole.
    store.ring, store.capacity = held._store.ring, held._store.capacity
    store.retained, store.next = held._store.retained, held._store.next
    parsed._samples = held._samples
    return None
