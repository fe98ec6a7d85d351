# cython: language_level=3, binding=False, embedsignature.format=clinic
"""Sessions with sliding expiry in a structure of arrays, looked up by id in nanoseconds.

The table keeps a session's times in int64 columns and its objects in plain pointer blocks, in
memory that it maps itself and gives back when sessions go, so the
garbage collector never walks the rows; a state that refers back to its own table is therefore kept
until the session is removed. It persists nothing and starts no thread: sweeping is the caller's
business.

Locking. The table's own critical sections guard the rows and the index: its lock where the
interpreter has no GIL, and nothing at all where it has one, since no section gives the GIL up.
Within them there is no allocation that the garbage collector tracks and nothing that could run
Python code: ids and channel names are exact str, and objects that leave a row are handed out and
dropped after the section. "Under the lock" below means within such a section. The contents of one
state dict are guarded by the dict's own section.
"""
cimport cython
from cpython.dict cimport (
    PyDict_CheckExact, PyDict_Copy, PyDict_DelItem, PyDict_GetItemWithError, PyDict_Next,
    PyDict_SetItem, PyDict_Size,
)
from cpython.long cimport PyLong_AsLong
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF, Py_XDECREF, Py_XINCREF
from cpython.unicode cimport PyUnicode_CheckExact, PyUnicode_GET_LENGTH
from libc.stdint cimport INT64_MIN, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from clock cimport monotonic_ns
from id_index cimport (
    Index, index_close, index_find, index_home, index_insert, index_open, index_remove,
    index_reserve, index_tag,
)
from live_reference cimport allow_live_reference, live_reference
from prefetch cimport prefetch
from session_rows cimport (
    CHUNK_BITS, CHUNK_ROWS, MAX_CHANNELS, Arena, Chunk, RowMeta, RowObjects, Rows, count_expired,
    next_used, occupy, release_empty, reserve_channel, row_channel, row_expires, row_meta,
    row_objects, scan_expired, set_channel, set_expires, touch_row, unmap_chunk, vacate,
)

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 largest)
    void *PyUnicode_DATA(object)
    void PyObject_GetArenaAllocator(Arena *)

import os
from time import sleep

from kaizen_nexus._common import session_arguments as _arguments

__all__ = ["SessionCalls", "SessionHandle", "SessionTable"]

include "session_values.pxi"
include "session_core.pxi"
include "session_handle.pxi"


