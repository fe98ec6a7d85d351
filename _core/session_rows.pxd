"""Rows of the session table: chunks of int64 columns and of object pointers that never move.

Nothing here allocates, counts references or can run Python code, so all of it may be called under
the table's lock. A slot is numbered through all chunks; a chunk, once added, stays where it is.

The expiry column is packed on its own because sweeps read nothing else. What one access reads and
writes together (accessed, ttl, created, generation) shares a cache line, as do a row's objects.
A free slot has the expiry INT64_MAX, so that scans pass over it without a test of their own, and
keeps the next free slot in `accessed`. Each chunk knows a time before which none of its rows
expires; until then no scan need look at it. A state's version lies beside the state.
"""
from cpython.object cimport PyObject
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t

cdef enum:
    CHUNK_BITS = 14
    CHUNK_ROWS = 16384
    CHUNK_MASK = 16383
    MAX_CHANNELS = 16
    META_COLUMNS = 4

cdef struct RowMeta:        # one row of an int64 array of shape (CHUNK_ROWS, META_COLUMNS)
    int64_t accessed
    int64_t ttl
    int64_t created
    int64_t generation

cdef struct RowObjects:     # owned, except `handle`, which unlinks itself when it goes
    PyObject *session_id
    PyObject *user_id
    PyObject *state
    PyObject *memory_pool_id
    PyObject *handle
    int64_t version         # of the state

cdef struct Link:           # the row's neighbours in order of use; -1 at either end
    int32_t newer
    int32_t older

cdef struct Chunk:
    int64_t earliest        # no row expires before this; may lie too early, never too late
    PyObject *owner         # keeps alive what the pointers point into, except `objects`
    int64_t *expires
    RowMeta *meta
    RowObjects *objects
    Link *links             # NULL unless the table evicts
    int64_t *channel[MAX_CHANNELS]

cdef struct Rows:
    Chunk *chunks
    Py_ssize_t nchunks
    Py_ssize_t high         # slots below this one have been used at least once
    Py_ssize_t held
    int64_t free_head       # -1 when no slot below `high` is free
    bint linked
    int32_t newest
    int32_t oldest
    int nchannels
    PyObject *channel_owner[MAX_CHANNELS]   # likewise for the chunks there were before a channel
    int64_t channel_rows[MAX_CHANNELS]
    int64_t ttl_seconds     # sum of the TTLs of the rows held, split so that it cannot overflow
    int64_t ttl_rest


cdef inline RowMeta *row_meta(Rows *rows, Py_ssize_t slot) noexcept nogil:
    return &rows.chunks[slot >> CHUNK_BITS].meta[slot & CHUNK_MASK]


cdef inline RowObjects *row_objects(Rows *rows, Py_ssize_t slot) noexcept nogil:
    return &rows.chunks[slot >> CHUNK_BITS].objects[slot & CHUNK_MASK]


cdef inline int64_t *row_expires(Rows *rows, Py_ssize_t slot) noexcept nogil:
    return &rows.chunks[slot >> CHUNK_BITS].expires[slot & CHUNK_MASK]


cdef inline int64_t *row_channel(Rows *rows, Py_ssize_t slot, int column) noexcept nogil:
    return &rows.chunks[slot >> CHUNK_BITS].channel[column][slot & CHUNK_MASK]


cdef inline Link *row_link(Rows *rows, Py_ssize_t slot) noexcept nogil:
    return &rows.chunks[slot >> CHUNK_BITS].links[slot & CHUNK_MASK]


cdef inline void set_expires(Rows *rows, Py_ssize_t slot, int64_t expires) noexcept nogil:
    cdef Chunk *chunk = &rows.chunks[slot >> CHUNK_BITS]
    chunk.expires[slot & CHUNK_MASK] = expires
    if expires < chunk.earliest:
        chunk.earliest = expires


cdef inline void set_channel(
    Rows *rows, Py_ssize_t slot, int column, int64_t time
) noexcept nogil:
    """Store the last activity on a channel; INT64_MIN stands for none."""
    cdef int64_t *cell = row_channel(rows, slot, column)
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


