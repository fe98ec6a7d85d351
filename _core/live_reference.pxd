"""A borrowed pointer to an object that may just be going, turned into a reference to it.

With a GIL, an object whose deallocator unlinks it is alive for as long as it is linked. Without
one, its last reference may have gone a moment ago, and only the interpreter can tell.
"""
from cpython.object cimport PyObject


cdef extern from *:
    """
    #ifndef KAIZEN_NEXUS_LIVE_REFERENCE
    #define KAIZEN_NEXUS_LIVE_REFERENCE
    #if defined(Py_GIL_DISABLED) && PY_VERSION_HEX < 0x030E0000
        #error "without a GIL, kaizen-nexus needs Python 3.14 or later"
    #endif
    static inline void kaizen_nexus_allow_live_reference(PyObject *object) {
    #ifdef Py_GIL_DISABLED
        PyUnstable_EnableTryIncRef(object);
    #else
        (void)object;
    #endif
    }
    static inline PyObject *kaizen_nexus_live_reference(PyObject *object) {
        if (object == NULL) return NULL;
    #ifdef Py_GIL_DISABLED
        return PyUnstable_TryIncRef(object) ? object : NULL;
    #else
        Py_INCREF(object);
        return object;
    #endif
    }
    #endif
    """
    void allow_live_reference "kaizen_nexus_allow_live_reference"(PyObject *object) noexcept
    # A new reference, or NULL for NULL or for an object that is going.
    PyObject *live_reference "kaizen_nexus_live_reference"(PyObject *object) noexcept
