"""What the session table does under its lock; a part of session_table.pyx."""


@cython.no_gc_clear     # handles that go in the same collection still read the columns
cdef class TableCore:
    """The rows, the index and the lock that guards them."""

    cdef Rows _rows
    cdef Index _index
    cdef dict _channels         # channel name -> column; names are only ever added
    cdef PyObject *_names[MAX_CHANNELS]     # the keys of `_channels`, by column
    cdef object _clock
    cdef type _kind             # the class of the handles
    cdef public object context  # what the handles show as theirs
    cdef public bint tended     # whether something sees to it that expired sessions are removed
    cdef int64_t _ttl
    cdef Py_ssize_t _capacity
    cdef Py_ssize_t _cursor
    cdef int64_t _created, _replaced, _expired, _deleted, _evicted, _refused

    def __dealloc__(self):
        cdef Py_ssize_t number, i
        cdef RowObjects *objects
        index_close(&self._index)
        if self._rows.chunks is NULL:
            return
        for number in range(self._rows.nchunks):
            objects = self._rows.chunks[number].objects
            for i in range(self._rows.chunks[number].used):
                Py_XDECREF(objects[i].session_id)
                Py_XDECREF(objects[i].user_id)
                Py_XDECREF(objects[i].state)
                Py_XDECREF(objects[i].memory_pool_id)
            unmap_chunk(&self._rows, &self._rows.chunks[number])
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
        return handle._slot if handle._table is self else -1

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
        cdef int column
        with cython.critical_section(self):
            if name not in self._channels:
                column = self._rows.nchannels
                if column == MAX_CHANNELS:
                    raise _arguments.too_many_channels(name)
                self._channels[name] = column
                self._names[column] = <PyObject *>name
                self._rows.nchannels = column + 1
            return self._channels[name]

    @cython.final
    cdef inline int _touch_row(self, Py_ssize_t slot, int64_t now, int column) except -1:
        if not touch_row(&self._rows, slot, now, column):
            raise MemoryError
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
        vacate(&self._rows, slot)   # last, since the row's memory may go with it

    @cython.final
    cdef int _remove_expired(
        self, Py_ssize_t *slot, Py_ssize_t most, int64_t now, Removed *removed
    ) noexcept:
        """Remove up to `BATCH` expired rows of the next `most`, under the lock; return how many.

        `slot` moves on to where the scan ended, at the end of its chunk at the latest.
        """
        cdef Py_ssize_t found[BATCH]
        cdef uint32_t tags[BATCH]
        cdef int count = 0
        cdef int i
        slot[0] = scan_expired(&self._rows, slot[0], most, now, found, BATCH, &count)
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
        while count == 0 and slot >= 0:
            with cython.critical_section(self):
                slot = next_used(&self._rows, slot)
                if slot >= 0:
                    count = self._remove_expired(&slot, CHUNK_ROWS, now, &removed)
            drop(&removed)
        return count

    @cython.final
    cdef Outcome _try_install(
        self, SessionHandle handle, int64_t now, bint replace, bint evict, Removed *removed
    ) noexcept:
        """Give a detached handle a row, under the lock."""
        cdef uint32_t tag
        cdef Py_ssize_t slot
        if handle._slot >= 0:
            return Outcome.ATTACHED
        tag = index_tag(&self._index, handle._session_id)
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
        slot = occupy(&self._rows, handle._ttl)
        if slot < 0:
            return Outcome.NO_MEMORY
        index_insert(&self._index, tag, slot)
        handle._hand_over(self, slot)
        self._created += 1
        return Outcome.INSTALLED

    @cython.final
    cdef Outcome _install(self, SessionHandle handle, int64_t now, bint replace) except *:
        """Give a detached handle a row, making room for it where there is none."""
        cdef Removed removed
        cdef SessionTable former = handle._table    # not to be the last reference dropped below
        cdef Outcome outcome = Outcome.FULL
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
        while outcome == Outcome.FULL:
            with cython.critical_section(self):
                outcome = self._try_install(handle, now, replace, evict, &removed)
                if outcome == Outcome.INSTALLED:
                    for i in range(count):
                        if not reserve_channel(&self._rows, handle._slot, columns[i]):
                            self._remove(handle._slot, &removed)
                            handle._removed = False
                            self._created -= 1
                            outcome = Outcome.NO_MEMORY
                            break
                        set_channel(&self._rows, handle._slot, columns[i], times[i])
            drop(&removed)
            if outcome == Outcome.NO_MEMORY:
                raise MemoryError
            if outcome == Outcome.FULL and self._reclaim(now) == 0:
                evict = self._may_evict()
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
    cdef SessionHandle _handle(
        self, str key, int64_t now, int column, str owner=None, bint peek=False
    ):
        """Return a handle onto a live row of this owner and touch it, or just `peek` at any row.

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
                objects = row_objects(&self._rows, slot)
                if owner is not None and <str>objects.user_id != owner:
                    return None
                if not peek:
                    self._touch_row(slot, now, column)
                held = live_reference(objects.handle)
                if held is not NULL:
                    found = <SessionHandle>held
                    Py_XDECREF(held)    # `found` holds another
                    return found
                if fresh is not None:
                    fresh._session_id = <str>objects.session_id
                    fresh._bind(self, slot)
                    return fresh
            fresh = new_handle(self._kind)

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
            self._touch_row(slot, now, column)
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
                self._touch_row(slot, now, column)
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
        cdef RowMeta *meta
        cdef int64_t version
        cdef bint conflict
        cdef Py_ssize_t slot
        while True:
            with cython.critical_section(self):
                slot = self._locate(key, handle, now)
                if slot < 0:
                    return False
                self._touch_row(slot, now, column)
                objects = row_objects(&self._rows, slot)
                meta = row_meta(&self._rows, slot)
                version = meta.version
                conflict = expected != ANY_VERSION and expected != version
                if conflict:
                    pass
                elif objects.state is not NULL:
                    state = <dict>objects.state
                    meta.version += PyDict_Size(items) > 0
                elif fresh is not None:
                    Py_INCREF(fresh)
                    objects.state = <PyObject *>fresh
                    meta.version += PyDict_Size(items) > 0
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
                    version = row_meta(&self._rows, slot).version
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
        cdef int64_t now = self._now()
        cdef int64_t begun = monotonic_ns()
        cdef int64_t deadline = begun + budget
        cdef int64_t longest = 0
        cdef int64_t ended
        cdef Py_ssize_t start
        removed.count = 0
        while True:
            with cython.critical_section(self):
                slot = next_used(&self._rows, slot)
                if slot < 0:
                    release_empty(&self._rows)
                    return 0
                start = slot
                total[0] += self._remove_expired(&slot, max_rows, now, &removed)
                max_rows -= slot - start
            drop(&removed)
            ended = monotonic_ns()
            longest = max(longest, ended - begun)
            begun = ended
            if max_rows <= 0 or ended + longest >= deadline:
                return max(<Py_ssize_t>0, next_used(&self._rows, slot))
