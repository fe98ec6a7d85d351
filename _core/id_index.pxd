"""From session id to slot: extendible hashing, which never has to be rehashed as a whole.

A directory of pointers, addressed by the upper bits of a tag, leads to buckets of cells that are
probed linearly from the tag's lower bits. A bucket that fills up is split in two on its own, so no
insertion moves more than one bucket: a table that doubles as one would stand still for tens of
milliseconds at a million sessions. Removing closes the gap, so no deleted cells are left to probe
past. Two halves that are nearly empty are joined again, so an index shrinks as it has grown.

The tag is the id's own hash, times a random odd number of the table: what collides cannot be
computed from outside even where the interpreter's hashes are not randomised.

Nothing here can run Python code. Once open, only `index_reserve` allocates; where that fails, every
id is still found as before.

Source: Fagin, Nievergelt, Pippenger and Strong, "Extendible hashing" (1979); the removal is
algorithm R of Knuth, "The Art of Computer Programming" 3, 6.4.
"""
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from session_rows cimport Rows, row_objects

cdef extern from "Python.h":
    Py_ssize_t hash_of_str "PyObject_Hash"(object) noexcept
    int PyUnicode_KIND(object)
    const void *PyUnicode_DATA(object)
    Py_ssize_t PyUnicode_GET_LENGTH(object)

cdef enum:
    CELL_BITS = 10
    CELLS = 1024
    CELL_MASK = 1023
    MOST_CELLS = 768        # a fuller bucket is split
    FEW_CELLS = 256         # two buckets with no more cells than this together are joined
    SELDOM = 63             # one removal in so many looks whether that is so
    TAG_BITS = 32
    MAX_DEPTH = 22          # TAG_BITS - CELL_BITS: no bit of the tag serves twice

cdef struct Cell:
    uint32_t tag
    int32_t place           # the slot plus one; 0 in an empty cell

cdef struct Bucket:
    int depth               # how many upper bits the tags in it have in common
    int used
    Cell cells[CELLS]

cdef struct Index:
    Bucket **directory      # 1 << depth pointers; neighbours share a bucket that is less deep
    int depth
    uint64_t factor


cdef inline bint index_open(Index *index, uint64_t factor) noexcept:
    """Make an empty index; return whether there was memory for it."""
    index.depth = 0
    index.factor = factor | 1
    index.directory = <Bucket **>PyMem_RawCalloc(1, sizeof(Bucket *))
    if index.directory is NULL:
        return False
    index.directory[0] = <Bucket *>PyMem_RawCalloc(1, sizeof(Bucket))
    return index.directory[0] is not NULL


cdef inline void index_close(Index *index) noexcept:
    cdef Bucket *last = NULL
    cdef uint32_t i
    if index.directory is NULL:
        return
    for i in range(<uint32_t>1 << index.depth):
        if index.directory[i] is not last:      # the entries of a bucket lie side by side
            last = index.directory[i]
            PyMem_RawFree(last)
    PyMem_RawFree(index.directory)


cdef inline uint32_t index_tag(const Index *index, str session_id) noexcept:
    """Return the tag of an exact str."""
    return <uint32_t>((<uint64_t>hash_of_str(session_id) * index.factor) >> TAG_BITS)


cdef inline Bucket **index_entry(const Index *index, uint32_t tag) noexcept nogil:
    # Two shifts, since at depth 0 one by all of the bits would be undefined.
    return &index.directory[tag >> 1 >> (TAG_BITS - 1 - index.depth)]


cdef inline const Cell *index_home(const Index *index, uint32_t tag) noexcept nogil:
    """Return the cell that the search for a tag begins at."""
    return &index_entry(index, tag)[0].cells[tag & CELL_MASK]


cdef inline bint same_id(PyObject *held, str wanted) noexcept:
    if held == <PyObject *>wanted:
        return True
    return (
        PyUnicode_GET_LENGTH(<object>held) == PyUnicode_GET_LENGTH(wanted)
        and PyUnicode_KIND(<object>held) == PyUnicode_KIND(wanted)
        and memcmp(
            PyUnicode_DATA(<object>held), PyUnicode_DATA(wanted),
            PyUnicode_GET_LENGTH(wanted) * PyUnicode_KIND(wanted),
        ) == 0
    )


cdef inline Py_ssize_t index_find(const Index *index, Rows *rows, str session_id) noexcept:
    """Return the slot of an id, or -1."""
    cdef uint32_t tag = index_tag(index, session_id)
    cdef Bucket *bucket = index_entry(index, tag)[0]
    cdef uint32_t position = tag & CELL_MASK
    cdef Cell cell = bucket.cells[position]
    while cell.place:
        if cell.tag == tag and same_id(row_objects(rows, cell.place - 1).session_id, session_id):
            return cell.place - 1
        position = (position + 1) & CELL_MASK
        cell = bucket.cells[position]
    return -1


