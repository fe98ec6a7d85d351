"""What the session table does under its lock; a part of session_table.pyx."""


@cython.no_gc_clear     # handles that go in the same collection still read the columns
cdef class TableCore:
    """The rows, the index and the lock that guards them."""

    cdef Rows _rows
    cdef cython.pymutex _lock
    cdef dict _index            # session id -> slot
    cdef dict _channels         # channel name -> column; names are only ever added
    cdef object _clock
    cdef int64_t _ttl
    cdef Py_ssize_t _capacity
    cdef Py_ssize_t _cursor
    cdef int64_t _created, _replaced, _expired, _deleted, _evicted, _refused

    # The arrays behind the columns are owned by bare references, not by a list: the collector
    # empties lists, and a handle that goes in the same collection still unlinks itself.

    def __dealloc__(self):
        cdef Py_ssize_t chunk, i
        cdef RowObjects *objects
        if self._rows.chunks is NULL:
            return
        for chunk in range(self._rows.nchunks):
            objects = self._rows.chunks[chunk].objects
            for i in range(used_rows(&self._rows, chunk)):
                Py_XDECREF(objects[i].session_id)
                Py_XDECREF(objects[i].user_id)
                Py_XDECREF(objects[i].state)
                Py_XDECREF(objects[i].memory_pool_id)
            PyMem_Free(objects)
            Py_XDECREF(self._rows.chunks[chunk].owner)
        for i in range(self._rows.nchannels):
            Py_XDECREF(self._rows.channel_owner[i])
        PyMem_Free(self._rows.chunks)

    # --- time, names and rows -------------------------------------------------------------------

    @cython.final
    cdef inline int64_t _now(self) except? -1:
        if self._clock is None:
            return monotonic_ns()
        return _arguments.clock_reading(self._clock())

    @cython.final
    cdef inline Py_ssize_t _slot_of(self, SessionHandle handle) noexcept:
        """Return the slot that `handle` stands for, or -1; to be called under the lock."""
        if (
            handle._table is not self
            or handle._slot < 0
            or row_meta(&self._rows, handle._slot).generation != handle._generation
        ):
            return -1
        return handle._slot

    @cython.final
    cdef inline Py_ssize_t _locate(self, str key, SessionHandle handle, int64_t now) noexcept:
        """Return the slot of a live session, or of any row that a handle stands for, or -1."""
        cdef PyObject *value
        cdef Py_ssize_t slot
        if handle is not None:
            return self._slot_of(handle)
        value = PyDict_GetItemWithError(self._index, key)
        if value is NULL:
            return -1
        slot = PyLong_AsSsize_t(<object>value)
        return slot if row_expires(&self._rows, slot)[0] > now else -1

    @cython.final
    cdef inline int _column(
        self, object channel, str key, SessionHandle handle, int64_t now
    ) except -2:
        """Return the column of a channel, naming a new one only for a session that exists."""
        cdef PyObject *value
        if channel is None:
            return NO_CHANNEL
        if PyUnicode_CheckExact(channel):
            value = PyDict_GetItemWithError(self._channels, channel)
            if value is not NULL:
                return PyLong_AsLong(<object>value)
        return self._new_column(_arguments.channel_name(channel), key, handle, now)

    @cython.final
    cdef int _new_column(self, str name, str key, SessionHandle handle, int64_t now) except -2:
        with self._lock:
            if self._locate(key, handle, now) < 0:
                return NO_CHANNEL
        return self._register(name)

    @cython.final
    cdef int _register(self, str name) except -2:
        """Return the column of a channel name, adding one where there is none."""
        cdef int64_t[:, ::1] block
        cdef Py_ssize_t chunk, nchunks
        cdef int number
        while name not in self._channels:
            if len(self._channels) == MAX_CHANNELS:
                raise _arguments.too_many_channels(name)
            nchunks = self._rows.nchunks
            array = np.full((max(1, nchunks), self._chunk_rows()), INT64_MIN, np.int64)
            block = array
            with self._lock:
                # Allocating may have collected garbage, and so run code that changed the table.
                if self._rows.nchunks == nchunks and name not in self._channels:
                    number = self._rows.nchannels
                    if number < MAX_CHANNELS:
                        for chunk in range(nchunks):
                            self._rows.chunks[chunk].channel[number] = &block[chunk, 0]
                        self._channels[name] = number
                        Py_INCREF(array)
                        self._rows.channel_owner[number] = <PyObject *>array
                        self._rows.nchannels = number + 1
        return self._channels[name]

    @cython.final
    cdef inline Py_ssize_t _chunk_rows(self) noexcept:
        return min(<Py_ssize_t>CHUNK_ROWS, self._capacity)

    @cython.final
    cdef int _grow(self) except -1:
        """Add a chunk, unless another one was added while this one was being allocated."""
        cdef Py_ssize_t size = self._chunk_rows()
        cdef Py_ssize_t nchunks = self._rows.nchunks
        cdef int nchannels = self._rows.nchannels
        cdef int column
        cdef int64_t[::1] expires
        cdef int64_t[:, ::1] meta
        cdef int64_t[:, ::1] channels
        cdef int32_t[:, ::1] links
        cdef Chunk fresh
        arrays = (
            np.full(size, INT64_MAX, np.int64),
            np.zeros((size, META_COLUMNS), np.int64),
            np.full((max(1, nchannels), size), INT64_MIN, np.int64),
            np.zeros((size if self._rows.linked else 1, 2), np.int32),
        )
        expires, meta, channels, links = arrays
        fresh.expires = &expires[0]
        fresh.meta = <RowMeta *>&meta[0, 0]
        fresh.links = <Link *>&links[0, 0]
        for column in range(nchannels):
            fresh.channel[column] = &channels[column, 0]
        fresh.objects = <RowObjects *>PyMem_Calloc(size, sizeof(RowObjects))
        if fresh.objects is NULL:
            raise MemoryError
        try:
            with self._lock:
                if (
                    self._rows.nchunks == nchunks
                    and self._rows.nchannels == nchannels
                    and vacant_slot(&self._rows) < 0
                ):
                    Py_INCREF(arrays)
                    fresh.owner = <PyObject *>arrays
                    self._rows.chunks[nchunks] = fresh
                    self._rows.nchunks = nchunks + 1
                    fresh.objects = NULL
        finally:
            PyMem_Free(fresh.objects)
        return 0

    # --- rows coming and going -------------------------------------------------------------------

    @cython.final
    cdef int _remove(self, Py_ssize_t slot, Removed *removed) except -1:
        """Empty a row, under the lock; what it held goes to its handle or else to `removed`."""
        cdef RowObjects *objects = row_objects(&self._rows, slot)
        PyDict_DelItem(self._index, <object>objects.session_id)
        if objects.handle is not NULL:
            (<SessionHandle>objects.handle)._take_over(self, slot)
        take_out(removed, &objects.session_id)
        take_out(removed, &objects.user_id)
        take_out(removed, &objects.state)
        take_out(removed, &objects.memory_pool_id)
        vacate(&self._rows, slot)
        return 0

    @cython.final
    cdef int _reclaim(self, int64_t now, Removed *removed) except -1:
        """Remove some expired rows, under the lock, if there are any; return how many."""
        cdef Py_ssize_t found[BATCH]
        cdef int count = 0
        cdef int i
        if now < self._rows.earliest:
            return 0
        scan_expired(&self._rows, 0, self._rows.high, now, found, BATCH, &count)
        for i in range(count):
            self._remove(found[i], removed)
        self._expired += count
        if count == 0:
            self._rows.earliest = earliest_expiry(&self._rows)
        return count

    @cython.final
    cdef Outcome _try_install(
        self, SessionHandle handle, int64_t now, bint replace, Removed *removed
    ) except *:
        """Give a detached handle a row, under the lock."""
        cdef PyObject *value = PyDict_GetItemWithError(self._index, handle._session_id)
        cdef Py_ssize_t slot
        if handle._slot >= 0:
            return Outcome.ATTACHED
        if value is not NULL:
            slot = PyLong_AsSsize_t(<object>value)
            if row_expires(&self._rows, slot)[0] <= now:
                self._expired += 1
            elif replace:
                self._replaced += 1
            else:
                return Outcome.EXISTS
            self._remove(slot, removed)
        elif self._rows.held >= self._capacity and self._reclaim(now, removed) == 0:
            if not self._rows.linked:
                self._refused += 1
                return Outcome.FULL
            self._remove(self._rows.oldest, removed)
            self._evicted += 1
        slot = vacant_slot(&self._rows)
        if slot < 0:
            return Outcome.NO_SLOT
        PyDict_SetItem(self._index, handle._session_id, slot)
        occupy(&self._rows, slot, handle._ttl)
        handle._hand_over(self, slot)
        self._created += 1
        return Outcome.INSTALLED

    @cython.final
    cdef Outcome _install(self, SessionHandle handle, int64_t now, bint replace) except *:
        """Give a detached handle a row, adding a chunk when there is none to give."""
        cdef Removed removed
        cdef SessionTable former = handle._table    # not to be the last reference dropped below
        cdef Outcome outcome = Outcome.NO_SLOT
        cdef int columns[MAX_CHANNELS]
        cdef int64_t times[MAX_CHANNELS]
        cdef int count = 0
        cdef int i
        if handle._slot < 0 and (handle._activity or handle._ntimes > 0):
            for name, time in list(handle._own_activity().items()):
                columns[count] = self._register(name)
                times[count] = time
                count += 1
        removed.count = 0
        while outcome == Outcome.NO_SLOT:
            try:
                with self._lock:
                    outcome = self._try_install(handle, now, replace, &removed)
                    if outcome == Outcome.INSTALLED:
                        for i in range(count):
                            set_channel(&self._rows, handle._slot, columns[i], times[i])
            finally:
                drop(&removed)
            if outcome == Outcome.NO_SLOT:
                self._grow()
        if outcome == Outcome.FULL:
            raise _arguments.table_full(self._capacity)
        return outcome

    @cython.final
    cdef SessionHandle _handle(self, str key, int64_t now, int column, bint peek):
        """Return a handle onto a live row and touch it, or just `peek` at any row.

        There is one handle to a row at a time, so that a removal knows where its contents go.
        """
        cdef SessionHandle fresh = None
        cdef RowObjects *objects
        cdef Py_ssize_t slot
        while True:
            with self._lock:
                slot = self._locate(key, None, INT64_MIN if peek else now)
                if slot < 0:
                    return None
                if not peek:
                    touch_row(&self._rows, slot, now, column)
                objects = row_objects(&self._rows, slot)
                if objects.handle is not NULL:
                    return <SessionHandle>objects.handle
                if fresh is not None:
                    fresh._session_id = <str>objects.session_id
                    fresh._bind(self, slot)
                    return fresh
            fresh = SessionHandle.__new__(SessionHandle)

    @cython.final
    cdef dict _get_state(self, str key, SessionHandle handle, object channel):
        """Touch a row and return a copy of its state, or None where there is no such row."""
        cdef int64_t now = self._now()
        cdef int column = self._column(channel, key, handle, now)
        cdef dict state = None
        cdef PyObject *held
        cdef Py_ssize_t slot
        with self._lock:
            slot = self._locate(key, handle, now)
            if slot < 0:
                return None
            touch_row(&self._rows, slot, now, column)
            held = row_objects(&self._rows, slot).state
            if held is not NULL:
                state = <dict>held
        return {} if state is None else PyDict_Copy(state)

    @cython.final
    cdef bint _touch(self, str key, SessionHandle handle, object channel) except -1:
        cdef int64_t now = self._now()
        cdef int column = self._column(channel, key, handle, now)
        cdef Py_ssize_t slot
        with self._lock:
            slot = self._locate(key, handle, now)
            if slot >= 0:
                touch_row(&self._rows, slot, now, column)
        return slot >= 0

    @cython.final
    cdef bint _update(
        self, str key, SessionHandle handle, object updates, object channel
    ) except -1:
        cdef int64_t now = self._now()
        cdef int column = self._column(channel, key, handle, now)
        cdef dict items = checked_items(updates, "updates")
        cdef dict state = None
        cdef dict fresh = None
        cdef RowObjects *objects
        cdef Py_ssize_t slot
        while True:
            with self._lock:
                slot = self._locate(key, handle, now)
                if slot < 0:
                    return False
                touch_row(&self._rows, slot, now, column)
                objects = row_objects(&self._rows, slot)
                if objects.state is not NULL:
                    state = <dict>objects.state
                elif fresh is not None:
                    Py_INCREF(fresh)
                    objects.state = <PyObject *>fresh
                    return True
            if state is not None:
                merge(state, items)
                return True
            # A dict is tracked by the garbage collector, so it is made outside the lock.
            fresh = PyDict_Copy(items)

    @cython.final
    cdef bint _delete(self, str key, SessionHandle handle, int64_t now) except -1:
        cdef Removed removed
        cdef Py_ssize_t slot
        cdef bint live = False
        removed.count = 0
        with self._lock:
            slot = self._locate(key, handle, INT64_MIN)
            if slot >= 0:
                live = row_expires(&self._rows, slot)[0] > now
                self._deleted += live
                self._expired += not live
                self._remove(slot, &removed)
        drop(&removed)
        return live

    @cython.final
    cdef Py_ssize_t _sweep(
        self, Py_ssize_t slot, Py_ssize_t max_rows, int64_t budget, Py_ssize_t *total
    ) except -1:
        """Remove expired rows from `slot` on; return where to go on, or 0 at the end."""
        cdef Py_ssize_t found[BATCH]
        cdef Removed removed
        cdef Py_ssize_t stop
        cdef int64_t now = self._now()
        cdef int64_t deadline = monotonic_ns() + budget
        cdef int count, i
        removed.count = 0
        while slot < self._rows.high:
            with self._lock:
                stop = min(self._rows.high, slot + min(max_rows, <Py_ssize_t>CHUNK_ROWS))
                count = 0
                max_rows += slot
                slot = scan_expired(&self._rows, slot, stop, now, found, BATCH, &count)
                max_rows -= slot
                for i in range(count):
                    self._remove(found[i], &removed)
                self._expired += count
            drop(&removed)
            total[0] += count
            if max_rows <= 0 or monotonic_ns() >= deadline:
                break
        return slot if slot < self._rows.high else 0
