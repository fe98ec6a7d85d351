"""The built-in clock: monotonic nanoseconds without the GIL or a Python call.

Linux and the BSDs read CLOCK_MONOTONIC, macOS the counter behind CLOCK_UPTIME_RAW, Windows the
performance counter.
"""
from libc.stdint cimport int64_t


cdef extern from *:
    """
    #ifndef KAIZEN_NEXUS_CLOCK
    #define KAIZEN_NEXUS_CLOCK
    #include <stdint.h>
    #if defined(_WIN32)
        #ifndef WIN32_LEAN_AND_MEAN
            #define WIN32_LEAN_AND_MEAN
        #endif
        #include <windows.h>
        static inline int64_t kaizen_nexus_monotonic_ns(void) {
            /* Fixed at boot: threads that race here all store the same value. */
            static int64_t frequency = 0;
            LARGE_INTEGER now;
            if (frequency == 0) {
                LARGE_INTEGER measured;
                QueryPerformanceFrequency(&measured);
                frequency = measured.QuadPart;
            }
            QueryPerformanceCounter(&now);
            /* Split, since ticks * 1e9 overflows after a quarter of an hour at 10 MHz. */
            return now.QuadPart / frequency * 1000000000
                 + now.QuadPart % frequency * 1000000000 / frequency;
        }
    #elif defined(__APPLE__)
        #include <time.h>
        static inline int64_t kaizen_nexus_monotonic_ns(void) {
            return (int64_t)clock_gettime_nsec_np(CLOCK_UPTIME_RAW);
        }
    #else
        #include <time.h>
        static inline int64_t kaizen_nexus_monotonic_ns(void) {
            struct timespec now;
            clock_gettime(CLOCK_MONOTONIC, &now);
            return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
        }
    #endif
    #endif
    """
    int64_t monotonic_ns "kaizen_nexus_monotonic_ns"() noexcept nogil
