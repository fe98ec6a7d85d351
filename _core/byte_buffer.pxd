# A growable run of bytes in C memory. It begins inside its owner, so that short contents cost no
# further allocation, and always has PADDING readable bytes behind its capacity.

from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

cdef enum:
    BUFFER_FIRST = 2048
    BUFFER_PADDING = 8
    ONE_BYTE_SIZES = 248


cdef struct Buffer:
    unsigned char* data
    size_t size
    size_t capacity
    unsigned char first[BUFFER_FIRST + BUFFER_PADDING]


cdef inline void buffer_open(Buffer* buffer) noexcept:
    buffer.data = buffer.first
    buffer.size = 0
    buffer.capacity = BUFFER_FIRST


cdef inline void buffer_close(Buffer* buffer) noexcept:
    if buffer.data is not buffer.first:
        PyMem_Free(buffer.data)


cdef inline int buffer_grow(Buffer* buffer, size_t capacity, size_t limit) except -1:
    """Make the capacity `capacity` or twice what it was, whichever is more, but within `limit`."""
    cdef unsigned char* data
    capacity = min(max(capacity, 2 * buffer.capacity), limit)
    if buffer.data is buffer.first:
        data = <unsigned char*>PyMem_Malloc(capacity + BUFFER_PADDING)
        if data is not NULL:
            memcpy(data, buffer.first, buffer.size)
    else:
        data = <unsigned char*>PyMem_Realloc(buffer.data, capacity + BUFFER_PADDING)
    if data is NULL:
        raise MemoryError
    buffer.data = data
    buffer.capacity = capacity
    return 0


# The writers below expect that there is room.

cdef inline void write_byte(Buffer* buffer, unsigned char byte) noexcept:
    buffer.data[buffer.size] = byte
    buffer.size += 1


cdef inline void write_bytes(Buffer* buffer, const void* source, size_t size) noexcept:
    memcpy(buffer.data + buffer.size, source, size)
    buffer.size += size


cdef inline size_t big_endian_size(uint64_t number) noexcept:
    cdef size_t size = 0
    while number:
        size += 1
        number >>= 8
    return size


cdef inline void write_big_endian(Buffer* buffer, uint64_t number, size_t size) noexcept:
    cdef size_t place = size
    while place:
        place -= 1
        buffer.data[buffer.size + place] = <unsigned char>(number & 0xFF)
        number >>= 8
    buffer.size += size


cdef inline size_t prefix_size(size_t size) noexcept:
    """Return how many bytes `write_prefix` takes for a size or count."""
    return 1 if size < ONE_BYTE_SIZES else 1 + big_endian_size(size)


cdef inline void write_prefix(Buffer* buffer, size_t size) noexcept:
    cdef size_t digits
    if size < ONE_BYTE_SIZES:
        write_byte(buffer, <unsigned char>size)
    else:
        digits = big_endian_size(size)
        write_byte(buffer, <unsigned char>(ONE_BYTE_SIZES - 1 + digits))
        write_big_endian(buffer, size, digits)
