"""The histogram of the last seconds; a part of latency_histogram.pyx."""


cdef class SlidingLatencyHistogram:
    """The latencies of the last seconds: a `LatencyHistogram` of a window that slides.

    The window is cut into slices of equal length, each a histogram of its own. Values are counted
    in the slice of the present; as time passes from one slice to the next, the oldest is emptied
    and becomes that of the present. Reading merges the slices. So a value is never reported longer
    than `window` after it was recorded, and always at least ``window * (1 - 1 / slices)``.

    Parameters
    ----------
    window
        Seconds, positive and at most a century.
    slices
        How many, 1 to 1,024. Memory and the time to read grow with it.
    exact
        How many of the most recent values of a slice, and of the window when it is read, to
        retain: see `LatencyHistogram`.
    clock
        Returns monotonic nanoseconds, 0 to 2**62; the built-in monotonic clock unless given. While
        it is behind where it has been, values are counted in the slice that was the last.

    Raises
    ------
    TypeError, ValueError
        An argument is of another type, or out of range; or a slice would be shorter than 1 ns.

    Notes
    -----
    Thread-safe; what is recorded while it is read may be in what is read, or not. Recording is
    O(1), amortised; replacing the slices of a pause of any length is O(slices). Its memory is that
    of as many histograms as there are slices, for ever.
    """

    cdef list _slices
    cdef LatencyHistogram _latest       # the slice of the present, at `_position`
    cdef Py_ssize_t _position
    cdef int64_t _number                # of slices' lengths that the clock had passed at last
    cdef int64_t _length                # of a slice, in nanoseconds
    cdef int64_t _window
    cdef Py_ssize_t _exact
    cdef object _clock

    def __init__(self, window=60.0, slices=6, *, exact=DEFAULT_EXACT, clock=None):
        cdef int64_t nanoseconds = duration_ns(window, "window")
        cdef Py_ssize_t size = as_slices(slices)
        cdef int64_t length = slice_length_ns(nanoseconds, size)
        self._exact = as_exact(exact)
        self._clock = as_clock(clock)
        self._window = nanoseconds
        self._length = length
        self._number = 0
        self._position = 0
        self._slices = [LatencyHistogram(exact=exact) for _ in range(size)]
        self._latest = self._slices[0]

    @property
    def window(self):
        """The length of the window, in seconds."""
        return self._window / NS_PER_SECOND

    @property
    def slices(self):
        """The number of slices."""
        return len(self._slices)

    @property
    def exact(self):
        """How many of the most recent values it may retain."""
        return self._exact

    @property
    def retained(self):
        """How many values of the window are retained now."""
        cdef LatencyHistogram part
        cdef Py_ssize_t retained = 0
        for part in self._in_order():
            retained += part.retained
        return min(retained, self._exact)

    @property
    def count(self):
        """Number of values in the window, clamped ones included."""
        cdef LatencyHistogram part
        cdef int64_t count = 0
        for part in self._in_order():
            count += part.count
        return count

    @property
    def min(self):
        """The least value, in seconds."""
        return self.snapshot().min

    @property
    def max(self):
        """The greatest value, in seconds."""
        return self.snapshot().max

    @property
    def sum(self):
        """The sum of the values, in seconds, correctly rounded."""
        return self.snapshot().sum

    @property
    def mean(self):
        """The arithmetic mean, in seconds, correctly rounded."""
        return self.snapshot().mean

    @property
    def stddev(self):
        """The population standard deviation, in seconds, correctly rounded."""
        return self.snapshot().stddev

    @property
    def median(self):
        """The median, in seconds."""
        return self.snapshot().median

    @property
    def clamped(self):
        """How many values were out of range, by reason."""
        return self.snapshot().clamped

    def record(self, seconds, /):
        """Record one value, in seconds, now: see `LatencyHistogram.record`."""
        cdef double value = seconds_of(seconds)
        record_in(self._present(), value)

    def record_many(self, values, /):
        """Record every value of an array, now: see `LatencyHistogram.record_many`."""
        cdef const double[::1] view = float64_view(values)
        cdef LatencyHistogram batch
        if view.shape[0] > BLOCK:
            batch = LatencyHistogram(exact=self._exact)._counted(view)
            self._present()._merge(batch)       # the slice of after counting, which took its time
        elif view.shape[0]:
            self._present()._record_view(view)

    def percentile(self, percentile, /):
        """Return the value of the nearest rank: see `LatencyHistogram.percentile`."""
        return self.snapshot().percentile(percentile)

    def percentiles(self, percentiles, /):
        """Return the `percentile` for each of `percentiles`, all of the same instant."""
        return self.snapshot().percentiles(percentiles)

    def summary(self):
        """Return the statistics of one instant: see `LatencyHistogram.summary`."""
        return self.snapshot().summary()

    def recent(self, start=0, stop=None, /):
        """Return the retained values of the window, oldest first: see `LatencyHistogram.recent`."""
        return self.snapshot().recent(start, stop)

    def snapshot(self):
        """Return a `LatencyHistogram` of what the window holds now, to merge, keep or send."""
        cdef LatencyHistogram merged = LatencyHistogram(exact=self._exact)
        cdef LatencyHistogram part
        for part in self._in_order():
            with cython.critical_section(part):
                merged._absorb(part)
        return merged

    def reset(self):
        """Forget every value."""
        cdef LatencyHistogram part
        for part in list(self._slices):
            part.reset()

    def __reduce__(self):
        """Refuse to be copied or pickled: a snapshot can be."""
        raise not_copied(self)

    def __repr__(self):
        """Return the window, the count and the main statistics."""
        return describe(self.summary(), "SlidingLatencyHistogram", window=self.window)

    cdef LatencyHistogram _present(self):
        """Return the slice of the present, having replaced those whose time has passed."""
        cdef Py_ssize_t size = len(self._slices)    # raises if there is no list (any more)
        cdef int64_t now = monotonic_ns() if self._clock is None else clock_reading(self._clock())
        cdef int64_t number = now // self._length
        cdef int64_t passed
        cdef Py_ssize_t i
        cdef list empty = None
        while True:
            with cython.critical_section(self):
                passed = min(number - self._number, <int64_t>size)
                if passed <= 0:
                    return self._latest
                if empty is not None and passed <= len(empty):
                    for i in range(passed):
                        self._position = (self._position + 1) % size
                        # Exchanged, so that nothing is destroyed in the section.
                        empty[i], self._slices[self._position] = (
                            self._slices[self._position], empty[i]
                        )
                    self._number = number
                    self._latest = self._slices[self._position]
                    return self._latest
            empty = [LatencyHistogram(exact=self._exact) for _ in range(passed)]

    cdef list _in_order(self):
        """Return the slices, from the oldest to the one of the present."""
        self._present()
        cdef list parts = list(self._slices)    # here, as a new list could run finalisers
        cdef Py_ssize_t size = len(parts)
        cdef Py_ssize_t i
        with cython.critical_section(self):
            for i in range(size):
                parts[i] = self._slices[(self._position + 1 + i) % size]
        return parts
