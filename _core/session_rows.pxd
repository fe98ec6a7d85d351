"""Rows of the session table: chunks of int64 columns and of object pointers that never move.

Nothing here counts references or can run Python code, so all of it may be called under the table's
lock. A slot is numbered through all chunks. A chunk's memory is mapped when its first row is taken
and unmapped when its last one goes, unless it is the only chunk with room; malloc would keep it.

The expiry column is packed on its own because sweeps read nothing else. What one access reads and
writes together (accessed, ttl, created, version) shares a cache line, as do a row's objects. A free
slot has the expiry INT64_MAX, so that scans pass over it without a test of their own, and keeps the
next free row of its chunk in `accessed`. Each chunk knows a time before which none of its rows
expires; until then no scan need look at it. Rows from `used` on hold nothing defined yet.
"""
from cpython.object cimport PyObject
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t
from libc.string cimport memset

cdef extern from "Python.h":
    ctypedef struct Arena "PyObjectArenaAllocator":
        void *ctx
        void *(*alloc)(void *ctx, size_t size) noexcept nogil
        void (*free)(void *ctx, void *memory, size_t size) noexcept nogil

cdef enum:
    CHUNK_BITS = 14
    CHUNK_ROWS = 16384
    CHUNK_MASK = 16383
    MAX_CHANNELS = 16

cdef struct RowMeta:
    int64_t accessed
    int64_t ttl
    int64_t created
    int64_t version         # of the state

cdef struct RowObjects:     # owned, except `handle`, which unlinks itself when it goes
    PyObject *session_id
    PyObject *user_id
    PyObject *state
    PyObject *memory_pool_id
    PyObject *handle

cdef struct Link:           # the row's neighbours in order of use; -1 at either end
    int32_t newer
    int32_t older

cdef struct Chunk:
    int64_t earliest        # no row expires before this; may lie too early, never too late
    int64_t *expires        # where the chunk's memory begins; NULL if it has none
    RowMeta *meta
    RowObjects *objects
    Link *links             # NULL unless the table evicts
    int64_t *channel[MAX_CHANNELS]  # memory of their own; NULL until a row is active on it
    int32_t used            # rows below this one have been used at least once
    int32_t held
    int32_t free_row        # -1 when no row below `used` is free
    int32_t next            # in the list of those with room, or of those without memory
    int32_t previous        # in the list of those with room

cdef struct Rows:
    Chunk *chunks
    Arena arena             # maps memory, so that what is freed is given back at once
    Py_ssize_t chunk_rows
    Py_ssize_t nchunks
    Py_ssize_t held
    int32_t open            # the first chunk with memory and room, or -1
    int32_t bare            # the first chunk that has given its memory back, or -1
    bint linked
    int32_t newest
    int32_t oldest
    int nchannels
    int64_t channel_rows[MAX_CHANNELS]
    int64_t ttl_seconds     # sum of the TTLs of the rows held, split so that it cannot overflow
    int64_t ttl_rest


cdef inline RowMeta *row_meta(Rows *rows, Py_ssize_t slot) noexcept nogil:
    return &rows.chunks[slot >> CHUNK_BITS].meta[slot & CHUNK_MASK]


cdef inline RowObjects *row_objects(Rows *rows, Py_ssize_t slot) noexcept nogil:
    return &rows.chunks[slot >> CHUNK_BITS].objects[slot & CHUNK_MASK]


cdef inline int64_t *row_expires(Rows *rows, Py_ssize_t slot) noexcept nogil:
    return &rows.chunks[slot >> CHUNK_BITS].expires[slot & CHUNK_MASK]


cdef inline int64_t row_channel(Rows *rows, Py_ssize_t slot, int column) noexcept nogil:
    """Return the last activity on a channel, INT64_MIN for none."""
    cdef int64_t *times = rows.chunks[slot >> CHUNK_BITS].channel[column]
    return INT64_MIN if times is NULL else times[slot & CHUNK_MASK]


