"""Tasks whose first step is taken at once: what never waits costs no round of the event loop.

From Python 3.12 on these are asyncio's eager tasks. Before, a coroutine is stepped in the name of a
spare task, which goes on with it only if it waits. A spare task serves one coroutine after the
other, each in its own context, and never two at a time.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Protocol

__all__ = ["EagerTasks", "SpareTasks", "Tasks", "context_of", "tasks_of"]

MAX_SPARE = 64
"""How many tasks are kept for the next coroutines."""


class Tasks(Protocol):
    """Starts coroutines on one event loop. They handle their own exceptions, and return None."""

    def start(
        self, coroutine: Coroutine[Any, Any, None], context: Context
    ) -> asyncio.Task[Any] | None:
        """Take the first step in `context`; return the task that goes on, None if it is over."""


class EagerTasks:
    """Starts coroutines as eager tasks (Python 3.12 and later).

    Parameters
    ----------
    loop
        The running event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def start(
        self, coroutine: Coroutine[Any, Any, None], context: Context
    ) -> asyncio.Task[Any] | None:
        """Take the first step in `context`; return the task that goes on, None if it is over."""
        task: asyncio.Task[Any] = asyncio.Task(
            coroutine,
            loop=self._loop,
            context=context,
            eager_start=True,  # type: ignore[call-arg]  # unknown to the oldest Python
        )
        return None if task.done() else task


class SpareTasks:
    """Starts coroutines in the name of spare tasks (Python 3.11 and earlier).

    Parameters
    ----------
    loop
        The running event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._idle: list[_Spare] = []

    def start(
        self, coroutine: Coroutine[Any, Any, None], context: Context
    ) -> asyncio.Task[Any] | None:
        """Take the first step in `context`; return the task that goes on, None if it is over."""
        loop = self._loop
        spare = self._take()
        task = spare.task
        caller = asyncio.current_task(loop)
        if caller is not None:
            _leave_task(loop, caller)
        _enter_task(loop, task)
        spare.context = context
        try:
            waits_for = context.run(coroutine.send, None)
        except StopIteration:
            spare.dismiss()
            return None
        finally:
            _leave_task(loop, task)
            if caller is not None:
                _enter_task(loop, caller)
        spare.take_over(coroutine, waits_for)
        return task

    def _take(self) -> _Spare:
        idle = self._idle
        while idle:
            spare = idle.pop()
            if spare.is_clean():
                return spare
        return _Spare(self._loop, idle)


class _Spare(Coroutine[Any, Any, None]):
    """What a spare task runs: a coroutine whose first step was taken in its name, or none.

    It is a coroutine written by hand: a generator could not tell its coroutine that the task was
    cancelled before its own first step.

    Parameters
    ----------
    loop
        The running event loop.
    idle
        Where it waits for the next coroutine.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, idle: list[_Spare]) -> None:
        self._loop = loop
        self._idle = idle
        self._coroutine: Coroutine[Any, Any, None] | None = None
        self._waits_for: Any = _NOTHING
        """What the first step waits for, until the task itself waits for it."""
        self._wake: asyncio.Future[None] | None = None
        """What the task waits for while it has no coroutine."""
        self._ends = False
        self.context: Context | None = None
        """That of the coroutine."""
        # Started in a context of its own: it must not keep that of whoever came first.
        self.task: asyncio.Task[None] = Context().run(loop.create_task, self)
        self.task._log_destroy_pending = False  # type: ignore[attr-defined]  # nothing is lost

    def __getattr__(self, name: str) -> Any:
        # Whoever asks for the frame of the task's coroutine, as `Task.get_stack` does, means ours.
        if name.startswith("cr_") and self._coroutine is not None:
            return getattr(self._coroutine, name)
        raise AttributeError(name)

    def __await__(self) -> Any:
        """Only a task runs this."""
        raise TypeError(f"{type(self).__name__} cannot be awaited")

    def is_clean(self) -> bool:
        """Whether nobody has cancelled the task: the next coroutine must not be the one to end."""
        wake, task = self._wake, self.task
        if self._ends or task._must_cancel or (wake is not None and wake.done()):  # type: ignore[attr-defined]
            return False
        return sys.version_info < (3, 11) or not task.cancelling()

    def take_over(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        """Let the task go on with a coroutine that waits for something."""
        self._coroutine, self._waits_for = coroutine, waits_for
        self._go_on()

    def dismiss(self) -> None:
        """Let the task wait for another coroutine, or end, after a first step that was the last."""
        self.context = None
        if not self._stays():
            self._go_on()

    def send(self, value: Any) -> Any:
        """Take the next step."""
        self._wake = None
        coroutine, waits_for = self._coroutine, self._waits_for
        if coroutine is None:
            return self._rest()
        if waits_for is not _NOTHING:
            self._waits_for = _NOTHING
            if waits_for is not None:  # by a bare yield, it waits for no more than this step
                return waits_for
        return self._step(coroutine.send, value)

    def throw(self, error: Any, *_: Any) -> Any:
        """Take the next step with an exception; as a rule, the task was cancelled."""
        self._wake = None
        if isinstance(error, asyncio.CancelledError):
            self._ends = True
        coroutine, waits_for = self._coroutine, self._waits_for
        if coroutine is None:
            raise error
        if waits_for is not _NOTHING:
            self._waits_for = _NOTHING
            # Cancelled before it could wait: what a task waits for is cancelled first.
            if hasattr(waits_for, "cancel") and waits_for.cancel(*error.args):
                return waits_for
        return self._step(coroutine.throw, error)

    def close(self) -> None:
        """End the coroutine, since nothing goes on with it."""
        if self._coroutine is not None:
            self._coroutine.close()

    def _go_on(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _stays(self) -> bool:
        if len(self._idle) >= MAX_SPARE or not self.is_clean():
            self._ends = True
        else:
            self._idle.append(self)
        return not self._ends

    def _step(self, step: Callable[[Any], Any], value: Any) -> Any:
        try:
            return step(value) if self.context is None else self.context.run(step, value)
        except StopIteration:
            self._coroutine = self.context = None
        if not self._stays():
            raise StopIteration
        return self._rest()

    def _rest(self) -> asyncio.Future[None]:
        if self._ends:
            raise StopIteration
        self._wake = wake = self._loop.create_future()
        wake._asyncio_future_blocking = True  # as awaiting it does
        return wake


tasks_of: Callable[[asyncio.AbstractEventLoop], Tasks] = (
    EagerTasks if sys.version_info >= (3, 12) else SpareTasks
)
"""Return what starts coroutines on a running event loop."""

_NOTHING = object()


def context_of(task: asyncio.Task[Any]) -> Context:
    """Return the context that a task runs in."""
    if sys.version_info >= (3, 12):
        return task.get_context()
    spare = task.get_coro()
    if isinstance(spare, _Spare):
        return spare.context or Context()
    # Such a task does not tell; but it refers to its context.
    found = [each for each in gc.get_referents(task) if type(each) is Context]
    return found[0] if found else Context()