@cython.final
@cython.no_gc_clear
cdef class SessionTable(TableCore):
    """A bounded table of sessions that expire when they are not used.

    Parameters
    ----------
    ttl : float, default 3600.0
        Seconds of disuse after which a session expires, where it sets none of its own.
    capacity : int, default 1_000_000
        The most sessions held at once, expired ones included.
    on_full : {"refuse", "evict"}, default "refuse"
        Whether a full table refuses a new session or evicts the least recently used one. Either
        way expired sessions are reclaimed first.
    clock : callable, optional
        Returns monotonic nanoseconds as an int between 0 and 2**62. By default the system's
        monotonic clock.
    handles : type, default SessionHandle
        The class of the handles onto its rows: `SessionHandle` or a subclass.

    Attributes
    ----------
    context
        Anything that the handles shall show as their `context`; for the table's owner to set.
    tended : bool
        Whether something sees to it that expired sessions are removed; likewise.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of its bounds.

    Notes
    -----
    Every method may be called from any thread. Lookups, updates and removals take constant time;
    `sweep`, `sweep_all`, `clear` and `metrics` are linear in the rows they look at.
    """

    def __cinit__(
        self, ttl=3600.0, *, capacity=1_000_000, on_full="refuse", clock=None,
        handles=SessionHandle,
    ):
        self._ttl = _arguments.duration_ns(ttl)
        self._capacity = _arguments.capacity(capacity)
        self._rows.linked = _arguments.eviction_policy(on_full)
        self._clock = _arguments.clock(clock)
        self._kind = _arguments.subclass(handles, SessionHandle)
        self._rows.chunks = <Chunk *>PyMem_Calloc(
            (self._capacity + CHUNK_ROWS - 1) >> CHUNK_BITS, sizeof(Chunk)
        )
        if self._rows.chunks is NULL:
            raise MemoryError
        PyObject_GetArenaAllocator(&self._rows.arena)
        self._rows.chunk_rows = min(<Py_ssize_t>CHUNK_ROWS, self._capacity)
        self._rows.open = self._rows.bare = self._rows.newest = self._rows.oldest = -1
        self._channels = {}
        if not index_open(&self._index, random_word()):
            raise MemoryError

    @property
    def ttl(self):
        """Seconds of disuse after which a session expires by default."""
        return self._ttl / 1e9

    @property
    def capacity(self):
        """The most sessions held at once."""
        return self._capacity

    @property
    def on_full(self):
        """What a full table does with a new session: ``"refuse"`` or ``"evict"``."""
        return "evict" if self._rows.linked else "refuse"

    def now(self):
        """Return the table's clock in nanoseconds."""
        return self._now()

    def create(self, session_id=None, user_id="", ttl=None, state=None):
        """Create a session and return its id; a session that has the id already is replaced.

        Parameters
        ----------
        session_id : str, optional
            1 to 256 characters; by default 128 random bits in hexadecimal.
        user_id : str
            Whose session it is.
        ttl : float, optional
            Seconds of disuse after which it expires; by default the table's.
        state : mapping, optional
            The first state, copied. Its keys are str.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or out of its bounds.
        SessionTableFullError
            If the table is full of live sessions and refuses.
        """
        return self._checked(session_id, user_id, ttl, state)._session_id

    def create_handle(self, session_id=None, user_id="", ttl=None, state=None):
        """Create a session as `create` does and return a handle onto its row."""
        return self._checked(session_id, user_id, ttl, state)

    cdef SessionHandle _checked(self, object session_id, object user_id, object ttl, object state):
        cdef int64_t ttl_ns = self._ttl if ttl is None else _arguments.duration_ns(ttl)
        cdef dict first = None if state is None else PyDict_Copy(checked_items(state, "state"))
        return self._create(session_id, user_id, ttl_ns, first)

    cdef SessionHandle _create(
        self, object session_id, object user_id, int64_t ttl, dict state, bint stillborn=False
    ):
        cdef int64_t now = self._now()
        cdef SessionHandle handle = new_handle(self._kind)
        handle._begin(session_id, user_id, ttl, now)
        if stillborn:
            handle._expires = now
        handle._state = state
        self._install(handle, now, True)
        return handle

    def adopt(self, handle, *, replace=True):
        """Give a detached handle a row that carries over its times, state and channels.

        Returns
        -------
        bool
            False if `replace` is false and a live session has the id; nothing has changed then.

        Raises
        ------
        ValueError
            If another table holds the handle's session, or there would be too many channels.
        SessionTableFullError
            If the table is full of live sessions and refuses.
        """
        if not isinstance(handle, SessionHandle):
            raise TypeError(f"handle must be a SessionHandle, not {type(handle).__name__}")
        if (<SessionHandle>handle)._session_id is None:
            raise _arguments.not_begun()
        cdef Outcome outcome = self._install(<SessionHandle>handle, self._now(), bool(replace))
        if outcome == Outcome.ATTACHED and (<SessionHandle>handle)._table is not self:
            raise ValueError(f"session {handle.session_id!r} is held by another table")
        return outcome != Outcome.EXISTS

    def handle(self, session_id, channel=None, *, owner=None):
        """Touch a live session and return a handle onto its row, or None.

        A session of another user than `owner`, where that is given, is not touched.
        """
        return self._attach(session_id, owner, channel)

    cdef SessionHandle _attach(self, object session_id, object owner, object channel):
        cdef int64_t now = self._now()
        cdef str key = lookup_key(session_id)
        cdef str user = None
        if owner is not None:
            user = <str>owner if PyUnicode_CheckExact(owner) else _arguments.user_id(owner)
        return self._handle(key, now, self._column(channel, key, None, now), user)

    def peek(self, session_id):
        """Return a handle onto a row without touching it, expired or not, or None."""
        return self._handle(lookup_key(session_id), 0, NO_CHANNEL, None, True)

    def get_state(self, session_id, channel=None):
        """Touch a session and return a shallow copy of its state.

        Parameters
        ----------
        session_id : str
            Anything that is not the id of a live session finds nothing.
        channel : str, optional
            The channel whose last activity to note, 1 to 64 characters. A table knows at most 16
            distinct channels.

        Returns
        -------
        dict or None
            None if there is no such session or it has expired.

        Raises
        ------
        TypeError, ValueError
            If `channel` is not a valid name or would be the seventeenth.
        """
        return self._get_state(lookup_key(session_id), None, channel)

    def touch(self, session_id, channel=None):
        """Slide a session's expiry by its own TTL; return whether there was a live one."""
        return self._touch(lookup_key(session_id), None, channel)

    def update(self, session_id, updates, channel=None, *, if_version=None):
        """Touch a session and merge `updates` into its state, all or nothing.

        Parameters
        ----------
        session_id : str
            Anything that is not the id of a live session finds nothing.
        updates : mapping
            What to set. Its keys are str.
        channel : str, optional
            The channel whose last activity to note.
        if_version : int, optional
            The version that the state must have: nothing is merged into any other.

        Returns
        -------
        bool
            Whether there was a live session.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or out of its bounds.
        VersionConflictError
            If the state has another version. The session was touched nevertheless.
        """
        return self._update(
            lookup_key(session_id), None, updates, channel, checked_version(if_version)
        )

    def delete(self, session_id, *, if_version=None):
        """Remove a session; return whether there was a live one.

        Raises
        ------
        VersionConflictError
            If its state has another version than `if_version`, where that is given.
        """
        cdef int64_t expected = checked_version(if_version)
        cdef int64_t now = self._now()
        return self._delete(lookup_key(session_id), None, now, expected)

    def __contains__(self, session_id):
        """Return whether there is a live session of this id; it is not touched."""
        cdef int64_t now = self._now()
        cdef str key = lookup_key(session_id)
        with cython.critical_section(self):
            return self._locate(key, None, now) >= 0

    def __len__(self):
        """Return the number of rows held, expired ones included."""
        return self._rows.held

    def ids(self):
        """Return the ids of all rows held, expired ones included, as a new list.

        Their order is arbitrary. A session that comes or goes meanwhile may be in it or not.
        """
        cdef Removed held
        cdef Py_ssize_t slot = 0
        cdef int i
        cdef list ids = []
        held.count = 0
        while slot >= 0:
            with cython.critical_section(self):
                slot = next_used(&self._rows, slot)
                while slot >= 0 and held.count < BATCH:
                    held.items[held.count] = row_objects(&self._rows, slot).session_id
                    Py_XINCREF(held.items[held.count])
                    held.count += held.items[held.count] is not NULL
                    slot = next_used(&self._rows, slot + 1)
            try:
                for i in range(held.count):
                    ids.append(<object>held.items[i])
            finally:
                drop(&held)
        return ids

    def __iter__(self):
        """Iterate over a snapshot of the ids."""
        return iter(self.ids())

    def clear(self):
        """Remove all sessions; return how many there were."""
        cdef Removed removed
        cdef Py_ssize_t slot = 0
        cdef Py_ssize_t total = 0
        removed.count = 0
        while slot >= 0:
            with cython.critical_section(self):
                slot = next_used(&self._rows, slot)
                while slot >= 0 and removed.count <= 4 * (BATCH - 1):
                    if row_objects(&self._rows, slot).session_id is not NULL:
                        self._remove(slot, &removed)
                        total += 1
                        self._deleted += 1
                    slot = next_used(&self._rows, slot + 1)
                release_empty(&self._rows)
            drop(&removed)
        return total

    def sweep(self, max_rows=65_536, budget=0.0005):
        """Remove expired sessions in one slice of a pass that later calls continue.

        Parameters
        ----------
        max_rows : int
            The most rows to look at.
        budget : float
            Seconds that it shall not exceed: it stops when another batch of rows, as long as the
            longest so far, would; one batch is always looked at.

        Returns
        -------
        removed : int
            How many sessions this slice removed.
        done : bool
            Whether the pass has reached the end of the table; the next call starts another.

        Notes
        -----
        The lock is given up after every 256 removals at most, and what was removed is destroyed
        outside it.
        """
        cdef Py_ssize_t total = 0
        self._cursor = self._sweep(
            self._cursor, _arguments.slice_rows(max_rows), _arguments.budget_ns(budget), &total
        )
        return total, self._cursor == 0

    def sweep_all(self):
        """Remove the sessions expired by now in one whole pass; return how many this call removed.

        Other threads run between its slices, each of which takes about half a millisecond.
        """
        cdef Py_ssize_t total = 0
        cdef Py_ssize_t slot = self._sweep(0, self._capacity, SLICE_NS, &total)
        while slot > 0:
            sleep(0)
            slot = self._sweep(slot, self._capacity, SLICE_NS, &total)
        return total

    def metrics(self):
        """Return the table's figures.

        Returns
        -------
        dict
            ``active`` and ``total`` rows (the latter with expired ones), ``average_ttl_seconds`` of
            the active ones, ``channels_used`` as a sorted list over all rows, and the counters
            ``created``, ``replaced``, ``expired`` (those swept or found so), ``deleted``,
            ``evicted`` and ``refused``. The total is what was created less what was replaced,
            expired, deleted and evicted.
        """
        cdef int64_t now = self._now()
        cdef int64_t seconds = 0
        cdef int64_t rest = 0
        cdef Py_ssize_t expired = 0
        cdef Py_ssize_t chunk = 0
        cdef Py_ssize_t held
        while chunk < self._rows.nchunks:
            with cython.critical_section(self):
                expired += count_expired(&self._rows, chunk, now, &seconds, &rest)
            chunk += 1
            if chunk % 64 == 0:
                sleep(0)
        with cython.critical_section(self):
            held = self._rows.held
            seconds = self._rows.ttl_seconds - seconds
            rest = self._rows.ttl_rest - rest
        active = max(0, held - expired)
        total_ns = <object>seconds * 1_000_000_000 + rest
        return {
            "active": active,
            "total": held,
            "average_ttl_seconds": total_ns / active / 1e9 if active else 0.0,
            "channels_used": sorted(
                name for name, column in list(self._channels.items())
                if self._rows.channel_rows[<int>column]
            ),
            "created": self._created,
            "replaced": self._replaced,
            "expired": self._expired,
            "deleted": self._deleted,
            "evicted": self._evicted,
            "refused": self._refused,
        }


include "session_calls.pxi"
