"""Asking for memory before it is needed, so that the misses of a batch overlap."""


cdef extern from *:
    """
    #ifndef KAIZEN_NEXUS_PREFETCH
    #define KAIZEN_NEXUS_PREFETCH
    #if defined(__GNUC__) || defined(__clang__)
        #define kaizen_nexus_prefetch(address) __builtin_prefetch((address), 1)
    #else
        #define kaizen_nexus_prefetch(address) ((void)(address))
    #endif
    #endif
    """
    void prefetch "kaizen_nexus_prefetch"(const void *address) noexcept nogil