cdef inline Link *row_link(Rows *rows, Py_ssize_t slot) noexcept nogil:
    return &rows.chunks[slot >> CHUNK_BITS].links[slot & CHUNK_MASK]


cdef inline void set_expires(Rows *rows, Py_ssize_t slot, int64_t expires) noexcept nogil:
    cdef Chunk *chunk = &rows.chunks[slot >> CHUNK_BITS]
    chunk.expires[slot & CHUNK_MASK] = expires
    if expires < chunk.earliest:
        chunk.earliest = expires


cdef inline bint reserve_channel(Rows *rows, Py_ssize_t slot, int column) noexcept nogil:
    """Make room for a channel of a row; return whether there was memory for it."""
    cdef Chunk *chunk = &rows.chunks[slot >> CHUNK_BITS]
    cdef int64_t *times = chunk.channel[column]
    cdef Py_ssize_t row
    if times is NULL:
        times = <int64_t *>rows.arena.alloc(rows.arena.ctx, rows.chunk_rows * sizeof(int64_t))
        if times is NULL:
            return False
        for row in range(chunk.used):
            times[row] = INT64_MIN
        chunk.channel[column] = times
    return True


cdef inline void set_channel(
    Rows *rows, Py_ssize_t slot, int column, int64_t time
) noexcept nogil:
    """Store the last activity on a channel that has room; INT64_MIN stands for none."""
    cdef int64_t *cell = &rows.chunks[slot >> CHUNK_BITS].channel[column][slot & CHUNK_MASK]
    rows.channel_rows[column] += (time != INT64_MIN) - (cell[0] != INT64_MIN)
    cell[0] = time


cdef inline void unlink(Rows *rows, Py_ssize_t slot) noexcept nogil:
    cdef Link *link = row_link(rows, slot)
    if link.newer >= 0:
        row_link(rows, link.newer).older = link.older
    else:
        rows.newest = link.older
    if link.older >= 0:
        row_link(rows, link.older).newer = link.newer
    else:
        rows.oldest = link.newer


cdef inline void link_newest(Rows *rows, Py_ssize_t slot) noexcept nogil:
    cdef Link *link = row_link(rows, slot)
    link.newer = -1
    link.older = rows.newest
    if rows.newest >= 0:
        row_link(rows, rows.newest).newer = <int32_t>slot
    else:
        rows.oldest = <int32_t>slot
    rows.newest = <int32_t>slot


cdef inline bint touch_row(Rows *rows, Py_ssize_t slot, int64_t now, int column) noexcept nogil:
    """Slide the expiry by the row's own TTL; note the channel unless `column` is -1.

    Returns whether there was memory for that; if not, nothing has changed.
    """
    cdef RowMeta *meta = row_meta(rows, slot)
    if column >= 0:
        if not reserve_channel(rows, slot, column):
            return False
        set_channel(rows, slot, column, now)
    meta.accessed = now
    set_expires(rows, slot, now + meta.ttl)
    if rows.linked and rows.newest != slot:
        unlink(rows, slot)
        link_newest(rows, slot)
    return True