cdef inline void put_cell(Bucket *bucket, Cell cell) noexcept nogil:
    cdef uint32_t position = cell.tag & CELL_MASK
    while bucket.cells[position].place:
        position = (position + 1) & CELL_MASK
    bucket.cells[position] = cell
    bucket.used += 1


cdef inline bint index_deepen(Index *index) noexcept:
    """Double the directory; return whether there was memory for it."""
    cdef uint32_t size = <uint32_t>1 << index.depth
    cdef uint32_t i
    cdef Bucket **directory = <Bucket **>PyMem_RawMalloc(2 * size * sizeof(Bucket *))
    if directory is NULL:
        return False
    for i in range(size):
        directory[2 * i] = directory[2 * i + 1] = index.directory[i]
    PyMem_RawFree(index.directory)
    index.directory = directory
    index.depth += 1
    return True


cdef inline void index_split(Index *index, uint32_t tag, Bucket *upper) noexcept nogil:
    """Move what belongs there from the bucket of `tag` to an empty one, `upper`."""
    cdef Bucket **entry = index_entry(index, tag)
    cdef Bucket *lower = entry[0]
    cdef Bucket former = lower[0]
    cdef uint32_t bit = <uint32_t>1 << (TAG_BITS - 1 - former.depth)
    cdef uint32_t span = <uint32_t>1 << (index.depth - former.depth)
    cdef uint32_t first = <uint32_t>(entry - index.directory) & ~(span - 1)
    cdef uint32_t half
    cdef int i
    memset(lower, 0, sizeof(Bucket))
    lower.depth = upper.depth = former.depth + 1
    for i in range(CELLS):
        if former.cells[i].place:
            put_cell(upper if former.cells[i].tag & bit else lower, former.cells[i])
    for half in range(first + span // 2, first + span):
        index.directory[half] = upper


cdef inline bint index_reserve(Index *index, uint32_t tag) noexcept:
    """Make room for one more tag; return whether there was memory for it."""
    cdef Bucket *bucket = index_entry(index, tag)[0]
    cdef Bucket *upper
    while bucket.used >= MOST_CELLS:
        if bucket.depth == MAX_DEPTH:
            return bucket.used < CELLS - 1      # the empty cell ends every search
        if bucket.depth == index.depth and not index_deepen(index):
            return False
        upper = <Bucket *>PyMem_RawCalloc(1, sizeof(Bucket))
        if upper is NULL:
            return False
        index_split(index, tag, upper)
        bucket = index_entry(index, tag)[0]
    return True


cdef inline void index_insert(Index *index, uint32_t tag, Py_ssize_t slot) noexcept nogil:
    """Add a slot under a tag for which there is room."""
    cdef Cell cell
    cell.tag = tag
    cell.place = <int32_t>(slot + 1)
    put_cell(index_entry(index, tag)[0], cell)


cdef inline void index_join(Index *index, uint32_t tag) noexcept nogil:
    """Join the bucket of `tag` with its other half while they are nearly empty; never allocates."""
    cdef Bucket *bucket = index_entry(index, tag)[0]
    cdef Bucket *other
    cdef uint32_t span, first, entry
    cdef int i
    while bucket.depth:
        other = index_entry(index, tag ^ <uint32_t>1 << (TAG_BITS - bucket.depth))[0]
        if other.depth != bucket.depth or bucket.used + other.used > FEW_CELLS:
            return
        for i in range(CELLS):
            if other.cells[i].place:
                put_cell(bucket, other.cells[i])
        bucket.depth -= 1
        span = <uint32_t>1 << (index.depth - bucket.depth)
        first = <uint32_t>(index_entry(index, tag) - index.directory) & ~(span - 1)
        for entry in range(first, first + span):
            index.directory[entry] = bucket
        PyMem_RawFree(other)
    if index.depth:
        index.depth = 0
        index.directory = <Bucket **>shrunk(index.directory, sizeof(Bucket *))


cdef inline void *shrunk(void *memory, size_t size) noexcept nogil:
    """Return a block that has been made smaller, or as it was if that fails."""
    cdef void *smaller = PyMem_RawRealloc(memory, size)
    return memory if smaller is NULL else smaller


cdef inline void index_remove(Index *index, uint32_t tag, Py_ssize_t slot) noexcept nogil:
    """Remove a slot that is under a tag."""
    cdef Bucket *bucket = index_entry(index, tag)[0]
    cdef Cell *cells = bucket.cells
    cdef uint32_t gap = tag & CELL_MASK
    cdef uint32_t probe
    while cells[gap].place != slot + 1:
        gap = (gap + 1) & CELL_MASK
    probe = (gap + 1) & CELL_MASK
    while cells[probe].place:
        # A cell may move into the gap unless its search would then begin behind it.
        if ((probe - cells[probe].tag) & CELL_MASK) >= ((probe - gap) & CELL_MASK):
            cells[gap] = cells[probe]
            gap = probe
        probe = (probe + 1) & CELL_MASK
    cells[gap].place = 0
    bucket.used -= 1
    if bucket.used & SELDOM == 0 and bucket.used <= FEW_CELLS:
        index_join(index, tag)
