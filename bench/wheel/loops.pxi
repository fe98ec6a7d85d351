"""The loops that drive every structure alike and time themselves; see expiry_structures.pyx."""

cdef enum Step:
    INSERT
    TOUCH
    REMOVE

cdef struct Pass:           # a sweep, in slices, to its end
    Py_ssize_t count
    int64_t taken
    int64_t longest

cdef struct Trace:
    const int32_t *users
    const int64_t *ttl
    int32_t *slot_of
    int32_t *owner_of
    int32_t *found
    int32_t *free_slots
    Py_ssize_t operations
    Py_ssize_t vacant
    Py_ssize_t every
    Py_ssize_t budget
    int64_t now
    int64_t step

cdef struct Replayed:
    int64_t taken
    int64_t sweeping
    int64_t longest
    Py_ssize_t created
    Py_ssize_t expired
    Py_ssize_t sweeps


cdef int64_t stepped(
    Structure structure, Step step, const int32_t *slots, const int64_t *expires, Py_ssize_t rows
) noexcept nogil:
    """Take one step for each row; return the nanoseconds of all."""
    cdef Py_ssize_t i
    cdef int64_t started = monotonic_ns()
    if step == INSERT:
        for i in range(rows):
            structure.insert(slots[i], expires[i])
    elif step == TOUCH:
        for i in range(rows):
            structure.touch(slots[i], expires[i])
    else:
        for i in range(rows):
            structure.remove(slots[i])
    return monotonic_ns() - started


cdef Pass swept(
    Structure structure, int64_t now, Py_ssize_t budget, int32_t *found
) noexcept nogil:
    """Sweep in slices, each of which is timed."""
    cdef Pass done = Pass(0, 0, 0)
    cdef int64_t started
    cdef bint ended = False
    while not ended:
        started = monotonic_ns()
        ended = structure.sweep(now, budget, found, &done.count)
        started = monotonic_ns() - started
        done.taken += started
        done.longest = max(done.longest, started)
    return done


cdef Replayed replayed(Structure structure, Trace *trace) noexcept nogil:
    """Run a trace; a vacant slot is taken from the end of the free ones."""
    cdef Replayed result = Replayed(0, 0, 0, 0, 0, 0)
    cdef Pass done
    cdef int64_t now = trace.now
    cdef Py_ssize_t until_sweep = trace.every
    cdef Py_ssize_t i, j
    cdef int32_t user, slot
    result.taken = -monotonic_ns()
    for i in range(trace.operations):
        now += trace.step
        user = trace.users[i]
        slot = trace.slot_of[user if user >= 0 else ~user]
        if user >= 0 and slot >= 0 and structure.expires[slot] > now:
            structure.touch(slot, now + trace.ttl[user])
        else:
            user = user if user >= 0 else ~user
            result.created += 1
            if slot >= 0:
                structure.remove(slot)
            else:
                trace.vacant -= 1
                slot = trace.free_slots[trace.vacant]
                trace.slot_of[user] = slot
                trace.owner_of[slot] = user
            structure.insert(slot, now + trace.ttl[user])
        until_sweep -= 1
        if until_sweep == 0:
            until_sweep = trace.every
            done = swept(
                structure, ((now + 1) >> TICK_BITS << TICK_BITS) - 1, trace.budget, trace.found
            )
            for j in range(done.count):
                slot = trace.found[j]
                trace.slot_of[trace.owner_of[slot]] = -1
                trace.free_slots[trace.vacant] = slot
                trace.vacant += 1
            result.expired += done.count
            result.sweeping += done.taken
            result.longest = max(result.longest, done.longest)
            result.sweeps += 1
    result.taken += monotonic_ns()
    return result


cdef class Column:
    """A buffer of numbers; typed memoryviews would be two thirds of all there is to compile."""

    cdef Py_buffer view
    cdef Py_ssize_t rows

    def __cinit__(self, array, int itemsize):
        PyObject_GetBuffer(array, &self.view, PyBUF_WRITABLE)   # refuses what is not contiguous
        if self.view.itemsize != itemsize:
            raise ValueError(f"the array must be one of int{8 * itemsize}")
        self.rows = self.view.len // itemsize

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    cdef int32_t *int32s(self, Py_ssize_t low, Py_ssize_t high) except? NULL:
        """Return the numbers, none of which is below `low` or above `high`."""
        cdef int32_t *numbers = <int32_t *>self.view.buf
        cdef Py_ssize_t i
        for i in range(self.rows):
            if not low <= numbers[i] <= high:
                raise ValueError(f"{numbers[i]} is not between {low} and {high}")
        return numbers

    cdef int64_t *times(self) except? NULL:
        """Return the numbers, all of which are from 0 to 2**62 - 1."""
        cdef int64_t *numbers = <int64_t *>self.view.buf
        cdef Py_ssize_t i
        for i in range(self.rows):
            if not 0 <= numbers[i] <= LATEST:
                raise ValueError(f"{numbers[i]} is no time from 0 to 2**62 - 1")
        return numbers


