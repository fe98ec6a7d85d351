"""A borrowed pointer to an object that may just be going, turned into a reference to it.

With a GIL, an object whose deallocator unlinks it is linked only while it is alive, or while what
a subclass added to it is being destroyed, when nothing refers to it any more. Without a GIL its
last reference may have gone a moment ago, and only the interpreter can tell.
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
        if (Py_REFCNT(object) == 0) return NULL;
        Py_INCREF(object);
        return object;
    #endif
    }
    #endif
    """
    void allow_live_reference "kaizen_nexus_allow_live_reference"(PyObject *object) noexcept
    # A new reference, or NULL for NULL or for an object that is going.
    PyObject *live_reference "kaizen_nexus_live_reference"(PyObject *object) noexcept
