"""The histogram of the last seconds, made of histograms of either implementation."""

from __future__ import annotations

from time import monotonic_ns
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from kaizen_nexus._common.fork_locks import fork_lock
from kaizen_nexus._common.latency_values import (
    DEFAULT_EXACT,
    as_exact,
    as_seconds,
    as_slices,
    describe,
    float64_view,
    not_copied,
    slice_length_ns,
)
from kaizen_nexus._common.session_arguments import NS_PER_SECOND, clock_reading, duration_ns
from kaizen_nexus._common.session_arguments import clock as as_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import SupportsFloat, SupportsIndex

    from typing_extensions import Buffer

__all__ = ["SlidingWindow"]


class _Reading:
    """An attribute that is read from a snapshot."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, window: SlidingWindow | None, owner: type) -> Any:
        return self if window is None else getattr(window.snapshot(), self._name)


class SlidingWindow:
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

    _histogram: ClassVar[type[Any]]
    """The `LatencyHistogram` that the slices are."""

    def __init__(
        self,
        window: SupportsFloat | SupportsIndex = 60.0,
        slices: SupportsIndex = 6,
        *,
        exact: SupportsIndex = DEFAULT_EXACT,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._window = duration_ns(window, "window")
        size = as_slices(slices)
        self._length = slice_length_ns(self._window, size)
        self._exact = as_exact(exact)
        self._clock = as_clock(clock)
        self._lock = fork_lock()  # re-entrant, as that of a histogram
        self._number = 0  # of slices' lengths that the clock had passed at last
        self._position = 0
        self._slices = [self._histogram(exact=exact) for _ in range(size)]

    @property
    def window(self) -> float:
        """The length of the window, in seconds."""
        return self._window / NS_PER_SECOND

    @property
    def slices(self) -> int:
        """The number of slices."""
        return len(self._slices)

    @property
    def exact(self) -> int:
        """How many of the most recent values it may retain."""
        return self._exact

    @property
    def count(self) -> int:
        """Number of values in the window, clamped ones included."""
        number = self._slice_number()
        with self._lock:
            self._present(number)
            return int(sum(part.count for part in self._slices))

    retained = _Reading("How many values of the window are retained now.")
    min = _Reading("The least value, in seconds.")
    max = _Reading("The greatest value, in seconds.")
    sum = _Reading("The sum of the values, in seconds, correctly rounded.")
    mean = _Reading("The arithmetic mean, in seconds, correctly rounded.")
    stddev = _Reading("The population standard deviation, in seconds, correctly rounded.")
    median = _Reading("The median, in seconds.")
    clamped = _Reading("How many values were out of range, by reason.")

    def percentile(self, percentile: SupportsFloat | SupportsIndex, /) -> float:
        """Return the value of the nearest rank: see `LatencyHistogram.percentile`."""
        value: float = self.snapshot().percentile(percentile)
        return value

    def percentiles(self, percentiles: Iterable[SupportsFloat | SupportsIndex], /) -> list[float]:
        """Return the `percentile` for each of `percentiles`, all of the same instant."""
        values: list[float] = self.snapshot().percentiles(percentiles)
        return values

    def summary(self) -> dict[str, float]:
        """Return the statistics of one instant: see `LatencyHistogram.summary`."""
        summary: dict[str, float] = self.snapshot().summary()
        return summary

    def recent(self, start: SupportsIndex = 0, stop: SupportsIndex | None = None, /) -> list[float]:
        """Return the retained values of the window, oldest first: see `LatencyHistogram.recent`."""
        values: list[float] = self.snapshot().recent(start, stop)
        return values

    def record(self, seconds: SupportsFloat | SupportsIndex, /) -> None:
        """Record one value, in seconds, now: see `LatencyHistogram.record`."""
        value = seconds if type(seconds) is float else as_seconds(seconds)
        self._present(self._slice_number()).record(value)

    def record_many(self, values: Buffer, /) -> None:
        """Record every value of an array, now: see `LatencyHistogram.record_many`."""
        view = float64_view(values)
        if len(view):
            self._present(self._slice_number()).record_many(view)

    def snapshot(self) -> Any:
        """Return a `LatencyHistogram` of what the window holds now, to merge, keep or send."""
        merged = self._histogram(exact=self._exact)
        number = self._slice_number()
        with self._lock:
            self._present(number)
            oldest = self._position + 1
            for part in self._slices[oldest:] + self._slices[:oldest]:
                merged.merge(part)
        return merged

    def reset(self) -> None:
        """Forget every value."""
        with self._lock:
            for part in self._slices:
                part.reset()

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied or pickled: a snapshot can be."""
        raise not_copied(self)

    def __repr__(self) -> str:
        """Return the window, the count and the main statistics."""
        return describe(self.summary(), "SlidingLatencyHistogram", window=self.window)

    def _slice_number(self) -> int:
        """Return how many slices' lengths the clock has passed; it is never read under a lock."""
        now = monotonic_ns() if self._clock is None else clock_reading(self._clock())
        return now // self._length

    def _present(self, number: int) -> Any:
        """Return the slice of the present, having emptied those whose time has passed."""
        if number > self._number:
            with self._lock:
                for _ in range(min(number - self._number, len(self._slices))):
                    self._position = (self._position + 1) % len(self._slices)
                    self._slices[self._position].reset()
                self._number = max(number, self._number)
        return self._slices[self._position]
