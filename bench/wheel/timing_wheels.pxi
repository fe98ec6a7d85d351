"""Two hierarchical timing wheels; see expiry_structures.pyx."""


cdef class Wheel(Expiries):
    """A hierarchical wheel: circular lists of slots, linked both ways through one array.

    The lists' heads follow the slots in that array, so that unlinking needs no bucket number.
    """

    cdef Neighbours *links
    cdef int64_t tick       # the rows of earlier ticks are out

    def __cinit__(self, Py_ssize_t capacity):
        cdef int32_t node
        cdef Py_ssize_t nodes = capacity + LEVELS * BUCKETS
        self.links = <Neighbours *>self.allocated(nodes * sizeof(Neighbours))
        for node in range(nodes):
            self.links[node].next = self.links[node].previous = node

    def __dealloc__(self):
        free(self.links)


cdef inline int32_t bucket_for(Wheel wheel, int64_t expires) noexcept nogil:
    """Return the list for an expiry: its level is the highest byte that differs from now's."""
    cdef int64_t due = max(expires >> TICK_BITS, wheel.tick)
    cdef uint64_t apart = <uint64_t>(due ^ wheel.tick)
    cdef int level = (apart >= 1 << 8) + (apart >= 1 << 16) + (apart >= 1 << 24)
    return <int32_t>(wheel.capacity + level * BUCKETS + ((due >> (8 * level)) & (BUCKETS - 1)))


cdef inline void link(Wheel wheel, int32_t slot, int32_t bucket) noexcept nogil:
    cdef int32_t following = wheel.links[bucket].next
    wheel.links[slot].next = following
    wheel.links[slot].previous = bucket
    wheel.links[following].previous = slot
    wheel.links[bucket].next = slot


cdef inline void unlink(Wheel wheel, int32_t slot) noexcept nogil:
    cdef Neighbours link = wheel.links[slot]
    wheel.links[link.previous].next = link.next
    wheel.links[link.next].previous = link.previous


@cython.final
cdef class EagerWheel(Wheel):
    """A wheel in which each access moves the row to the bucket it belongs to."""

    cdef int32_t *bucket

    def __cinit__(self, Py_ssize_t capacity):
        self.bucket = <int32_t *>self.allocated(capacity * sizeof(int32_t))

    def __dealloc__(self):
        free(self.bucket)

    cdef inline void place(self, int32_t slot) noexcept nogil:
        self.bucket[slot] = bucket_for(self, self.expires[slot])
        link(self, slot, self.bucket[slot])

    cdef inline void insert(self, int32_t slot, int64_t expires) noexcept nogil:
        self.expires[slot] = expires
        self.place(slot)

    cdef inline void touch(self, int32_t slot, int64_t expires) noexcept nogil:
        self.expires[slot] = expires
        if self.bucket[slot] != bucket_for(self, expires):
            unlink(self, slot)
            self.place(slot)

    cdef inline void remove(self, int32_t slot) noexcept nogil:
        unlink(self, slot)
        self.expires[slot] = INT64_MAX

    cdef inline bint sweep(
        self, int64_t now, Py_ssize_t budget, int32_t *found, Py_ssize_t *count
    ) noexcept nogil:
        return turn(self, now, budget, found, count)


@cython.final
cdef class LazyWheel(Wheel):
    """A wheel in which an access only stores; a bucket that comes due moves what was refreshed."""

    cdef inline void place(self, int32_t slot) noexcept nogil:
        link(self, slot, bucket_for(self, self.expires[slot]))

    cdef inline void insert(self, int32_t slot, int64_t expires) noexcept nogil:
        self.expires[slot] = expires
        self.place(slot)

    cdef inline void touch(self, int32_t slot, int64_t expires) noexcept nogil:
        cdef int64_t before = self.expires[slot]
        self.expires[slot] = expires
        if expires < before:
            unlink(self, slot)
            self.place(slot)

    cdef inline void remove(self, int32_t slot) noexcept nogil:
        unlink(self, slot)
        self.expires[slot] = INT64_MAX

    cdef inline bint sweep(
        self, int64_t now, Py_ssize_t budget, int32_t *found, Py_ssize_t *count
    ) noexcept nogil:
        return turn(self, now, budget, found, count)


ctypedef fused AnyWheel:
    EagerWheel
    LazyWheel


cdef inline bint turn(
    AnyWheel wheel, int64_t now, Py_ssize_t budget, int32_t *found, Py_ssize_t *count
) noexcept nogil:
    """Turn a wheel up to `now`; a tick costs as much of the budget as a row."""
    cdef int64_t target = (now + 1) >> TICK_BITS
    cdef int32_t bucket, slot
    cdef int level
    while True:
        if wheel.tick & (BUCKETS - 1) == 0:     # a turn of the first level: refill it
            for level in range(LEVELS - 1, 0, -1):
                bucket = <int32_t>(wheel.capacity + level * BUCKETS) + <int32_t>(
                    (wheel.tick >> (8 * level)) & (BUCKETS - 1)
                )
                slot = wheel.links[bucket].next
                while slot != bucket:
                    if budget <= 0:
                        return False
                    budget -= 1
                    unlink(wheel, slot)
                    wheel.place(slot)
                    slot = wheel.links[bucket].next
        if wheel.tick >= target:
            return True
        bucket = <int32_t>(wheel.capacity + (wheel.tick & (BUCKETS - 1)))
        slot = wheel.links[bucket].next
        while slot != bucket:
            if budget <= 0:
                return False
            budget -= 1
            unlink(wheel, slot)
            if wheel.expires[slot] >> TICK_BITS > wheel.tick:
                wheel.place(slot)
            else:
                wheel.expires[slot] = INT64_MAX
                found[count[0]] = slot
                count[0] += 1
            slot = wheel.links[bucket].next
        if budget <= 0:
            return False
        budget -= 1
        wheel.tick += 1
