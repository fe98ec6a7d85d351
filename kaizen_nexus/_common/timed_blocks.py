"""What both forms of `PerformanceMonitor` share: overlapping blocks and decorated functions."""

from __future__ import annotations

import functools
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from kaizen_nexus._common.latency_values import RECORDERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

__all__ = [
    "close_block",
    "has_open_block",
    "not_entered",
    "open_block",
    "recorder_of",
    "timed",
    "unknown_operation",
]


class _Block:
    """A block that was entered while another of its monitor was open."""

    __slots__ = ("monitor", "outer", "start")

    def __init__(self, monitor: object, start: int, outer: _Block | None) -> None:
        self.monitor: object | None = monitor  # None once the block has been left
        self.start = start
        self.outer = outer


# A monitor that is entered once at a time keeps the start itself. Only the further blocks of one
# that is shared are here, innermost first: a context belongs to one thread and one task, so every
# block finds its own start. Tasks inherit the blocks of their parent, but close none of them,
# because a block is left in the context that entered it.
_INNERMOST: ContextVar[_Block | None] = ContextVar("kaizen_nexus_timed_blocks", default=None)


def _open_blocks() -> _Block | None:
    block = _INNERMOST.get()
    while block is not None and block.monitor is None:
        block = block.outer
    return block


def _find(monitor: object) -> _Block | None:
    block = _open_blocks()
    while block is not None and block.monitor is not monitor:
        block = block.outer
    return block


def has_open_block(monitor: object) -> bool:
    """Whether this context has, or inherited, an open block of `monitor`."""
    return _find(monitor) is not None


def open_block(monitor: object, start: int) -> None:
    """Enter a further block of `monitor` in this context."""
    _INNERMOST.set(_Block(monitor, start, _open_blocks()))


def close_block(monitor: object) -> int | None:
    """Leave the innermost block of `monitor` in this context; return its start, if there is one."""
    block = _find(monitor)
    if block is None:
        return None
    block.monitor = None
    _INNERMOST.set(_open_blocks())
    return block.start


def recorder_of(metrics: object, operation: object) -> Callable[[float], object]:
    """Return the method that records an operation's latency in seconds, or raise."""
    name = RECORDERS.get(operation) if isinstance(operation, str) else None
    recorder: Callable[[float], object] | None = getattr(
        metrics, name or "record_api_latency", None
    )
    if not callable(recorder):
        raise TypeError(f"metrics must be a PerformanceMetrics, not {type(metrics).__name__}")
    if name is None:
        raise unknown_operation(operation, RECORDERS)
    return recorder


def not_entered() -> RuntimeError:
    """Return the error for leaving a block that no monitor times."""
    return RuntimeError("this PerformanceMonitor was not entered")


def unknown_operation(operation: object, operations: Iterable[str]) -> ValueError:
    """Return the error for an operation that is not one of `operations`."""
    *names, last = map(repr, operations)
    return ValueError(f"unknown operation {operation!r}: use {', '.join(names)} or {last}")


def timed(
    function: Callable[..., Any], monitor: Callable[[], AbstractContextManager[object]]
) -> Callable[..., Any]:
    """Return `function` wrapped so that each call, or await, runs in a monitor of its own."""
    if not callable(function):
        raise TypeError(f"a PerformanceMonitor decorates functions, not {function!r}")
    # Its import costs more than the rest of the module, and only decorators need it.
    import inspect

    # An object that is called through its class may be a coroutine or generator function too.
    forms = (function, type(function).__call__)
    if any(inspect.isgeneratorfunction(form) or inspect.isasyncgenfunction(form) for form in forms):
        raise TypeError(
            "a PerformanceMonitor cannot decorate a generator function: "
            "put the loop that consumes it into a 'with' block"
        )
    if any(map(inspect.iscoroutinefunction, forms)):

        @functools.wraps(function)
        async def timed_coroutine(*args: Any, **kwargs: Any) -> Any:
            with monitor():
                return await function(*args, **kwargs)

        return timed_coroutine

    @functools.wraps(function)
    def timed_function(*args: Any, **kwargs: Any) -> Any:
        with monitor():
            return function(*args, **kwargs)

    return timed_function
