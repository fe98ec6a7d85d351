# Byte strings that lie one after another at the end of a buffer, to be put in order: a stack of
# their positions, since a sorted run may hold sorted runs.

from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy

from byte_buffer cimport Buffer, buffer_grow

cdef enum:
    ENTRIES_FIRST = 64
    INSERTION_RUN = 16
    PREFIX_SIZE = 8


cdef struct Entry:
    uint64_t prefix  # its first eight bytes as a number, which decides most comparisons
    size_t start
    size_t size
    size_t key_size


cdef struct Entries:
    Entry* stack
    size_t count
    size_t capacity
    Entry first[ENTRIES_FIRST]


cdef inline void entries_open(Entries* entries) noexcept:
    entries.stack = entries.first
    entries.count = 0
    entries.capacity = ENTRIES_FIRST


cdef inline void entries_close(Entries* entries) noexcept:
    if entries.stack is not entries.first:
        PyMem_Free(entries.stack)


cdef inline int entries_grow(Entries* entries, size_t capacity) except -1:
    cdef Entry* stack
    capacity = max(capacity, 2 * entries.capacity)
    if entries.stack is entries.first:
        stack = <Entry*>PyMem_Malloc(capacity * sizeof(Entry))
        if stack is not NULL:
            memcpy(stack, entries.first, entries.count * sizeof(Entry))
    else:
        stack = <Entry*>PyMem_Realloc(entries.stack, capacity * sizeof(Entry))
    if stack is NULL:
        raise MemoryError
    entries.stack = stack
    entries.capacity = capacity
    return 0


cdef inline uint64_t first_bytes(const unsigned char* data, size_t size) noexcept:
    """Return the first eight of `size` >= 1 bytes as a number, zeros standing for missing ones."""
    cdef uint64_t prefix = (
        <uint64_t>data[0] << 56 | <uint64_t>data[1] << 48 | <uint64_t>data[2] << 40
        | <uint64_t>data[3] << 32 | <uint64_t>data[4] << 24 | <uint64_t>data[5] << 16
        | <uint64_t>data[6] << 8 | <uint64_t>data[7]
    )
    if size < PREFIX_SIZE:
        prefix &= ~<uint64_t>0 << (8 * (PREFIX_SIZE - size))
    return prefix


cdef inline int entries_add(
    Entries* entries, Buffer* buffer, size_t start, size_t key_size
) except -1:
    """Add the bytes from `start` to the buffer's end, the first `key_size` of them their key."""
    cdef Entry* entry
    if entries.count == entries.capacity:
        entries_grow(entries, entries.count + 1)
    entry = &entries.stack[entries.count]
    entry.start = start
    entry.size = buffer.size - start
    entry.key_size = key_size
    entries.count += 1
    return 0


cdef inline bint precedes(
    const unsigned char* data, const Entry* left, const Entry* right
) noexcept:
    if left.prefix != right.prefix:
        return left.prefix < right.prefix
    # No entry is the beginning of another, so the shorter one's size is enough.
    return memcmp(data + left.start, data + right.start, min(left.size, right.size)) < 0


cdef inline void insertion_sort(const unsigned char* data, Entry* run, size_t count) noexcept:
    cdef size_t place = 1
    cdef size_t hole
    cdef Entry entry
    while place < count:
        if precedes(data, &run[place], &run[place - 1]):
            entry = run[place]
            hole = place
            while hole > 0 and precedes(data, &entry, &run[hole - 1]):
                run[hole] = run[hole - 1]
                hole -= 1
            run[hole] = entry
        place += 1


cdef inline void merge_runs(
    const unsigned char* data, const Entry* source, size_t middle, size_t end, Entry* target
) noexcept:
    """Merge the sorted ``source[:middle]`` and ``source[middle:end]`` into `target`."""
    cdef size_t left = 0
    cdef size_t right = middle
    cdef size_t place
    for place in range(end):
        if right == end or (left < middle and not precedes(data, &source[right], &source[left])):
            target[place] = source[left]
            left += 1
        else:
            target[place] = source[right]
            right += 1


cdef inline int entries_sort(Entries* entries, Buffer* buffer, size_t base) except -1:
    """Merge-sort the entries from `base` on: O(n log n) comparisons whatever they hold."""
    cdef size_t count = entries.count - base
    cdef size_t width = INSERTION_RUN
    cdef size_t start
    cdef Entry* source
    cdef Entry* target
    if count > INSERTION_RUN and entries.capacity - entries.count < count:
        entries_grow(entries, entries.count + count)
    source = entries.stack + base
    target = source + count
    # Not in `entries_add`: to read bytes back as a word just after they were written stalls.
    for start in range(count):
        source[start].prefix = first_bytes(buffer.data + source[start].start, source[start].size)
    start = 0
    while start < count:
        insertion_sort(buffer.data, source + start, min(count - start, <size_t>INSERTION_RUN))
        start += INSERTION_RUN
    while width < count:
        start = 0
        while start < count:
            merge_runs(
                buffer.data, source + start, min(width, count - start),
                min(2 * width, count - start), target + start,
            )
            start += 2 * width
        source, target = target, source
        width *= 2
    if source is not entries.stack + base:
        memcpy(entries.stack + base, source, count * sizeof(Entry))
    return 0


cdef inline bint entries_repeat(Entries* entries, Buffer* buffer, size_t base) noexcept:
    """Whether two of the sorted entries from `base` on have the same key."""
    cdef size_t place
    cdef Entry* entry
    for place in range(base + 1, entries.count):
        entry = &entries.stack[place]
        if (entry - 1).key_size == entry.key_size and memcmp(
            buffer.data + (entry - 1).start, buffer.data + entry.start, entry.key_size
        ) == 0:
            return True
    return False


cdef inline int entries_arrange(
    Entries* entries, Buffer* buffer, Buffer* scratch, size_t base, size_t start
) except -1:
    """Put the buffer's bytes from `start` on in the order of the entries from `base` on."""
    cdef Entry* entry
    cdef size_t place
    cdef size_t size = buffer.size - start
    for place in range(base + 1, entries.count):
        if entries.stack[place].start < entries.stack[place - 1].start:
            break
    else:
        return 0
    if size > scratch.capacity:
        buffer_grow(scratch, size, buffer.capacity)
    memcpy(scratch.data, buffer.data + start, size)
    buffer.size = start
    for place in range(base, entries.count):
        entry = &entries.stack[place]
        memcpy(buffer.data + buffer.size, scratch.data + (entry.start - start), entry.size)
        buffer.size += entry.size
    return 0
