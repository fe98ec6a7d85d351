"""The timing of blocks and functions; a part of latency_histogram.pyx."""


@cython.freelist(16)
cdef class PerformanceMonitor:
    """Times a block, or each call of a function, and records the latency.

    Usable as a context manager, nested and from several threads and tasks at once, and as a
    decorator of functions and coroutine functions. A block that raises is recorded too, as a
    failure, and the exception goes on.

    Parameters
    ----------
    metrics
        A `PerformanceMetrics`, or anything else with its ``record_`` methods.
    operation
        One of its operations: ``"deployment"``, ``"api"``, ``"cli"``, ``"mcp"`` or
        ``"session_sync"``.
    clock
        Returns monotonic nanoseconds; the built-in monotonic clock unless given.

    Attributes
    ----------
    metrics, operation
        As given.
    duration : float
        Seconds that the block left last took; 0.0 before.
    start_time : float or None
        When, in seconds of the clock, the last block began that was entered while no other was
        open.

    Raises
    ------
    TypeError, ValueError
        `metrics` is something else, or `operation` is not one of its operations.
    """

    cdef LatencyHistogram _histogram    # None if a method of its owner is to be called instead
    cdef object _recorder
    cdef readonly object metrics
    cdef readonly object operation
    cdef object _clock
    cdef int64_t _start
    cdef bint _taken            # a block keeps its start in _start
    cdef Py_ssize_t _further    # blocks open besides, whose starts their contexts keep
    cdef readonly double duration

    def __cinit__(self):
        self._start = INT64_MIN

    def __init__(self, metrics, operation, *, clock=None):
        cdef LatencyHistogram histogram = None
        if isinstance(metrics, LatencyRecorders):
            histogram = (<LatencyRecorders>metrics)._of(operation)
        if histogram is None:
            self._recorder = recorder_of(metrics, operation)
        self._histogram = histogram
        self.metrics = metrics
        self.operation = operation
        self._clock = clock

    @property
    def start_time(self):
        """When the block began, in seconds of the clock."""
        return None if self._start == INT64_MIN else self._start / 1e9

    def __enter__(self):
        """Start timing a block."""
        if self._clock is None:
            with cython.critical_section(self):
                if not self._taken and not self._further:
                    self._taken = True
                    self._start = monotonic_ns()    # last: the block is all that is timed
                    return self
        self._enter_further(monotonic_ns() if self._clock is None else self._clock())
        return self

    def __exit__(self, kind, error, traceback):
        """Record the block, as a failure if it raised."""
        cdef int64_t stop = monotonic_ns() if self._clock is None else self._clock()
        cdef int64_t start = 0
        cdef bint alone = False
        with cython.critical_section(self):
            if self._taken and not self._further:
                alone = True
                start = self._start
                self._taken = False
        if not alone:
            start = self._leave_further()
        cdef double seconds = <double>(stop - start) / 1e9
        self.duration = seconds
        if kind is not None and isinstance(self.metrics, LatencyRecorders):
            self.metrics.record(self.operation, seconds, failed=True)
        elif self._histogram is not None:
            record_in(self._histogram, seconds)
        elif self._recorder is not None:
            self._recorder(seconds)
        else:
            raise AttributeError("this PerformanceMonitor was not initialised")

    def __call__(self, function, /):
        """Return `function` wrapped so that each of its calls is timed and recorded.

        Raises
        ------
        TypeError
            It is not callable, or a generator function, whose call says nothing about its run.
        """
        monitor = partial(type(self), self.metrics, self.operation, clock=self._clock)
        return timed(function, monitor)

    def __repr__(self):
        """Return the operation."""
        return f"PerformanceMonitor({self.operation!r})"

    cdef int _enter_further(self, int64_t start) except -1:
        """Start timing a block while another may be open."""
        cdef bint nested = has_open_block(self)
        with cython.critical_section(self):
            if not nested and not self._taken:
                self._taken = True
                self._start = start
                return 0
            self._further += 1      # first, so that whoever leaves looks for a further block
        open_block(self, start)
        return 0

    cdef int64_t _leave_further(self) except? -1:
        """Return the start of the block that is left."""
        further = close_block(self)
        cdef int64_t start = 0 if further is None else further
        cdef bint entered = True
        with cython.critical_section(self):
            if further is not None:
                self._further -= 1
            else:
                entered = self._taken
                start = self._start
                self._taken = False
        if not entered:
            raise not_entered()
        return start
