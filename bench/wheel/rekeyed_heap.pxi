"""A binary heap as the yardstick; see expiry_structures.pyx."""


@cython.final
cdef class RekeyedHeap(Expiries):
    """A heap by a due time of its own; what was refreshed gets another one when it comes up."""

    cdef int32_t *heap
    cdef int32_t *position
    cdef int64_t *due
    cdef Py_ssize_t size

    def __cinit__(self, Py_ssize_t capacity):
        self.heap = <int32_t *>self.allocated(capacity * sizeof(int32_t))
        self.position = <int32_t *>self.allocated(capacity * sizeof(int32_t))
        self.due = <int64_t *>self.allocated(capacity * sizeof(int64_t))

    def __dealloc__(self):
        free(self.heap)
        free(self.position)
        free(self.due)

    cdef inline void put(self, Py_ssize_t at, int32_t slot) noexcept nogil:
        self.heap[at] = slot
        self.position[slot] = <int32_t>at

    cdef inline void rise(self, Py_ssize_t at, int32_t slot) noexcept nogil:
        cdef Py_ssize_t parent
        while at > 0:
            parent = (at - 1) >> 1
            if self.due[self.heap[parent]] <= self.due[slot]:
                break
            self.put(at, self.heap[parent])
            at = parent
        self.put(at, slot)

    cdef inline void sink(self, Py_ssize_t at, int32_t slot) noexcept nogil:
        cdef Py_ssize_t child = 2 * at + 1
        while child < self.size:
            if child + 1 < self.size and (
                self.due[self.heap[child + 1]] < self.due[self.heap[child]]
            ):
                child += 1
            if self.due[slot] <= self.due[self.heap[child]]:
                break
            self.put(at, self.heap[child])
            at = child
            child = 2 * at + 1
        self.put(at, slot)

    cdef inline void insert(self, int32_t slot, int64_t expires) noexcept nogil:
        self.expires[slot] = self.due[slot] = expires
        self.size += 1
        self.rise(self.size - 1, slot)

    cdef inline void touch(self, int32_t slot, int64_t expires) noexcept nogil:
        self.expires[slot] = expires
        if expires < self.due[slot]:
            self.due[slot] = expires
            self.rise(self.position[slot], slot)

    cdef inline void remove(self, int32_t slot) noexcept nogil:
        cdef Py_ssize_t at = self.position[slot]
        cdef int32_t last
        self.expires[slot] = INT64_MAX
        self.size -= 1
        if at == self.size:
            return
        last = self.heap[self.size]
        if self.due[last] < self.due[slot]:
            self.rise(at, last)
        else:
            self.sink(at, last)

    cdef inline bint sweep(
        self, int64_t now, Py_ssize_t budget, int32_t *found, Py_ssize_t *count
    ) noexcept nogil:
        cdef int32_t slot
        while self.size > 0:
            slot = self.heap[0]
            if self.due[slot] > now:
                break
            if budget <= 0:
                return False
            budget -= 1
            if self.expires[slot] > now:
                self.due[slot] = self.expires[slot]
                self.sink(0, slot)
            else:
                self.remove(slot)
                found[count[0]] = slot
                count[0] += 1
        return True
