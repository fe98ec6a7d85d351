"""Ids, state dicts and references on their way out; a part of session_table.pyx."""

cdef enum:
    BATCH = 256                 # rows removed in one critical section
    SLICE_NS = 500_000          # how long a whole pass works before it lets other threads run
    ENTROPY_BYTES = 4096
    ID_BYTES = 16
    MAX_ID_LENGTH = 256
    NO_CHANNEL = -1
    ANY_VERSION = -1
    AHEAD = 8                   # how far ahead of their destruction objects are fetched

cdef enum Field:
    CREATED, ACCESSED, EXPIRES, TTL, USER_ID, STATE, MEMORY_POOL_ID

cdef enum Outcome:
    INSTALLED, EXISTS, ATTACHED, FULL, NO_MEMORY

cdef struct Removed:            # references taken from rows, to be dropped after unlocking
    int count
    PyObject *items[4 * BATCH]


@cython.final
@cython.no_gc
cdef class EntropyPool:
    """Random bytes of the operating system, fetched a block at a time."""

    cdef unsigned char _block[ENTROPY_BYTES]
    cdef Py_ssize_t _left       # at the block's beginning

    cdef int draw(self, void *target, Py_ssize_t size) except -1:
        """Fill `target` with bytes that nobody else has drawn."""
        cdef bytes fresh = None
        while True:
            with cython.critical_section(self):
                if self._left < size and fresh is not None:
                    memcpy(self._block, <const char *>fresh, ENTROPY_BYTES)
                    self._left = ENTROPY_BYTES
                if self._left >= size:
                    self._left -= size
                    memcpy(target, self._block + self._left, size)
                    return 0
            fresh = os.urandom(ENTROPY_BYTES)

    def discard(self):
        """Forget what is left: parent and child of a fork must not draw the same bytes."""
        self._left = 0


cdef EntropyPool _entropy = EntropyPool()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_entropy.discard)


cdef str random_id():
    """Return 128 random bits as 32 hexadecimal digits."""
    cdef const unsigned char *digits = b"0123456789abcdef"
    cdef unsigned char block[ID_BYTES]
    cdef str text = PyUnicode_New(2 * ID_BYTES, 127)
    cdef unsigned char *letters = <unsigned char *>PyUnicode_DATA(text)
    cdef int i
    _entropy.draw(block, ID_BYTES)
    for i in range(ID_BYTES):
        letters[2 * i] = digits[block[i] >> 4]
        letters[2 * i + 1] = digits[block[i] & 15]
    return text


cdef uint64_t random_word() except? 0:
    """Return 64 random bits."""
    cdef uint64_t word
    _entropy.draw(&word, sizeof(word))
    return word


cdef inline str lookup_key(object session_id):
    """Return an exact str, or None for what cannot be the id of any session."""
    if PyUnicode_CheckExact(session_id):
        return <str>session_id
    return str.__str__(session_id) if isinstance(session_id, str) else None


cdef inline int64_t checked_version(object if_version) except? -1:
    """Return the version that an update insists on."""
    return ANY_VERSION if if_version is None else _arguments.version(if_version, "if_version")


cdef dict checked_items(object items, str name):
    """Return a dict whose keys are exact str: `items` itself if it is one."""
    cdef Py_ssize_t position = 0
    cdef PyObject *key
    if PyDict_CheckExact(items):
        with cython.critical_section(items):
            while PyDict_Next(items, &position, &key, NULL):
                if not PyUnicode_CheckExact(<object>key):
                    break
            else:
                return <dict>items
    return _arguments.state_dict(items, name)


cdef int merge(dict state, dict updates) except -1:
    """Update `state`, all or nothing; the values that it replaces outlive the whole merge.

    A destructor could otherwise run, and let another thread in, between two keys. Keys and values
    are owned while in use because a caller may have put keys into the live state whose comparison
    runs Python code.
    """
    cdef PyObject *few[16]
    cdef PyObject **replaced = few
    cdef PyObject *previous
    cdef PyObject *key
    cdef PyObject *value
    cdef Py_ssize_t size = len(updates)
    cdef Py_ssize_t position = 0
    cdef Py_ssize_t count = 0
    if size > 16:
        replaced = <PyObject **>PyMem_Malloc(size * sizeof(PyObject *))
        if replaced is NULL:
            raise MemoryError
    try:
        with cython.critical_section(state, updates):
            while count < size and PyDict_Next(updates, &position, &key, &value):
                name = <object>key
                item = <object>value
                previous = PyDict_GetItemWithError(state, name)
                Py_XINCREF(previous)
                replaced[count] = previous
                count += 1
                PyDict_SetItem(state, name, item)
    except BaseException:
        undo(state, updates, replaced, count)
        raise
    finally:
        for position in range(count):
            Py_XDECREF(replaced[position])
        if replaced is not few:
            PyMem_Free(replaced)
    return 0


cdef int undo(dict state, dict updates, PyObject **replaced, Py_ssize_t count) except -1:
    """Take back the first `count` items of a merge; neither way of doing so allocates."""
    cdef PyObject *key
    cdef Py_ssize_t position = 0
    cdef Py_ssize_t i
    with cython.critical_section(state, updates):
        for i in range(count):
            if not PyDict_Next(updates, &position, &key, NULL):
                break
            name = <object>key
            if replaced[i] is not NULL:
                PyDict_SetItem(state, name, <object>replaced[i])
            elif PyDict_GetItemWithError(state, name) is not NULL:
                PyDict_DelItem(state, name)
    return 0


cdef inline void drop(Removed *removed):
    cdef int i
    for i in range(removed.count):
        if i + AHEAD < removed.count:
            prefetch(removed.items[i + AHEAD])
        Py_XDECREF(removed.items[i])
    removed.count = 0


cdef inline void take_out(Removed *removed, PyObject **cell):
    if cell[0] is not NULL:
        removed.items[removed.count] = cell[0]
        removed.count += 1
        cell[0] = NULL
