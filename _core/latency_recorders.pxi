"""What records the latencies of the five operations; a part of latency_histogram.pyx."""

cdef object DEPLOYMENT, API, CLI, MCP, SESSION_SYNC
# Interned, as the names that callers write are, so that comparing pointers mostly finds them.
DEPLOYMENT, API, CLI, MCP, SESSION_SYNC = map(intern, OPERATIONS)

cdef extern from *:
    """
    /* The interpreter is fastest at calling methods on exactly the type that they describe. */
    static PyObject *kaizen_nexus_method_of(PyObject *type, PyObject *method) {
        return PyDescr_NewMethod((PyTypeObject *)type, ((PyMethodDescrObject *)method)->d_method);
    }
    """
    object method_of "kaizen_nexus_method_of"(object, object)


@cython.no_gc       # histograms are in no reference cycle
cdef class LatencyRecorders:
    """The base of `PerformanceMetrics`: its histograms, and the methods that record into them.

    The constructor leaves its arguments to the subclass, which may replace the histograms, all
    empty, by `_adopt`.
    """

    cdef readonly object histograms
    cdef LatencyHistogram _deployment
    cdef LatencyHistogram _api
    cdef LatencyHistogram _cli
    cdef LatencyHistogram _mcp
    cdef LatencyHistogram _session_sync
    cdef bint _overridden

    _overrides = False      # whether the class has recording methods that are not these

    def __cinit__(self):
        self._overridden = type(self)._overrides
        self._adopt([LatencyHistogram() for _ in OPERATIONS])

    @classmethod
    def _own_recorders(cls):
        """Give a subclass the recording methods as its own, where calling them is fastest."""
        for name, method in RECORDING_METHODS.items():
            setattr(cls, name, method_of(cls, method))

    def record_deployment(self, duration):
        """Record the time of a deployment, in seconds."""
        record_in(self._deployment, seconds_of(duration))

    def record_api_latency(self, duration):
        """Record the latency of an API request, in seconds."""
        record_in(self._api, seconds_of(duration))

    def record_cli_latency(self, duration):
        """Record the latency of a command, in seconds."""
        record_in(self._cli, seconds_of(duration))

    def record_mcp_latency(self, duration):
        """Record the latency of an MCP tool call, in seconds."""
        record_in(self._mcp, seconds_of(duration))

    def record_session_sync(self, duration):
        """Record the time of a session synchronisation, in seconds."""
        record_in(self._session_sync, seconds_of(duration))

    def _adopt(self, histograms):
        """Record into these, in the order of the operations."""
        cdef dict adopted = dict(zip(OPERATIONS, histograms))
        self._deployment, self._api, self._cli, self._mcp, self._session_sync = adopted.values()
        self.histograms = MappingProxyType(adopted)

    cdef LatencyHistogram _of(self, object operation):
        """Return the histogram to record an operation in, or None to call the recording method.

        That is for a subclass with methods of its own, and for a name made at run time.
        """
        if self._overridden:
            return None
        if operation is API:
            return self._api
        if operation is MCP:
            return self._mcp
        if operation is CLI:
            return self._cli
        if operation is DEPLOYMENT:
            return self._deployment
        if operation is SESSION_SYNC:
            return self._session_sync
        return None


cdef dict RECORDING_METHODS = {
    name: method
    for name, method in vars(LatencyRecorders).items()
    if name in RECORDERS.values()
}
