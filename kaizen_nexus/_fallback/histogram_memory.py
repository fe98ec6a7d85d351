"""What a pure-Python histogram keeps, and how values enter it."""

from __future__ import annotations

from collections import Counter, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kaizen_nexus._common.fork_locks import fork_lock
from kaizen_nexus._common.latency_codec import HistogramState
from kaizen_nexus._common.latency_values import CLAMPS, MAX_SECONDS
from kaizen_nexus._fallback.histogram_block import state_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HistogramMemory"]


class HistogramMemory:
    """The totals, a counter of bucket numbers, and the retained samples in a deque.

    Recorded values first wait in a list, which is counted as a whole.
    """

    _exact: int
    _count: int
    _clamped: dict[str, int]
    _min: float
    _max: float
    _total: int
    _squares: int
    _buckets: Counter[int]
    _samples: deque[float]

    def __init__(self, exact: int) -> None:
        # Re-entrant: the collector may run a finaliser that records here in the middle of a call.
        self._lock = fork_lock()
        self._waiting: list[float] = []  # always this very list: threads append to it unlocked
        self._counting = False
        self._restore(HistogramState.empty(exact))

    def _fold(self) -> None:
        """Count the values that wait."""
        with self._lock:
            if self._waiting and not self._counting:
                with self._uninterrupted():
                    block = self._waiting[:]
                    state = state_of(block)
                    del self._waiting[: len(block)]
                    self._absorb(state)

    def _absorb(self, state: HistogramState) -> None:
        """Record what another histogram has recorded; to be called under the lock."""
        with self._uninterrupted():
            self._count += state.count
            for reason, number in zip(CLAMPS, state.clamped, strict=True):
                self._clamped[reason] += number
            if state.count:
                self._min = min(self._min, state.minimum)
                self._max = max(self._max, state.maximum)
            self._total += state.total
            self._squares += state.squares
            self._buckets.update(state.buckets)
            self._samples.extend(state.samples)

    @contextmanager
    def _uninterrupted(self) -> Iterator[None]:
        """Let what a finaliser records, which the collector runs in here, wait."""
        before, self._counting = self._counting, True
        try:
            yield
        finally:
            self._counting = before

    def _state(self) -> HistogramState:
        """Return everything that the histogram knows, as plain data."""
        with self._lock:
            self._fold()
            negative, nan, overflow = self._clamped.values()
            return HistogramState(
                self._exact,
                self._count,
                (negative, nan, overflow),
                self._min if self._count else 0.0,
                self._max,
                self._total,
                self._squares,
                dict(sorted(self._buckets.items())),
                tuple(self._samples),
            )

    def _restore(self, state: HistogramState) -> None:
        """Know this alone."""
        self._exact = state.exact
        self._count = state.count
        self._clamped = dict(zip(CLAMPS, state.clamped, strict=True))
        self._min = state.minimum if state.count else MAX_SECONDS
        self._max = state.maximum
        self._total = state.total
        self._squares = state.squares
        self._buckets = Counter(state.buckets)
        self._samples = deque(state.samples, maxlen=state.exact)
