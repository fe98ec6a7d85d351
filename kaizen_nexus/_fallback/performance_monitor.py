"""Timing of blocks and functions: the pure-Python twin of the compiled class."""

from __future__ import annotations

from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, TypeVar, cast

from kaizen_nexus._common.timed_blocks import (
    close_block,
    has_open_block,
    not_entered,
    open_block,
    recorder_of,
    timed,
)
from kaizen_nexus._fallback.latency_recorders import LatencyRecorders

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["PerformanceMonitor"]

Function = TypeVar("Function", bound="Callable[..., Any]")


class PerformanceMonitor:
    """Times a block, or each call of a function, and records the latency.

    Usable as a context manager, nested and from several threads and tasks at once, and as a
    decorator of functions and coroutine functions. A block that raises is recorded too, as a
    failure, and the exception goes on.

    Parameters
    ----------
    metrics
        A `PerformanceMetrics`, or anything else with its ``record_`` methods.
    operation
        One of its operations: ``"deployment"``, ``"api"``, ``"cli"``, ``"mcp"`` or
        ``"session_sync"``.
    clock
        Returns monotonic nanoseconds; the built-in monotonic clock unless given.

    Attributes
    ----------
    metrics, operation
        As given.
    duration : float
        Seconds that the block left last took; 0.0 before.
    start_time : float or None
        When, in seconds of the clock, the last block began that was entered while no other was
        open.

    Raises
    ------
    TypeError, ValueError
        `metrics` is something else, or `operation` is not one of its operations.
    """

    __slots__ = ("_clock", "_free", "_recorder", "_start", "duration", "metrics", "operation")

    def __init__(
        self, metrics: Any, operation: str, *, clock: Callable[[], int] | None = None
    ) -> None:
        self._recorder = recorder_of(metrics, operation)
        self.metrics = metrics
        self.operation = operation
        self._clock = perf_counter_ns if clock is None else clock
        # Holds one element while no block keeps its start in `_start`; taking it is atomic.
        self._free = [True]
        self._start: int | None = None
        self.duration = 0.0

    @property
    def start_time(self) -> float | None:
        """When the block began, in seconds of the clock."""
        return None if self._start is None else self._start / 1e9

    def __enter__(self) -> Self:
        """Start timing a block."""
        start = self._clock()
        if has_open_block(self):
            open_block(self, start)
            return self
        try:
            self._free.pop()
        except IndexError:
            open_block(self, start)
        else:
            self._start = start
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Record the block, as a failure if it raised."""
        stop = self._clock()
        start = close_block(self)
        if start is None:
            start = self._start
            if self._free or start is None:
                raise not_entered()
            self._free.append(True)
        self.duration = seconds = (stop - start) / 1e9
        if kind is not None and isinstance(self.metrics, LatencyRecorders):
            self.metrics.record(self.operation, seconds, failed=True)  # type: ignore[attr-defined]  # of the subclass
        else:
            self._recorder(seconds)

    def __call__(self, function: Function, /) -> Function:
        """Return `function` wrapped so that each of its calls is timed and recorded.

        Raises
        ------
        TypeError
            It is not callable, or a generator function, whose call says nothing about its run.
        """
        monitor = partial(type(self), self.metrics, self.operation, clock=self._clock)
        return cast("Function", timed(function, monitor))

    def __repr__(self) -> str:
        """Return the operation."""
        return f"PerformanceMonitor({self.operation!r})"
