"""Ways to find the expired rows of a table, each the expiry structure of such a table and no more.

All know slots from 0 to `capacity`, store an int64 expiry in nanoseconds for each, and take slots
out as a sweep finds them. A sweep is done in slices, each of which looks at `budget` rows at most.
The packed scan finds what has expired to the nanosecond; the wheels count in ticks of 2**30 ns and
find a row once its tick has passed, so all agree on times that end a tick. They are driven from
loops in C, because one Python call costs more than most of what they do.

Source: G. Varghese and T. Lauck, "Hashed and hierarchical timing wheels" (SOSP 1987).
"""
cimport cython
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from clock cimport monotonic_ns

cdef enum:
    TICK_BITS = 30
    LEVELS = 4
    BUCKETS = 256           # of each level; four levels reach 2**62 ns, or 146 years

cdef int64_t LATEST = INT64_MAX >> 1    # the latest expiry
TICK = 1 << TICK_BITS


cdef struct Neighbours:
    int32_t next
    int32_t previous


cdef class Expiries:
    """The expiry of each slot, INT64_MAX where none is held."""

    cdef int64_t *expires
    cdef readonly Py_ssize_t capacity
    cdef readonly Py_ssize_t extra_bytes    # beside the expiries themselves

    def __cinit__(self, Py_ssize_t capacity):
        cdef Py_ssize_t slot
        if not 0 < capacity <= 1 << 30:
            raise ValueError(f"capacity must be between 1 and 2**30, not {capacity}")
        self.capacity = capacity
        self.expires = <int64_t *>self.allocated(capacity * sizeof(int64_t))
        self.extra_bytes = 0
        for slot in range(capacity):
            self.expires[slot] = INT64_MAX

    def __dealloc__(self):
        free(self.expires)

    cdef void *allocated(self, Py_ssize_t size) except NULL:
        cdef void *memory = calloc(size, 1)
        if memory is NULL:
            raise MemoryError
        self.extra_bytes += size
        return memory


@cython.final
cdef class PackedScan(Expiries):
    """Nothing but the array: an access is one store, a sweep reads it all, eight rows a test."""

    cdef Py_ssize_t cursor

    cdef inline void insert(self, int32_t slot, int64_t expires) noexcept nogil:
        self.expires[slot] = expires

    cdef inline void touch(self, int32_t slot, int64_t expires) noexcept nogil:
        self.expires[slot] = expires

    cdef inline void remove(self, int32_t slot) noexcept nogil:
        self.expires[slot] = INT64_MAX

    cdef inline bint sweep(
        self, int64_t now, Py_ssize_t budget, int32_t *found, Py_ssize_t *count
    ) noexcept nogil:
        cdef int64_t *row
        cdef Py_ssize_t slot = self.cursor
        cdef Py_ssize_t stop = min(self.capacity, slot + budget)
        while slot < stop:
            row = self.expires + slot
            if slot + 8 <= stop and not (
                (row[0] <= now) | (row[1] <= now) | (row[2] <= now) | (row[3] <= now)
                | (row[4] <= now) | (row[5] <= now) | (row[6] <= now) | (row[7] <= now)
            ):
                slot += 8
                continue
            if row[0] <= now:
                row[0] = INT64_MAX
                found[count[0]] = <int32_t>slot
                count[0] += 1
            slot += 1
        self.cursor = slot if slot < self.capacity else 0
        return self.cursor == 0


include "timing_wheels.pxi"
include "rekeyed_heap.pxi"


ctypedef fused Structure:
    PackedScan
    EagerWheel
    LazyWheel
    RekeyedHeap


include "loops.pxi"