cdef inline void touch_row(Rows *rows, Py_ssize_t slot, int64_t now, int column) noexcept nogil:
    """Slide the expiry by the row's own TTL; note the channel unless `column` is -1."""
    cdef RowMeta *meta = row_meta(rows, slot)
    meta.accessed = now
    set_expires(rows, slot, now + meta.ttl)
    if column >= 0:
        set_channel(rows, slot, column, now)
    if rows.linked and rows.newest != slot:
        unlink(rows, slot)
        link_newest(rows, slot)


cdef inline void count_ttl(Rows *rows, int64_t ttl, int sign) noexcept nogil:
    rows.ttl_seconds += sign * (ttl // 1_000_000_000)
    rows.ttl_rest += sign * (ttl % 1_000_000_000)


cdef inline Py_ssize_t vacant_slot(Rows *rows) noexcept nogil:
    """Return the slot that the next row takes, or -1 when a chunk must be added first."""
    if rows.free_head >= 0:
        return <Py_ssize_t>rows.free_head
    return rows.high if rows.high < rows.nchunks << CHUNK_BITS else -1


cdef inline void occupy(Rows *rows, Py_ssize_t slot, int64_t ttl) noexcept nogil:
    """Take the slot that `vacant_slot` returned."""
    cdef RowMeta *meta = row_meta(rows, slot)
    if slot == rows.free_head:
        rows.free_head = meta.accessed
    else:
        rows.high += 1
    meta.ttl = ttl
    count_ttl(rows, ttl, 1)
    rows.held += 1
    if rows.linked:
        link_newest(rows, slot)


cdef inline void vacate(Rows *rows, Py_ssize_t slot) noexcept nogil:
    """Free a slot; its next generation answers to no handle of this one."""
    cdef RowMeta *meta = row_meta(rows, slot)
    cdef int column
    if rows.linked:
        unlink(rows, slot)
    for column in range(rows.nchannels):
        set_channel(rows, slot, column, INT64_MIN)
    count_ttl(rows, meta.ttl, -1)
    rows.held -= 1
    row_expires(rows, slot)[0] = INT64_MAX
    meta.generation += 1
    meta.accessed = rows.free_head
    rows.free_head = slot


cdef inline int64_t least_of_eight(const int64_t *values) noexcept nogil:
    """Return the least of eight by a tree: one after the other would take three times as long."""
    cdef int64_t left = min(min(values[0], values[1]), min(values[2], values[3]))
    cdef int64_t right = min(min(values[4], values[5]), min(values[6], values[7]))
    return min(left, right)


cdef inline Py_ssize_t scan_expired(
    Rows *rows, Py_ssize_t start, Py_ssize_t stop, int64_t now,
    Py_ssize_t *found, int limit, int *count,
) noexcept nogil:
    """Collect up to `limit` expired slots of [start, stop), which the caller removes at once.

    Returns where the scan ended: at the end of the chunk that `start` is in, at the latest.
    """
    cdef Chunk *chunk = &rows.chunks[start >> CHUNK_BITS]
    cdef Py_ssize_t first = start & ~<Py_ssize_t>CHUNK_MASK
    cdef Py_ssize_t end = min(rows.high, first + CHUNK_ROWS)
    cdef Py_ssize_t last = min(stop, end)
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


cdef inline Py_ssize_t used_rows(Rows *rows, Py_ssize_t chunk) noexcept nogil:
    """Return how many of a chunk's slots have been used; the chunk may have no more than these."""
    return min(<Py_ssize_t>CHUNK_ROWS, max(<Py_ssize_t>0, rows.high - (chunk << CHUNK_BITS)))


cdef inline Py_ssize_t count_expired(
    Rows *rows, Py_ssize_t chunk, int64_t now, int64_t *ttl_seconds, int64_t *ttl_rest
) noexcept nogil:
    """Count a chunk's expired rows and add up their TTLs."""
    cdef Chunk *block = &rows.chunks[chunk]
    cdef Py_ssize_t used = used_rows(rows, chunk)
    cdef Py_ssize_t expired = 0
    cdef Py_ssize_t i = 0
    cdef int64_t earliest = INT64_MAX
    cdef int64_t least
    if block.earliest > now:
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
