"""Exact addition of non-negative doubles and of their squares, as wide fixed-point integers.

The small and the large superaccumulator of R. M. Neal, "Fast exact summation using small and large
superaccumulators" (2015), for values that are never negative: no sign, hence plain binary carries.
The large one, here a `Moments`, first adds up the mantissas of equal exponents, which needs no
carries; only exponents that latencies have are in it, and other values go to the small one.
Words are little-endian. Shifts are split in two because a shift by 64 is undefined in C, and
products are built from halves because 128-bit integers are not portable.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

cdef enum:
    SUM_WORDS = 19          # in units of 2**-1074: 62 bits of count above the 1,108 of 2**33
    SQUARE_WORDS = 36       # in units of 2**-2148
    LEAST_EXPONENT = 1023 - 30      # biased: that of the greatest power of two below 1 ns
    EXPONENTS = 64
    MOMENTS_LIMIT = 1024    # values after which a `Moment` might overflow
    HALF_BITS = 26          # the lower half of a mantissa; the upper one has 27


cdef struct Moment:
    uint64_t mantissas
    uint64_t high_squares
    uint64_t cross_products
    uint64_t low_squares


cdef struct Moments:
    Moment of_exponent[EXPONENTS]


cdef inline void add_shifted(
    uint64_t *words, uint64_t low, uint64_t high, int position
) noexcept nogil:
    """Add ``(high * 2**64 + low) << position``."""
    cdef uint64_t *word = words + (position >> 6)
    cdef int shift = position & 63
    cdef uint64_t first = low << shift
    cdef uint64_t second = (high << shift) | (low >> 1 >> (63 - shift))
    cdef uint64_t third = high >> 1 >> (63 - shift)
    word[0] += first
    cdef uint64_t carry = word[0] < first
    word[1] += second
    third += word[1] < second
    word[1] += carry
    third += word[1] < carry
    word[2] += third
    carry = word[2] < third
    while carry:        # almost never: most carries end in the third word
        word += 1
        word[2] += 1
        carry = word[2] == 0


cdef inline void add_moments(uint64_t *total, uint64_t *squares, double value) noexcept nogil:
    """Add `value`, finite and not negative, to `total` and its square to `squares`."""
    cdef uint64_t bits
    memcpy(&bits, &value, sizeof(bits))
    cdef int exponent = <int>(bits >> 52)
    cdef uint64_t mantissa = bits & ((<uint64_t>1 << 52) - 1)
    if exponent:
        mantissa |= <uint64_t>1 << 52
        exponent -= 1
    add_shifted(total, mantissa, 0, exponent)
    cdef uint64_t high = mantissa >> 32
    cdef uint64_t low = mantissa & 0xFFFFFFFFU
    cdef uint64_t cross = high * low
    cdef uint64_t product = low * low
    cdef uint64_t carried = cross << 33
    product += carried
    add_shifted(
        squares, product, high * high + (cross >> 31) + (product < carried), 2 * exponent
    )


cdef inline void clear_moments(Moments *moments) noexcept nogil:
    memset(moments, 0, sizeof(Moments))


cdef inline bint gather(Moments *moments, double value) noexcept nogil:
    """Add `value` and its square, and return True; or return False: it is for `add_moments`."""
    cdef uint64_t bits
    memcpy(&bits, &value, sizeof(bits))
    cdef uint64_t exponent = (bits >> 52) - LEAST_EXPONENT
    if exponent >= EXPONENTS:       # or below 0, which wraps around
        return False
    cdef Moment *moment = &moments.of_exponent[exponent]
    cdef uint64_t mantissa = (bits & ((<uint64_t>1 << 52) - 1)) | <uint64_t>1 << 52
    cdef uint64_t high = mantissa >> HALF_BITS
    cdef uint64_t low = mantissa & ((<uint64_t>1 << HALF_BITS) - 1)
    moment.mantissas += mantissa
    moment.high_squares += high * high
    moment.cross_products += high * low
    moment.low_squares += low * low
    return True


cdef inline void spill(
    const Moments *moments, uint64_t *total, uint64_t *squares
) noexcept nogil:
    """Add what was gathered to the sum `total` and to the sum of squares `squares`."""
    cdef const Moment *moment
    cdef uint64_t low, high, part
    cdef int i, position
    for i in range(EXPONENTS):
        moment = &moments.of_exponent[i]
        if moment.mantissas:
            position = LEAST_EXPONENT + i - 1
            add_shifted(total, moment.mantissas, 0, position)
            low = moment.low_squares
            high = 0
            part = moment.cross_products << (HALF_BITS + 1)
            low += part
            high += (moment.cross_products >> (63 - HALF_BITS)) + (low < part)
            part = moment.high_squares << (2 * HALF_BITS)
            low += part
            high += (moment.high_squares >> (64 - 2 * HALF_BITS)) + (low < part)
            add_shifted(squares, low, high, 2 * position)


cdef inline void add_words(uint64_t *words, const uint64_t *others, int size) noexcept nogil:
    """Add another accumulator of the same size."""
    cdef uint64_t carry = 0
    cdef uint64_t other
    cdef int i
    for i in range(size):
        other = others[i] + carry
        carry = other < carry
        words[i] += other
        carry += words[i] < other


cdef inline bint subtract_words(uint64_t *words, const uint64_t *others, int size) noexcept nogil:
    """Subtract another accumulator of the same size; return whether it was the greater one."""
    cdef uint64_t borrow = 0
    cdef uint64_t other
    cdef int i
    for i in range(size):
        other = others[i] + borrow
        borrow = other < borrow
        borrow += words[i] < other
        words[i] -= other
    return borrow != 0


cdef inline bint exceeds(const uint64_t *words, const uint64_t *others, int size) noexcept nogil:
    """Whether the first accumulator is greater than the other, of the same size."""
    cdef int i
    for i in range(size - 1, -1, -1):
        if words[i] != others[i]:
            return words[i] > others[i]
    return False


cdef inline void store_words(unsigned char *data, const uint64_t *words, int size) noexcept nogil:
    """Write the little-endian bytes, whatever the byte order of the machine."""
    cdef int i
    for i in range(8 * size):
        data[i] = <unsigned char>(words[i >> 3] >> (8 * (i & 7)))


cdef inline void load_words(uint64_t *words, const unsigned char *data, int size) noexcept nogil:
    """Read what `store_words` wrote."""
    cdef int i
    for i in range(size):
        words[i] = 0
    for i in range(8 * size):
        words[i >> 3] |= <uint64_t>data[i] << (8 * (i & 7))
