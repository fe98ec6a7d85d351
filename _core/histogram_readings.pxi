"""What can be read from a histogram; a part of latency_histogram.pyx."""

cdef object integer(const uint64_t *words, int size):
    """Return the value of an accumulator."""
    cdef unsigned char data[8 * SQUARE_WORDS]
    store_words(data, words, size)
    return int.from_bytes(data[:8 * size], "little")


cdef int put_percentiles(const Store *store, list points) except -1:
    """Replace each point by its percentile, in place: a new list could run finalisers."""
    cdef Py_ssize_t i
    for i in range(len(points)):
        points[i] = percentile_of(store, <double>points[i])
    return 0


@cython.no_gc
cdef class HistogramReadings(HistogramMemory):
    """The statistics of a histogram, each of one instant.

    A reader folds what waits first. It then takes what it needs at once, in one critical section
    and without Python code in between, and computes from that.
    """

    @property
    def exact(self):
        """How many of the most recent values it may retain."""
        return self._store.exact

    @property
    def retained(self):
        """How many values are retained now."""
        with cython.critical_section(self):
            return retained_of(&self._store)

    @property
    def count(self):
        """Number of recorded values, clamped ones included."""
        with cython.critical_section(self):
            return count_of(&self._store)

    @property
    def min(self):
        """The least recorded value, in seconds."""
        cdef Totals totals
        self._take(&totals)
        return totals.minimum if totals.count else 0.0

    @property
    def max(self):
        """The greatest recorded value, in seconds."""
        cdef Totals totals
        self._take(&totals)
        return totals.maximum

    @property
    def sum(self):
        """The sum of all recorded values, in seconds, correctly rounded."""
        cdef Totals totals
        self._take(&totals)
        return sum_of(integer(totals.sum, SUM_WORDS))

    @property
    def mean(self):
        """The arithmetic mean, in seconds, correctly rounded: that of `statistics.mean`."""
        cdef Totals totals
        self._take(&totals)
        return mean_of(integer(totals.sum, SUM_WORDS), totals.count)

    @property
    def stddev(self):
        """The population standard deviation, in seconds, correctly rounded."""
        cdef Totals totals
        self._take(&totals)
        return stddev_of(
            integer(totals.sum, SUM_WORDS), integer(totals.squares, SQUARE_WORDS), totals.count
        )

    @property
    def median(self):
        """The median, in seconds, averaging the two middle values of an even count."""
        cdef HistogramMemory ranked
        with cython.critical_section(self):
            ranked = self._ranked()
            return median_of(&ranked._store)

    @property
    def clamped(self):
        """How many values were out of range, by reason.

        ``negative`` (recorded as 0), ``nan`` (recorded as 0), and ``overflow`` (above 2**33 s,
        infinity included, recorded as 2**33 s).
        """
        cdef Totals totals
        self._take(&totals)
        return dict(zip(CLAMPS, totals.clamped))

    def percentile(self, percentile, /):
        """Return the value, in seconds, below or at which `percentile` per cent of values are.

        It is the order statistic of the nearest rank, ``ceil(percentile / 100 * count)``, where
        0 gives the minimum: exact while every value is retained, else within 0.1 % of it.

        Raises
        ------
        TypeError, ValueError
            `percentile` is not a real number, or not within 0 to 100.
        """
        cdef double point = as_percentile(percentile)
        cdef HistogramMemory ranked
        with cython.critical_section(self):
            ranked = self._ranked()
            return percentile_of(&ranked._store, point)

    def percentiles(self, percentiles, /):
        """Return the `percentile` for each of `percentiles`, all of the same instant."""
        cdef list points = [as_percentile(point) for point in percentiles]
        cdef HistogramMemory ranked
        with cython.critical_section(self):
            ranked = self._ranked()
            put_percentiles(&ranked._store, points)
        return points

    def summary(self):
        """Return the statistics of one instant, in seconds.

        Returns
        -------
        dict
            ``mean``, ``median``, ``min``, ``max``, ``count``, ``p50``, ``p90``, ``p95``, ``p99``,
            ``p999`` and ``stddev``; zeros when empty.
        """
        cdef list points = list(SUMMARY_PERCENTILES.values())
        cdef Totals totals
        cdef double median
        cdef HistogramMemory ranked
        with cython.critical_section(self):
            ranked = self._ranked()
            totals = ranked._store.totals
            median = median_of(&ranked._store)
            put_percentiles(&ranked._store, points)
        total = integer(totals.sum, SUM_WORDS)
        cdef dict summary = {
            "mean": mean_of(total, totals.count),
            "median": median,
            "min": totals.minimum if totals.count else 0.0,
            "max": totals.maximum,
            "count": totals.count,
        }
        summary.update(zip(SUMMARY_PERCENTILES, points))
        squares = integer(totals.squares, SQUARE_WORDS)
        summary["stddev"] = stddev_of(total, squares, totals.count)
        return summary

    def recent(self, start=0, stop=None, /):
        """Return the retained values, in seconds, oldest first.

        Parameters
        ----------
        start, stop
            A slice of them: ``recent(-1)`` is the last one alone.
        """
        cdef Py_ssize_t low, high, step, i
        PySlice_Unpack(as_slice(start, stop), &low, &high, &step)
        cdef list values = []
        with cython.critical_section(self):
            self._fold()
            PySlice_AdjustIndices(self._store.retained, &low, &high, step)
            for i in range(low, high):
                values.append(sample(&self._store, i))
        return values

    def __repr__(self):
        """Return the count and the main statistics."""
        return describe(self.summary())

    cdef int _take(self, Totals *totals) except -1:
        """Copy the totals of one instant."""
        with cython.critical_section(self):
            self._fold()
            totals[0] = self._store.totals
        return 0

    cdef HistogramMemory _ranked(self):
        """Return what to read order statistics from, at once: the sorted samples, or this.

        To be called, and what it returns read, within one critical section.
        """
        self._fold()
        if not is_exact(&self._store):
            return self
        cdef HistogramMemory ranked = HistogramMemory.__new__(HistogramMemory)
        ranked._store.exact = self._store.exact
        while ranked._store.capacity < self._store.retained:
            ranked._reserve_ring(self._store.retained)
            self._fold()
        if not is_exact(&self._store):
            return self
        memcpy(&ranked._store.totals, &self._store.totals, sizeof(Totals))
        retain_from(&ranked._store, &self._store)
        if ranked._store.retained > 1:
            ranked._samples[:ranked._store.retained].sort()
        return ranked
