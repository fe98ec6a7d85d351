"""The arrays behind a histogram's store; a part of latency_histogram.pyx."""

cdef enum:
    FIRST_CAPACITY = 64


@cython.no_gc       # numpy arrays of numbers are in no reference cycle
cdef class HistogramMemory:
    """Owns the numpy arrays that a `Store` points into, and lets them grow.

    The methods are called within the histogram's critical section. Allocating may run finalisers
    that record here, and may suspend the section, so whatever had to be allocated for is looked at
    anew afterwards. Once a method is done with that, no Python code runs until it returns, nor
    until its caller has used what it returned for.
    """

    cdef Store _store
    cdef list _blocks       # the arrays whose rows are the octaves
    cdef object _samples    # the array that is the ring

    def __cinit__(self):
        self._blocks = []
        clear(&self._store)

    cdef int _fold(self) except -1:
        cdef int missing = fold(&self._store)
        while missing != READY:
            self._reserve_missing(missing, self._store.waiting)
            missing = fold(&self._store)
        return 0

    cdef int _record_block(self, const double *values, Py_ssize_t size) except -1:
        """Record up to `BLOCK` values, or none of them."""
        cdef int missing
        while True:
            self._fold()
            missing = add_block(&self._store, values, size)
            if missing == READY:
                return 0
            self._reserve_missing(missing, size)

    cdef int _absorb(self, HistogramMemory other) except -1:
        """Record what `other` has recorded; one of the two is private to the caller."""
        self._fold()
        other._fold()
        while room_for(&self._store, &other._store) != READY:
            self._reserve_octaves([o for o in range(OCTAVES) if other._store.octave_counts[o]])
            self._reserve_ring(ring_for(&self._store, other._store.retained))
            self._fold()
            other._fold()
        if self._store.totals.count > max_count() - other._store.totals.count:
            raise too_many_values()
        absorb(&self._store, &other._store)
        return 0

    cdef int _reserve_missing(self, int missing, Py_ssize_t more) except -1:
        if missing == RING:
            return self._reserve_ring(ring_for(&self._store, min(more, BLOCK)))
        return self._reserve_octaves([missing])

    cdef int _reserve_octaves(self, list octaves) except -1:
        cdef list missing = [number for number in octaves if self._store.octaves[number] is NULL]
        if not missing:
            return 0
        import numpy as np
        block = np.zeros((len(missing), OCTAVE_SIZE), np.int64)
        cdef int64_t[:, ::1] rows = block
        cdef Py_ssize_t row
        self._blocks.append(block)
        for row in range(rows.shape[0]):
            if self._store.octaves[<int>missing[row]] is NULL:
                self._store.octaves[<int>missing[row]] = &rows[row, 0]
        return 0

    cdef int _reserve_ring(self, Py_ssize_t capacity) except -1:
        if capacity <= self._store.capacity:
            return 0
        import numpy as np
        capacity = min(max(capacity, 2 * self._store.capacity, FIRST_CAPACITY), self._store.exact)
        samples = np.empty(capacity, np.float64)
        cdef double[::1] ring = samples
        if capacity > self._store.capacity:
            # A ring that can still grow has not wrapped: its samples start at 0.
            if self._store.retained:
                memcpy(&ring[0], self._store.ring, self._store.retained * sizeof(double))
            self._store.ring = &ring[0]
            self._store.capacity = capacity
            self._samples = samples
        return 0


cdef inline int record_in(HistogramMemory histogram, double seconds) except -1:
    """Record one value. Where folding fails for want of memory, it is refused and none is lost."""
    with cython.critical_section(histogram):
        if histogram._store.waiting == BLOCK:
            histogram._fold()
        histogram._store.block[histogram._store.waiting] = seconds
        histogram._store.waiting += 1
    return 0
