"""What the session table does under its lock; a part of session_table.pyx."""


@cython.no_gc_clear     # handles that go in the same collection still read the columns
cdef class TableCore:
    """The rows, the index and the lock that guards them."""

    cdef Rows _rows
    cdef Index _index
    cdef dict _channels         # channel name -> column; names are only ever added
    cdef PyObject *_names[MAX_CHANNELS]     # the keys of `_channels`, by column
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
        index_close(&self._index)
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
        cdef Py_ssize_t slot
        if handle is not None:
            return self._slot_of(handle)
        if key is None:
            return -1
        slot = index_find(&self._index, &self._rows, key)
        return slot if slot >= 0 and row_expires(&self._rows, slot)[0] > now else -1

    @cython.final
    cdef inline int _column(
        self, object channel, str key, SessionHandle handle, int64_t now
    ) except -2:
        """Return the column of a channel, naming a new one only for a session that exists."""
        cdef PyObject *value
        cdef int column
        if channel is None:
            return NO_CHANNEL
        with cython.critical_section(self):
            for column in range(self._rows.nchannels):      # most callers pass a literal
                if self._names[column] is <PyObject *>channel:
                    return column
        if PyUnicode_CheckExact(channel):
            value = PyDict_GetItemWithError(self._channels, channel)
            if value is not NULL:
                return PyLong_AsLong(<object>value)
        return self._new_column(_arguments.channel_name(channel), key, handle, now)

    @cython.final
    cdef int _new_column(self, str name, str key, SessionHandle handle, int64_t now) except -2:
        with cython.critical_section(self):
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
            with cython.critical_section(self):
                # Allocating may have collected garbage, and so run code that changed the table.
                if self._rows.nchunks == nchunks and name not in self._channels:
                    number = self._rows.nchannels
                    if number < MAX_CHANNELS:
                        for chunk in range(nchunks):
                            self._rows.chunks[chunk].channel[number] = &block[chunk, 0]
                        self._channels[name] = number
                        self._names[number] = <PyObject *>name
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
        fresh.earliest = INT64_MAX
        fresh.expires = &expires[0]
        fresh.meta = <RowMeta *>&meta[0, 0]
        fresh.links = <Link *>&links[0, 0]
        for column in range(nchannels):
            fresh.channel[column] = &channels[column, 0]
        fresh.objects = <RowObjects *>PyMem_Calloc(size, sizeof(RowObjects))
        if fresh.objects is NULL:
            raise MemoryError
        try:
            with cython.critical_section(self):
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
    cdef void _remove(self, Py_ssize_t slot, Removed *removed) noexcept:
        """Empty a row, under the lock; what it held goes to its handle or else to `removed`."""
        cdef RowObjects *objects = row_objects(&self._rows, slot)
        self._remove_tagged(slot, index_tag(&self._index, <str>objects.session_id), removed)

    @cython.final
    cdef void _remove_tagged(self, Py_ssize_t slot, uint32_t tag, Removed *removed) noexcept:
        cdef RowObjects *objects = row_objects(&self._rows, slot)
        index_remove(&self._index, tag, slot)
        if objects.handle is not NULL:
            (<SessionHandle>objects.handle)._take_over(self, slot)
        take_out(removed, &objects.session_id)
        take_out(removed, &objects.user_id)
        take_out(removed, &objects.state)
        take_out(removed, &objects.memory_pool_id)
        vacate(&self._rows, slot)

    @cython.final
    cdef int _remove_expired(
        self, Py_ssize_t *slot, Py_ssize_t stop, int64_t now, Removed *removed
    ) noexcept:
        """Remove up to `BATCH` expired rows of [slot, stop), under the lock; return how many.

        `slot` moves on to where the scan ended, at the end of its chunk at the latest.
        """
        cdef Py_ssize_t found[BATCH]
        cdef uint32_t tags[BATCH]
        cdef int count = 0
        cdef int i
        slot[0] = scan_expired(&self._rows, slot[0], stop, now, found, BATCH, &count)
        # One after the other, each removal would wait for its id and then for its cell.
        for i in range(count):
            prefetch(row_objects(&self._rows, found[i]).session_id)
        for i in range(count):
            tags[i] = index_tag(&self._index, <str>row_objects(&self._rows, found[i]).session_id)
            prefetch(index_home(&self._index, tags[i]))
        for i in range(count):
            self._remove_tagged(found[i], tags[i], removed)
        self._expired += count
        return count

    @cython.final
    cdef int _reclaim(self, int64_t now) except -1:
        """Remove some expired rows if there are any; return how many."""
        cdef Removed removed
        cdef Py_ssize_t slot = 0
        cdef int count = 0
        removed.count = 0
        while count == 0 and slot < self._rows.high:
            with cython.critical_section(self):
                count = self._remove_expired(&slot, self._rows.high, now, &removed)
            drop(&removed)
        return count

    @cython.final
    cdef Outcome _try_install(
        self, SessionHandle handle, int64_t now, bint replace, bint evict, Removed *removed
    ) noexcept:
        """Give a detached handle a row, under the lock."""
        cdef uint32_t tag = index_tag(&self._index, handle._session_id)
        cdef Py_ssize_t slot
        if handle._slot >= 0:
            return Outcome.ATTACHED
        if not index_reserve(&self._index, tag):
            return Outcome.NO_MEMORY
        slot = index_find(&self._index, &self._rows, handle._session_id)
        if slot >= 0:
            if row_expires(&self._rows, slot)[0] <= now:
                self._expired += 1
            elif replace:
                self._replaced += 1
            else:
                return Outcome.EXISTS
            self._remove(slot, removed)
        elif self._rows.held >= self._capacity:
            if not evict:
                return Outcome.FULL
            self._remove(self._rows.oldest, removed)
            self._evicted += 1
        slot = vacant_slot(&self._rows)
        if slot < 0:
            return Outcome.NO_SLOT
        index_insert(&self._index, tag, slot)
        occupy(&self._rows, slot, handle._ttl)
        handle._hand_over(self, slot)
        self._created += 1
        return Outcome.INSTALLED

    @cython.final
    cdef Outcome _install(self, SessionHandle handle, int64_t now, bint replace) except *:
        """Give a detached handle a row, making room for it where there is none."""
        cdef Removed removed
        cdef SessionTable former = handle._table    # not to be the last reference dropped below
        cdef Outcome outcome = Outcome.NO_SLOT
        cdef int columns[MAX_CHANNELS]
        cdef int64_t times[MAX_CHANNELS]
        cdef bint evict = False
        cdef int count = 0
        cdef int i
        if handle._slot < 0 and (handle._activity or handle._ntimes > 0):
            for name, time in list(handle._own_activity().items()):
                columns[count] = self._register(name)
                times[count] = time
                count += 1
        removed.count = 0
        while outcome == Outcome.NO_SLOT:
            with cython.critical_section(self):
                outcome = self._try_install(handle, now, replace, evict, &removed)
                if outcome == Outcome.INSTALLED:
                    for i in range(count):
                        set_channel(&self._rows, handle._slot, columns[i], times[i])
            drop(&removed)
            if outcome == Outcome.NO_MEMORY:
                raise MemoryError
            if outcome == Outcome.NO_SLOT:
                self._grow()
            elif outcome == Outcome.FULL:
                if self._reclaim(now) == 0:
                    evict = self._may_evict()
                outcome = Outcome.NO_SLOT
        return outcome

    @cython.final
    cdef bint _may_evict(self) except -1:
        """Return true for a full table of live sessions that evicts; the other kind refuses."""
        if not self._rows.linked:
            with cython.critical_section(self):
                self._refused += 1
            raise _arguments.table_full(self._capacity)
        return True

    @cython.final
    cdef SessionHandle _handle(self, str key, int64_t now, int column, bint peek):
        """Return a handle onto a live row and touch it, or just `peek` at any row.

        There is one handle to a row at a time, so that a removal knows where its contents go.
        """
        cdef SessionHandle fresh = None
        cdef RowObjects *objects
        cdef PyObject *held
        cdef Py_ssize_t slot
        while True:
            with cython.critical_section(self):
                slot = self._locate(key, None, INT64_MIN if peek else now)
                if slot < 0:
                    return None
                if not peek:
                    touch_row(&self._rows, slot, now, column)
                objects = row_objects(&self._rows, slot)
                held = live_reference(objects.handle)
                if held is not NULL:
                    found = <SessionHandle>held
                    Py_XDECREF(held)    # `found` holds another
                    return found
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
        with cython.critical_section(self):
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
        with cython.critical_section(self):
            slot = self._locate(key, handle, now)
            if slot >= 0:
                touch_row(&self._rows, slot, now, column)
        return slot >= 0

    @cython.final
    cdef bint _update(
        self, str key, SessionHandle handle, object updates, object channel, int64_t expected
    ) except -1:
        """Touch a row and merge into its state, unless its version is not the one expected."""
        cdef int64_t now = self._now()
        cdef int column = self._column(channel, key, handle, now)
        cdef dict items = checked_items(updates, "updates")
        cdef dict state = None
        cdef dict fresh = None
        cdef RowObjects *objects
        cdef int64_t version
        cdef bint conflict
        cdef Py_ssize_t slot
        while True:
            with cython.critical_section(self):
                slot = self._locate(key, handle, now)
                if slot < 0:
                    return False
                touch_row(&self._rows, slot, now, column)
                objects = row_objects(&self._rows, slot)
                version = objects.version
                conflict = expected != ANY_VERSION and expected != version
                if conflict:
                    pass
                elif objects.state is not NULL:
                    state = <dict>objects.state
                    objects.version += PyDict_Size(items) > 0
                elif fresh is not None:
                    Py_INCREF(fresh)
                    objects.state = <PyObject *>fresh
                    objects.version += PyDict_Size(items) > 0
                    return True
            if conflict:
                raise _arguments.version_conflict(expected, version)
            if state is not None:
                merge(state, items)
                return True
            # A dict is tracked by the garbage collector, so it is made outside the lock.
            fresh = PyDict_Copy(items)

    @cython.final
    cdef bint _delete(
        self, str key, SessionHandle handle, int64_t now, int64_t expected
    ) except -1:
        cdef Removed removed
        cdef int64_t version = expected
        cdef Py_ssize_t slot
        cdef bint live = False
        removed.count = 0
        with cython.critical_section(self):
            slot = self._locate(key, handle, INT64_MIN)
            if slot >= 0:
                live = row_expires(&self._rows, slot)[0] > now
                if live and expected != ANY_VERSION:
                    version = row_objects(&self._rows, slot).version
                if version == expected:
                    self._deleted += live
                    self._expired += not live
                    self._remove(slot, &removed)
        drop(&removed)
        if version != expected:
            raise _arguments.version_conflict(expected, version)
        return live

    @cython.final
    cdef Py_ssize_t _sweep(
        self, Py_ssize_t slot, Py_ssize_t max_rows, int64_t budget, Py_ssize_t *total
    ) except -1:
        """Remove expired rows from `slot` on; return where to go on, or 0 at the end."""
        cdef Removed removed
        cdef Py_ssize_t last = slot + max_rows
        cdef int64_t now = self._now()
        cdef int64_t begun = monotonic_ns()
        cdef int64_t deadline = begun + budget
        cdef int64_t longest = 0
        cdef int64_t ended
        removed.count = 0
        while slot < self._rows.high:
            with cython.critical_section(self):
                total[0] += self._remove_expired(
                    &slot, min(last, self._rows.high), now, &removed
                )
            drop(&removed)
            ended = monotonic_ns()
            longest = max(longest, ended - begun)
            begun = ended
            if slot >= last or ended + longest >= deadline:
                break
        return slot if slot < self._rows.high else 0