cdef int64_t step_all(Expiries structure, Step step, Column slots, Column expires) except -1:
    cdef const int32_t *numbers = slots.int32s(0, structure.capacity - 1)
    cdef const int64_t *times = NULL
    if expires is not None:
        times = expires.times()
        if expires.rows != slots.rows:
            raise ValueError("slots and expires must be of the same length")
    if isinstance(structure, PackedScan):
        return stepped(<PackedScan>structure, step, numbers, times, slots.rows)
    if isinstance(structure, EagerWheel):
        return stepped(<EagerWheel>structure, step, numbers, times, slots.rows)
    if isinstance(structure, LazyWheel):
        return stepped(<LazyWheel>structure, step, numbers, times, slots.rows)
    return stepped(<RekeyedHeap?>structure, step, numbers, times, slots.rows)


def insert(Expiries structure not None, slots, expires):
    """Insert rows into slots that are free; return the nanoseconds it took.

    Parameters
    ----------
    slots : array of int32
    expires : array of int64, of the same length
    """
    return step_all(structure, INSERT, Column(slots, 4), Column(expires, 8))


def touch(Expiries structure not None, slots, expires):
    """Give rows that are held new expiries, as `insert`; return the nanoseconds it took."""
    return step_all(structure, TOUCH, Column(slots, 4), Column(expires, 8))


def remove(Expiries structure not None, slots):
    """Remove rows that are held; return the nanoseconds it took."""
    return step_all(structure, REMOVE, Column(slots, 4), None)


def read(Expiries structure not None, into):
    """Copy the expiry of each slot into an array of int64."""
    cdef Column column = Column(into, 8)
    memcpy(
        column.view.buf, structure.expires,
        min(column.rows, structure.capacity) * sizeof(int64_t),
    )


def sweep(Expiries structure not None, int64_t now, Py_ssize_t budget, found):
    """Sweep in slices to the end.

    Parameters
    ----------
    found : array of int32
        Room for every slot.

    Returns
    -------
    count : int
        How many slots have expired, which `found` starts with.
    taken, longest : int
        Nanoseconds of all slices together and of the longest.
    """
    cdef Pass done
    cdef Column column = Column(found, 4)
    cdef int32_t *into = <int32_t *>column.view.buf
    if column.rows < structure.capacity or budget <= 0 or not 0 <= now <= LATEST:
        raise ValueError("there must be a budget, room for every slot and a time below 2**62")
    if isinstance(structure, PackedScan):
        done = swept(<PackedScan>structure, now, budget, into)
    elif isinstance(structure, EagerWheel):
        done = swept(<EagerWheel>structure, now, budget, into)
    elif isinstance(structure, LazyWheel):
        done = swept(<LazyWheel>structure, now, budget, into)
    else:
        done = swept(<RekeyedHeap?>structure, now, budget, into)
    return done.count, done.taken, done.longest


def replay(
    Expiries structure not None, users, ttl, slot_of, owner_of, int64_t now, int64_t step,
    Py_ssize_t every, Py_ssize_t budget, found,
):
    """Replay operations of users on their sessions, with a sweep after each `every` of them.

    Parameters
    ----------
    users : array of int32
        The user of each operation, who slides the expiry of a live session and creates one
        otherwise; or the complement of a user, who gets a new session in any case.
    ttl : array of int64
    slot_of : array of int32
        Of each user; the slot is -1 without a session.
    owner_of : array of int32
        Of each slot; which user it is does not matter where no session is held.
    now, step : int
        When the trace starts, and the nanoseconds from one operation to the next.
    found : array of int32
        Room for every slot twice.

    Returns
    -------
    dict
        Nanoseconds ``taken`` in all, ``sweeping`` and in the ``longest`` slice; how many sessions
        were ``created`` and ``expired`` and how many ``sweeps`` there were.
    """
    cdef Py_ssize_t capacity = structure.capacity
    cdef Column operations = Column(users, 4)
    cdef Column ttls = Column(ttl, 8)
    cdef Column slots = Column(slot_of, 4)
    cdef Column owners = Column(owner_of, 4)
    cdef Column room = Column(found, 4)
    cdef Py_ssize_t i
    cdef Trace trace
    if not capacity == ttls.rows == slots.rows == owners.rows:
        raise ValueError("there must be as many users as slots")
    if room.rows < 2 * capacity or every <= 0 or budget <= 0:
        raise ValueError("there must be a budget, and room for every slot twice")
    trace.users = operations.int32s(-capacity, capacity - 1)
    trace.ttl = ttls.times()
    trace.slot_of = slots.int32s(-1, capacity - 1)
    trace.owner_of = owners.int32s(0, capacity - 1)
    trace.found = <int32_t *>room.view.buf
    trace.free_slots = trace.found + capacity
    trace.operations, trace.vacant = operations.rows, 0
    trace.every, trace.budget, trace.now, trace.step = every, budget, now, step
    for i in range(capacity):
        if trace.slot_of[trace.owner_of[i]] != i:
            trace.free_slots[trace.vacant] = <int32_t>i
            trace.vacant += 1
    if isinstance(structure, PackedScan):
        return replayed(<PackedScan>structure, &trace)
    if isinstance(structure, EagerWheel):
        return replayed(<EagerWheel>structure, &trace)
    if isinstance(structure, LazyWheel):
        return replayed(<LazyWheel>structure, &trace)
    return replayed(<RekeyedHeap?>structure, &trace)
