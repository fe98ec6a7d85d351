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
        A `PerformanceMetrics`.
    operation
        One of its operations: ``"deployment"``, ``"api"``, ``"cli"``, ``"mcp"`` or
        ``"session_sync"``.
    clock
        Returns monotonic nanoseconds; `time.perf_counter_ns` unless given.

    Attributes
    ----------
    duration : float
        Seconds that the block left last took; 0.0 before.

    Raises
    ------
    TypeError, ValueError
        `metrics` is something else, or `operation` is not one of its operations.
    """

    cdef LatencyHistogram _histogram
    cdef object _metrics
    cdef object _operation
    cdef object _clock
    cdef int64_t _start
    cdef bint _taken            # a block keeps its start in _start
    cdef Py_ssize_t _further    # blocks open besides, whose starts their contexts keep
    cdef readonly double duration

    def __init__(self, metrics, operation, *, clock=None):
        histograms = getattr(metrics, "histograms", None)
        if histograms is None:
            raise TypeError(f"metrics must be a PerformanceMetrics, not {type(metrics).__name__}")
        histogram = histograms.get(operation) if isinstance(operation, str) else None
        if histogram is None:
            raise unknown_operation(operation, histograms)
        self._histogram = histogram
        self._metrics = metrics
        self._operation = operation
        self._clock = clock

    def __enter__(self):
        """Start timing a block."""
        cdef int64_t start = self._now()
        # `has_open_block` may let another thread in, so `_taken` is read after it.
        if (self._further and has_open_block(self)) or self._taken:
            open_block(self, start)
            self._further += 1
        else:
            self._taken = True
            self._start = start
        return self

    def __exit__(self, kind, error, traceback):
        """Record the block, as a failure if it raised."""
        cdef int64_t stop = self._now()
        cdef int64_t start
        further = close_block(self) if self._further else None
        if further is not None:
            start = further
            self._further -= 1
        elif self._taken:
            start = self._start
            self._taken = False
        else:
            raise RuntimeError("this PerformanceMonitor was not entered")
        cdef double seconds = <double>(stop - start) / 1e9
        self.duration = seconds
        if kind is None:
            self._histogram._record(seconds)
        else:
            self._metrics.record(self._operation, seconds, failed=True)

    def __call__(self, function, /):
        """Return `function` wrapped so that each of its calls is timed and recorded.

        Raises
        ------
        TypeError
            It is not callable, or a generator function, whose call says nothing about its run.
        """
        monitor = partial(type(self), self._metrics, self._operation, clock=self._clock)
        return timed(function, monitor)

    def __repr__(self):
        """Return the operation."""
        return f"PerformanceMonitor({self._operation!r})"

    cdef int64_t _now(self) except? -1:
        if self._clock is None:
            return monotonic_ns()
        return self._clock()
