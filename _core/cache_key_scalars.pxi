# The values without parts: None, bool, int, float, str and bytes.

cdef inline int put_tag(Encoder* encoder, unsigned char tag) except -1:
    reserve(encoder, 1)
    write_byte(&encoder.output, tag)
    return 0


cdef inline int put_block(
    Encoder* encoder, unsigned char tag, const char* source, size_t size
) except -1:
    reserve(encoder, 1 + prefix_size(size) + size)
    write_byte(&encoder.output, tag)
    write_prefix(&encoder.output, size)
    write_bytes(&encoder.output, source, size)
    return 0


cdef inline int put_str(Encoder* encoder, object value) except -1:
    if PyUnicode_IS_COMPACT_ASCII(value):
        return put_block(
            encoder, c"S", <const char*>PyUnicode_DATA(value), PyUnicode_GET_LENGTH(value)
        )
    return put_wide_str(encoder, value)


cdef int put_wide_str(Encoder* encoder, object value) except -1:
    # Not PyUnicode_AsUTF8AndSize: that would leave a copy in the string for as long as it lives.
    try:
        data = PyUnicode_AsUTF8String(value)
    except UnicodeEncodeError:
        raise _Refusal(_LONE_SURROGATE) from None
    return put_block(encoder, c"S", PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef int put_int(Encoder* encoder, object value) except -1:
    cdef int overflow = 0
    cdef long long number = PyLong_AsLongLongAndOverflow(value, &overflow)
    cdef uint64_t magnitude
    cdef size_t size
    if overflow:
        return put_long_int(encoder, value)
    magnitude = <uint64_t>number if number >= 0 else <uint64_t>(~number)
    size = big_endian_size(magnitude)
    reserve(encoder, 2 + size)
    write_byte(&encoder.output, c"I" if number >= 0 else c"J")
    write_byte(&encoder.output, <unsigned char>size)
    write_big_endian(&encoder.output, magnitude, size)
    return 0


cdef int put_long_int(Encoder* encoder, object value) except -1:
    cdef unsigned char tag = c"I"
    if value < 0:
        tag = c"J"
        value = ~value
    size = (value.bit_length() + 7) // 8
    if <size_t>size > MAX_SIZE:
        raise _too_large()
    data = <bytes>value.to_bytes(size, "big")
    return put_block(encoder, tag, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef int put_float(Encoder* encoder, double number) except -1:
    cdef uint64_t bits
    if number != number:
        raise _Refusal(_NAN)
    memcpy(&bits, &number, 8)
    reserve(encoder, 9)
    write_byte(&encoder.output, c"D")
    write_big_endian(&encoder.output, bits, 8)
    return 0
