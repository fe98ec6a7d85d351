"""The most recent samples of an operation, as a view that reads like a list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from kaizen_nexus._accel import LatencyHistogram

__all__ = ["RecentSamples"]


class RecentSamples(Sequence[float]):
    """A live view of the samples that a histogram retains, oldest first.

    It also shows what is recorded later, as far as the histogram retains it, and equals a list of
    the same values. Iteration and slices use a copy made when they start, so recording meanwhile
    does not disturb them. Appending a value records it; recorded values cannot be changed or
    removed.

    Parameters
    ----------
    histogram
        Whose samples to show, in seconds.
    """

    __slots__ = ("_histogram",)

    def __init__(self, histogram: LatencyHistogram) -> None:
        self._histogram = histogram

    def __len__(self) -> int:
        """Return how many samples are retained."""
        return self._histogram.retained

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> list[float]: ...
    def __getitem__(self, index: int | slice) -> float | list[float]:
        """Return one sample in O(1), or a list of a slice of them."""
        if isinstance(index, slice):
            return self._histogram.recent()[index]
        found = self._histogram.recent(index, index + 1 if index != -1 else None)
        if not found:
            raise IndexError("sample index out of range")
        return found[0]

    def append(self, seconds: float) -> None:
        """Record a latency."""
        self._histogram.record(seconds)

    def extend(self, values: Iterable[float]) -> None:
        """Record several latencies, in seconds."""
        for seconds in list(values):  # may be this very view
            self._histogram.record(seconds)

    def clear(self) -> None:
        """Remove all records of the operation, its statistics included."""
        self._histogram.reset()

    def copy(self) -> list[float]:
        """Return the samples that are retained now as a list."""
        return self._histogram.recent()

    def __iter__(self) -> Iterator[float]:
        """Iterate over the samples that are retained now."""
        return iter(self._histogram.recent())

    def __reversed__(self) -> Iterator[float]:
        """Iterate over the samples that are retained now, the most recent first."""
        return reversed(self._histogram.recent())

    def __eq__(self, other: object) -> bool:
        """Whether `other` is a list, or another view, of the same values."""
        if isinstance(other, RecentSamples):
            return self._histogram.recent() == other._histogram.recent()
        return self._histogram.recent() == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # not hashable, since it changes

    def __reduce__(self) -> tuple[type[list[float]], tuple[list[float]]]:
        """Copy and pickle as a list of the samples."""
        return list, (self._histogram.recent(),)

    def __repr__(self) -> str:
        """Return the samples as a list would."""
        return repr(self._histogram.recent())