cdef inline void count_ttl(Rows *rows, int64_t ttl, int sign) noexcept nogil:
    rows.ttl_seconds += sign * (ttl // 1_000_000_000)
    rows.ttl_rest += sign * (ttl % 1_000_000_000)


cdef inline size_t chunk_bytes(const Rows *rows) noexcept nogil:
    cdef size_t row = sizeof(int64_t) + sizeof(RowMeta) + sizeof(RowObjects)
    return rows.chunk_rows * (row + (sizeof(Link) if rows.linked else 0))


cdef inline void open_chunk(Rows *rows, int32_t number) noexcept nogil:
    """Enter a chunk at the head of those with room."""
    rows.chunks[number].previous = -1
    rows.chunks[number].next = rows.open
    if rows.open >= 0:
        rows.chunks[rows.open].previous = number
    rows.open = number


cdef inline void shut_chunk(Rows *rows, int32_t number) noexcept nogil:
    """Take a chunk out of those with room."""
    cdef Chunk *chunk = &rows.chunks[number]
    if chunk.previous >= 0:
        rows.chunks[chunk.previous].next = chunk.next
    else:
        rows.open = chunk.next
    if chunk.next >= 0:
        rows.chunks[chunk.next].previous = chunk.previous


cdef inline bint add_chunk(Rows *rows) noexcept nogil:
    """Give a chunk memory and enter it in those with room; return whether there was any."""
    cdef int32_t number = rows.bare if rows.bare >= 0 else <int32_t>rows.nchunks
    cdef Chunk *chunk = &rows.chunks[number]
    cdef void *memory = rows.arena.alloc(rows.arena.ctx, chunk_bytes(rows))
    if memory is NULL:
        return False
    if number == rows.bare:
        rows.bare = chunk.next
    else:
        rows.nchunks += 1
    memset(chunk, 0, sizeof(Chunk))
    chunk.earliest = INT64_MAX
    chunk.free_row = -1
    chunk.expires = <int64_t *>memory
    chunk.meta = <RowMeta *>(chunk.expires + rows.chunk_rows)
    chunk.objects = <RowObjects *>(chunk.meta + rows.chunk_rows)
    chunk.links = <Link *>(chunk.objects + rows.chunk_rows) if rows.linked else NULL
    open_chunk(rows, number)
    return True


cdef inline void unmap_chunk(Rows *rows, Chunk *chunk) noexcept nogil:
    """Give the memory of a chunk back."""
    cdef int column
    for column in range(rows.nchannels):
        if chunk.channel[column] is not NULL:
            rows.arena.free(
                rows.arena.ctx, chunk.channel[column], rows.chunk_rows * sizeof(int64_t)
            )
            chunk.channel[column] = NULL
    if chunk.expires is not NULL:
        rows.arena.free(rows.arena.ctx, chunk.expires, chunk_bytes(rows))
        chunk.expires = NULL
    chunk.used = 0


cdef inline void release_chunk(Rows *rows, int32_t number) noexcept nogil:
    """Give the memory of a chunk without sessions back, to be given some again when needed."""
    shut_chunk(rows, number)
    unmap_chunk(rows, &rows.chunks[number])
    rows.chunks[number].next = rows.bare
    rows.bare = number


cdef inline void release_empty(Rows *rows) noexcept nogil:
    """Give the memory of the only chunk back as well, if the table is empty."""
    if rows.held == 0 and rows.open >= 0:
        release_chunk(rows, rows.open)


cdef inline Py_ssize_t occupy(Rows *rows, int64_t ttl) noexcept nogil:
    """Take a free slot and return it, or -1 if there is no memory for one."""
    cdef Chunk *chunk
    cdef Py_ssize_t row
    cdef int column
    if rows.open < 0 and not add_chunk(rows):
        return -1
    cdef int32_t number = rows.open
    cdef Py_ssize_t slot = <Py_ssize_t>number << CHUNK_BITS
    chunk = &rows.chunks[number]
    if chunk.free_row >= 0:
        row = chunk.free_row
        chunk.free_row = <int32_t>chunk.meta[row].accessed
    else:
        row = chunk.used
        chunk.used += 1
        memset(&chunk.objects[row], 0, sizeof(RowObjects))
        for column in range(rows.nchannels):
            if chunk.channel[column] is not NULL:
                chunk.channel[column][row] = INT64_MIN
    slot += row
    chunk.held += 1
    if chunk.held == rows.chunk_rows:
        shut_chunk(rows, number)
    chunk.meta[row].ttl = ttl
    count_ttl(rows, ttl, 1)
    rows.held += 1
    if rows.linked:
        link_newest(rows, slot)
    return slot


cdef inline void vacate(Rows *rows, Py_ssize_t slot) noexcept nogil:
    """Free a slot, and the memory of its chunk with the last one if others have room."""
    cdef int32_t number = <int32_t>(slot >> CHUNK_BITS)
    cdef Chunk *chunk = &rows.chunks[number]
    cdef RowMeta *meta = row_meta(rows, slot)
    cdef int column
    if rows.linked:
        unlink(rows, slot)
    for column in range(rows.nchannels):
        if chunk.channel[column] is not NULL:
            set_channel(rows, slot, column, INT64_MIN)
    count_ttl(rows, meta.ttl, -1)
    rows.held -= 1
    row_expires(rows, slot)[0] = INT64_MAX
    meta.accessed = chunk.free_row
    chunk.free_row = slot & CHUNK_MASK
    if chunk.held == rows.chunk_rows:
        open_chunk(rows, number)
    chunk.held -= 1
    if chunk.held == 0 and (chunk.next >= 0 or chunk.previous >= 0):
        release_chunk(rows, number)


cdef inline Py_ssize_t next_used(const Rows *rows, Py_ssize_t slot) noexcept nogil:
    """Return the first slot from `slot` on that has been used, or -1."""
    cdef Py_ssize_t number = slot >> CHUNK_BITS
    while number < rows.nchunks:
        if (slot & CHUNK_MASK) < rows.chunks[number].used:
            return slot
        number += 1
        slot = number << CHUNK_BITS
    return -1


cdef inline int64_t least_of_eight(const int64_t *values) noexcept nogil:
    """Return the least of eight by a tree: one after the other would take three times as long."""
    cdef int64_t left = min(min(values[0], values[1]), min(values[2], values[3]))
    cdef int64_t right = min(min(values[4], values[5]), min(values[6], values[7]))
    return min(left, right)


cdef inline Py_ssize_t scan_expired(
    Rows *rows, Py_ssize_t start, Py_ssize_t most, int64_t now,
    Py_ssize_t *found, int limit, int *count,
) noexcept nogil:
    """Collect up to `limit` expired slots among `most` of `start`'s chunk, to be removed at once.

    Returns where the scan ended: past the last slot of the chunk that was used, at the latest.
    """
    cdef Chunk *chunk = &rows.chunks[start >> CHUNK_BITS]
    cdef Py_ssize_t first = start & ~<Py_ssize_t>CHUNK_MASK
    cdef Py_ssize_t end = first + chunk.used
    cdef Py_ssize_t last = min(start + most, end)
    cdef Py_ssize_t slot = start
    cdef int64_t earliest = INT64_MAX
    cdef int64_t least
    if chunk.earliest > now:
        return last
    while slot < last:
        if slot + 8 <= last:
            least = least_of_eight(chunk.expires + (slot - first))
            if least > now:
                earliest = min(earliest, least)
                slot += 8
                continue
        if chunk.expires[slot - first] > now:
            earliest = min(earliest, chunk.expires[slot - first])
        elif count[0] == limit:
            return slot
        else:
            found[count[0]] = slot
            count[0] += 1
        slot += 1
    if start == first and last == end:
        chunk.earliest = earliest
    return last


cdef inline Py_ssize_t count_expired(
    Rows *rows, Py_ssize_t chunk, int64_t now, int64_t *ttl_seconds, int64_t *ttl_rest
) noexcept nogil:
    """Count a chunk's expired rows and add up their TTLs."""
    cdef Chunk *block = &rows.chunks[chunk]
    cdef Py_ssize_t used = block.used
    cdef Py_ssize_t expired = 0
    cdef Py_ssize_t i = 0
    cdef int64_t earliest = INT64_MAX
    cdef int64_t least
    if used == 0 or block.earliest > now:
        return 0
    while i < used:
        if i + 8 <= used:
            least = least_of_eight(block.expires + i)
            if least > now:
                earliest = min(earliest, least)
                i += 8
                continue
        if block.expires[i] <= now:
            expired += 1
            ttl_seconds[0] += block.meta[i].ttl // 1_000_000_000
            ttl_rest[0] += block.meta[i].ttl % 1_000_000_000
        earliest = min(earliest, block.expires[i])
        i += 1
    block.earliest = earliest
    return expired
