"""The calls of a session manager that go straight to its table; a part of session_table.pyx."""


@cython.nonecheck(True)     # a subclass may have left its table out
cdef class SessionCalls:
    """The base of `NexusSessionManager`: the calls that every request makes.

    They are here because a call that passed through a second function would cost a third more. The
    subclass sets `_table` and `_start_cleanup`, which is called whenever nothing tends the table.
    """

    cdef public SessionTable _table
    cdef public object _start_cleanup

    @classmethod
    def __class_getitem__(cls, session):
        """Return the class: which sessions it returns is for type checkers."""
        return cls

    def create_session(self, session_id=None, user_id="", ttl_hours=None):
        """Create a session; one that has the id already is replaced.

        Parameters
        ----------
        session_id : str, optional
            1 to 256 characters; by default, and if empty, 128 random bits in hexadecimal.
        user_id : str
            Whose session it is; required.
        ttl_hours : float, optional
            Hours of disuse after which it expires; by default the manager's `session_ttl`. With 0
            it has expired from the start, unless `CrossChannelSession.refresh` revives it.

        Raises
        ------
        TypeError, ValueError
            If `user_id` is missing or blank, or an argument is of the wrong type or out of bounds.
        SessionTableFullError
            If there are `max_sessions` live sessions and the manager refuses more.
        """
        cdef SessionTable table = self._table
        cdef int64_t ttl = table._ttl
        cdef bint stillborn = False
        cdef SessionHandle session
        if not names_somebody(user_id):
            _arguments.require_user(user_id)
        if ttl_hours is not None:
            stillborn = ttl_hours == 0 and not isinstance(ttl_hours, bool)
            if not stillborn:
                ttl = _arguments.duration_ns(ttl_hours, "ttl_hours", 3600)
        session = table._create(session_id or None, user_id, ttl, None, stillborn)
        if not table.tended:
            self._start_cleanup()
        return session

    def get_session(self, session_id):
        """Return a live session and slide its expiry; None if there is none of this id."""
        return self._table._attach(session_id, None, None)

    def attach(self, session_id, owner, channel=None):
        """Return a live session for a request and slide its expiry.

        Parameters
        ----------
        session_id : str
            The session's id.
        owner : str or None
            Who the session must belong to; None if that does not matter.
        channel : str, optional
            The channel that the request came on.

        Returns
        -------
        CrossChannelSession or None
            None if there is no live session of this id, or it belongs to somebody else. The
            session of somebody else is not touched.
        """
        return self._table._attach(session_id, owner, channel)

    def get_session_state(self, session_id, channel=None):
        """Return a shallow copy of a session's state and slide its expiry.

        Parameters
        ----------
        session_id : str
            The session's id.
        channel : str, optional
            The channel that asks, 1 to 64 characters; at most 16 distinct ones are known.

        Returns
        -------
        dict or None
            None if there is no live session of this id.
        """
        return self._table._get_state(lookup_key(session_id), None, channel)

    def update_session_state(self, session_id, updates, channel=None, *, if_version=None):
        """Merge `updates` into a session's state, all or nothing, and slide its expiry.

        Parameters
        ----------
        session_id : str
            The session's id.
        updates : mapping
            What to set. Its keys are str.
        channel : str, optional
            The channel that asks.
        if_version : int, optional
            The `version` that the session must have.

        Returns
        -------
        bool
            Whether there was a live session of this id.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or out of its bounds.
        VersionConflictError
            If the session has another version. Nothing was merged; the expiry was slid.
        """
        return self._table._update(
            lookup_key(session_id), None, updates, channel, checked_version(if_version)
        )


cdef inline bint names_somebody(object user_id):
    """Whether it is certain, at the first character, that a user id is not blank."""
    return (
        PyUnicode_CheckExact(user_id)
        and PyUnicode_GET_LENGTH(user_id) > 0
        and not (<str>user_id)[0].isspace()
    )
