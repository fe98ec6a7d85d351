"""The handle onto a row of the session table; a part of session_table.pyx."""


cdef tuple NO_ARGUMENTS = ()


cdef inline SessionHandle new_handle(type kind):
    """Return an instance of a class of handles that has not begun."""
    # The base's own: what the __new__ of a subclass returns could be anything, or bound already.
    return <SessionHandle>(<PyTypeObject *>SessionHandle).tp_new(
        kind, <PyObject *>NO_ARGUMENTS, NULL
    )


cdef object put(PyObject **cell, object value):
    """Store a reference and return the one it replaces, for the caller to drop unlocked."""
    cdef object previous = None
    cdef PyObject *old = cell[0]
    Py_INCREF(value)
    cell[0] = <PyObject *>value
    if old is not NULL:
        previous = <object>old
        Py_XDECREF(old)     # never the last reference: `previous` holds another
    return previous


cdef inline PyObject **object_cell(RowObjects *objects, Field field) noexcept:
    if field == Field.USER_ID:
        return &objects.user_id
    return &objects.state if field == Field.STATE else &objects.memory_pool_id


@cython.freelist(64)
@cython.no_gc_clear     # __dealloc__ unlinks the handle from its table
cdef class SessionHandle:
    """One session, in a table or out of it.

    While a table holds the row, reading and writing a handle reads and writes the table. When the
    row is removed, what it held moves into the handle, which goes on answering with it and never
    touches another row, whatever the id or the slot is used for next. A handle acts on its row even
    after the session has expired, as long as the table holds it.

    Times are nanoseconds on the table's clock, or on the built-in clock if there never was a table.

    Parameters
    ----------
    session_id : str, optional
        1 to 256 characters; by default 128 random bits in hexadecimal.
    user_id : str
        Whose session it is.
    ttl : float
        Seconds of disuse after which it expires.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of its bounds.
    RuntimeError
        If the session has begun before.
    """

    cdef object __weakref__
    cdef TableCore _table       # None until a table first holds the session
    cdef Py_ssize_t _slot       # -1 while detached
    cdef bint _removed
    cdef str _session_id        # None until the session begins
    # What follows is meaningful only while the handle is detached.
    cdef int64_t _created, _accessed, _expires, _ttl, _version
    cdef str _user_id
    cdef dict _state            # None until it is needed
    cdef object _memory_pool_id
    cdef dict _activity         # channel -> time; None while `_times` stands for it
    cdef int64_t _times[MAX_CHANNELS]
    cdef int _ntimes

    def __cinit__(self):
        self._slot = -1

    def __init__(self, session_id=None, user_id="", ttl=3600.0):
        self._begin(session_id, user_id, _arguments.duration_ns(ttl), monotonic_ns())

    cdef int _begin(self, object session_id, object user_id, int64_t ttl, int64_t now) except -1:
        cdef str key
        if self._session_id is not None:
            raise _arguments.begun_before()
        if session_id is None:
            key = random_id()
        elif (
            PyUnicode_CheckExact(session_id)
            and 0 < PyUnicode_GET_LENGTH(session_id) <= MAX_ID_LENGTH
        ):
            key = <str>session_id
        else:
            key = _arguments.session_id(session_id)
        self._user_id = (
            <str>user_id if PyUnicode_CheckExact(user_id) else _arguments.user_id(user_id)
        )
        self._created = self._accessed = now
        self._ttl = ttl
        self._expires = now + ttl
        self._session_id = key
        return 0

    def __dealloc__(self):
        cdef RowObjects *objects
        if self._table is not None:
            with cython.critical_section(self._table):
                if self._table._slot_of(self) >= 0:
                    objects = row_objects(&self._table._rows, self._slot)
                    if objects.handle is <PyObject *>self:
                        objects.handle = NULL

    # --- called by the table, under its lock ----------------------------------------------------

    cdef void _bind(self, TableCore table, Py_ssize_t slot) noexcept:
        self._table = table
        self._slot = slot
        self._removed = False
        cdef PyObject **handle = &row_objects(&table._rows, slot).handle
        if handle[0] is not NULL:       # one that is just going: it has no more say
            (<SessionHandle>handle[0])._slot = -1
        handle[0] = <PyObject *>self
        allow_live_reference(<PyObject *>self)

    cdef void _hand_over(self, TableCore table, Py_ssize_t slot) noexcept:
        """Move the session into a row."""
        cdef RowObjects *objects = row_objects(&table._rows, slot)
        cdef RowMeta *meta = row_meta(&table._rows, slot)
        meta.created = self._created
        meta.accessed = self._accessed
        set_expires(&table._rows, slot, self._expires)
        put(&objects.session_id, self._session_id)
        put(&objects.user_id, self._user_id)
        self._user_id = None
        meta.version = self._version
        if self._state is not None:
            put(&objects.state, self._state)
            self._state = None
        if self._memory_pool_id is not None:
            put(&objects.memory_pool_id, self._memory_pool_id)
            self._memory_pool_id = None
        self._activity = None
        self._ntimes = 0
        self._bind(table, slot)

    cdef void _take_over(self, TableCore table, Py_ssize_t slot) noexcept:
        """Move a row that is being removed out of the table."""
        cdef RowObjects *objects = row_objects(&table._rows, slot)
        cdef RowMeta *meta = row_meta(&table._rows, slot)
        cdef int column
        self._created = meta.created
        self._accessed = meta.accessed
        self._ttl = meta.ttl
        self._expires = row_expires(&table._rows, slot)[0]
        self._user_id = <str>objects.user_id
        self._version = meta.version
        if objects.state is not NULL:
            self._state = <dict>objects.state
        if objects.memory_pool_id is not NULL:
            self._memory_pool_id = <object>objects.memory_pool_id
        self._activity = None
        self._ntimes = table._rows.nchannels
        for column in range(self._ntimes):
            self._times[column] = row_channel(&table._rows, slot, column)
        self._slot = -1
        self._removed = True
        objects.handle = NULL

    # --- reading and writing one field ----------------------------------------------------------

    cdef int64_t *_time_cell(self, TableCore table, Py_ssize_t slot, Field field) noexcept:
        """Return where a time is kept: in the row, or in the handle if the slot is -1."""
        if field == Field.CREATED:
            return &self._created if slot < 0 else &row_meta(&table._rows, slot).created
        if field == Field.ACCESSED:
            return &self._accessed if slot < 0 else &row_meta(&table._rows, slot).accessed
        if field == Field.TTL:
            return &self._ttl if slot < 0 else &row_meta(&table._rows, slot).ttl
        return &self._expires if slot < 0 else row_expires(&table._rows, slot)

    cdef int64_t _time(self, Field field):
        cdef TableCore table = self._table
        if table is None:
            return self._time_cell(None, -1, field)[0]
        with cython.critical_section(table):
            return self._time_cell(table, table._slot_of(self), field)[0]

    cdef int _set_time(self, Field field, int64_t time) except -1:
        cdef TableCore table = self._table
        cdef Py_ssize_t slot
        if table is None:
            self._time_cell(None, -1, field)[0] = time
            return 0
        with cython.critical_section(table):
            slot = table._slot_of(self)
            if slot >= 0 and field == Field.EXPIRES:
                set_expires(&table._rows, slot, time)
            else:
                self._time_cell(table, slot, field)[0] = time
        return 0

    cdef object _own_object(self, Field field):
        if field == Field.USER_ID:
            return self._user_id
        return self._state if field == Field.STATE else self._memory_pool_id

    cdef object _object(self, Field field):
        cdef TableCore table = self._table
        cdef PyObject *held
        cdef Py_ssize_t slot
        if table is not None:
            with cython.critical_section(table):
                slot = table._slot_of(self)
                if slot >= 0:
                    held = object_cell(row_objects(&table._rows, slot), field)[0]
                    return None if held is NULL else <object>held
        return self._own_object(field)

    cdef int _set_object(self, Field field, object value) except -1:
        cdef TableCore table = self._table
        cdef Py_ssize_t slot
        cdef object replaced = None     # dropped on return, after unlocking
        if table is not None:
            with cython.critical_section(table):
                slot = table._slot_of(self)
                if slot >= 0:
                    row_meta(&table._rows, slot).version += field == Field.STATE
                    replaced = put(object_cell(row_objects(&table._rows, slot), field), value)
                    return 0
        replaced = self._own_object(field)
        if field == Field.USER_ID:
            self._user_id = value
        elif field == Field.STATE:
            self._state = value
            self._version += 1
        else:
            self._memory_pool_id = value
        return 0

    cdef dict _own_activity(self):
        """Return the last activity of a detached handle, channel by channel."""
        if self._activity is None:
            self._activity = {}
            if self._ntimes > 0:
                for name, column in self._table._channels.items():
                    if column < self._ntimes and self._times[<int>column] != INT64_MIN:
                        self._activity[name] = self._times[<int>column]
        return self._activity

    cdef int _note(self, object channel, int64_t time) except -1:
        """Store a detached handle's activity on a channel."""
        cdef dict activity = self._own_activity()
        name = _arguments.channel_name(channel)
        if name not in activity and len(activity) >= MAX_CHANNELS:
            raise _arguments.too_many_channels(name)
        activity[name] = time
        return 0

    cdef int _touch_detached(self, object channel) except -1:
        cdef int64_t now = self._now()
        if channel is not None:
            self._note(channel, now)
        self._accessed = now
        self._expires = now + self._ttl
        return 0

    cdef inline int64_t _now(self) except? -1:
        return monotonic_ns() if self._table is None else self._table._now()

    # --- public ---------------------------------------------------------------------------------

    @property
    def session_id(self):
        """The session's id."""
        return self._session_id

    @property
    def attached(self):
        """Whether a table holds the row."""
        cdef TableCore table = self._table
        if table is None:
            return False
        with cython.critical_section(table):
            return table._slot_of(self) >= 0

    @property
    def context(self):
        """What the table that holds the session, or did so last, has as its context."""
        return None if self._table is None else self._table.context

    @property
    def created(self):
        """When the session was created, in nanoseconds."""
        return self._time(Field.CREATED)

    @created.setter
    def created(self, time):
        self._set_time(Field.CREATED, _arguments.timestamp_ns(time, "created"))

    @property
    def accessed(self):
        """When the session was last accessed, in nanoseconds."""
        return self._time(Field.ACCESSED)

    @accessed.setter
    def accessed(self, time):
        self._set_time(Field.ACCESSED, _arguments.timestamp_ns(time, "accessed"))

    @property
    def expires(self):
        """When the session expires unless it is accessed before, in nanoseconds."""
        return self._time(Field.EXPIRES)

    @expires.setter
    def expires(self, time):
        self._set_time(Field.EXPIRES, _arguments.timestamp_ns(time, "expires"))

    @property
    def ttl(self):
        """How far an access slides the expiry, in seconds."""
        return self._time(Field.TTL) / 1e9

    @property
    def user_id(self):
        """Whose session it is."""
        return self._object(Field.USER_ID)

    @user_id.setter
    def user_id(self, user_id):
        self._set_object(Field.USER_ID, _arguments.user_id(user_id))

    @property
    def memory_pool_id(self):
        """The memory pool bound to the session, None if there is none."""
        return self._object(Field.MEMORY_POOL_ID)

    @memory_pool_id.setter
    def memory_pool_id(self, memory_pool_id):
        self._set_object(Field.MEMORY_POOL_ID, memory_pool_id)

    @property
    def state(self):
        """The live state: changing this dict changes the session."""
        cdef TableCore table
        cdef RowObjects *objects
        cdef Py_ssize_t slot = -1
        cdef dict fresh = None
        while True:
            table = self._table
            if table is not None:
                with cython.critical_section(table):
                    slot = table._slot_of(self)
                    if slot >= 0:
                        objects = row_objects(&table._rows, slot)
                        if objects.state is NULL and fresh is not None:
                            put(&objects.state, fresh)
                        if objects.state is not NULL:
                            return <dict>objects.state
            if slot < 0:
                if self._state is None and fresh is not None:
                    self._state = fresh
                if self._state is not None:
                    return self._state
            # Making a dict may run any code, which may put the handle into a table or take it out.
            fresh = {}

    @state.setter
    def state(self, state):
        self._set_object(Field.STATE, checked_items(state, "state"))

    @property
    def version(self):
        """How often `state` was set, or updated with anything, counted from 0.

        What is done to the dict itself, as in ``session.state["topic"] = "maps"``, cannot be seen
        and does not count.
        """
        cdef TableCore table = self._table
        cdef Py_ssize_t slot
        if table is not None:
            with cython.critical_section(table):
                slot = table._slot_of(self)
                if slot >= 0:
                    return row_meta(&table._rows, slot).version
        return self._version

    @version.setter
    def version(self, version):
        cdef TableCore table = self._table
        cdef int64_t number = _arguments.version(version, "version")
        cdef Py_ssize_t slot
        if table is not None:
            with cython.critical_section(table):
                slot = table._slot_of(self)
                if slot >= 0:
                    row_meta(&table._rows, slot).version = number
                    return
        self._version = number

    def channels(self):
        """Return the last activity on each channel in nanoseconds, as a new dict."""
        cdef TableCore table = self._table
        cdef int64_t times[MAX_CHANNELS]
        cdef Py_ssize_t slot = -1
        cdef int count = 0
        cdef int i
        if table is not None:
            with cython.critical_section(table):
                slot = table._slot_of(self)
                if slot >= 0:
                    count = table._rows.nchannels
                    for i in range(count):
                        times[i] = row_channel(&table._rows, slot, i)
        if slot < 0:
            return self._own_activity().copy()
        return {
            name: times[<int>column] for name, column in list(table._channels.items())
            if column < count and times[<int>column] != INT64_MIN
        }

    def set_channel(self, channel, time):
        """Set the last activity on a channel in nanoseconds; None forgets it."""
        cdef TableCore table = self._table
        cdef Py_ssize_t slot
        cdef int64_t value = INT64_MIN
        cdef int column
        cdef str name = _arguments.channel_name(channel)
        if time is not None:
            value = _arguments.timestamp_ns(time, "time")
        if table is not None and self.attached and (time is not None or name in table._channels):
            column = table._register(name)
            with cython.critical_section(table):
                slot = table._slot_of(self)
                if slot >= 0:
                    if not reserve_channel(&table._rows, slot, column):
                        raise MemoryError
                    set_channel(&table._rows, slot, column, value)
                    return
        if time is None:
            self._own_activity().pop(name, None)
        else:
            self._note(name, value)

    def now(self):
        """Return the clock that the session's times are on, in nanoseconds."""
        return self._now()

    def is_expired(self):
        """Return whether the session has expired or its table has let go of it."""
        cdef TableCore table = self._table
        cdef int64_t now = self._now()
        cdef Py_ssize_t slot
        if table is not None:
            with cython.critical_section(table):
                slot = table._slot_of(self)
                if slot >= 0:
                    return row_expires(&table._rows, slot)[0] <= now
        return self._removed or self._expires <= now

    def refresh(self, channel=None):
        """Slide the expiry by the session's own TTL, and note the channel if one is given.

        A session that has expired is revived as long as its table still holds it.
        """
        if self._table is None or not self._table._touch(None, self, channel):
            self._touch_detached(channel)

    def update_state(self, updates, channel=None, *, if_version=None):
        """Refresh the session and merge `updates` into its state, all or nothing.

        Raises
        ------
        VersionConflictError
            If `version` is not `if_version`, where that is given. Nothing was merged.
        """
        cdef dict items = checked_items(updates, "updates")
        cdef int64_t expected = checked_version(if_version)
        if self._table is None or not self._table._update(None, self, items, channel, expected):
            self._touch_detached(channel)
            if expected != ANY_VERSION and expected != self._version:
                raise _arguments.version_conflict(expected, self._version)
            self._version += PyDict_Size(items) > 0
            merge(self.state, items)

    def get_state(self, channel=None):
        """Refresh the session and return a shallow copy of its state."""
        cdef dict state = None
        if self._table is not None:
            state = self._table._get_state(None, self, channel)
        if state is None:
            self._touch_detached(channel)
            state = PyDict_Copy(self.state)
        return state

    def delete(self):
        """Remove the session from the table that holds it; return whether it was live."""
        cdef TableCore table = self._table
        return table is not None and table._delete(
            None, self, table._now(), ANY_VERSION
        )
