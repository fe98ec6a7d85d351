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
from contextvars import Context, copy_context
from typing import Any, Protocol

__all__ = ["EagerTasks", "SpareTasks", "Tasks", "context_of", "tasks_of"]

MAX_SPARE = 64
"""How many tasks are kept for the next coroutines."""


class Tasks(Protocol):
    """Starts coroutines on one event loop. They handle their own exceptions, and return None."""

    def start(
        self, coroutine: Coroutine[Any, Any, None], over: Callable[[], object]
    ) -> asyncio.Task[Any] | None:
        """Take the first step of a coroutine, in a copy of the context.

        Returns the task that goes on with it, or None if that was the last step. Only of what goes
        on, `over` is called at the end, by no task and in no particular context.
        """


class EagerTasks:
    """Starts coroutines as eager tasks (Python 3.12 and later).

    Parameters
    ----------
    loop
        The running event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._nowhere = Context()

    def start(
        self, coroutine: Coroutine[Any, Any, None], over: Callable[[], object]
    ) -> asyncio.Task[Any] | None:
        """Take the first step of a coroutine, in a copy of the context."""
        task: asyncio.Task[Any] = asyncio.Task(
            coroutine,
            loop=self._loop,
            context=copy_context(),
            eager_start=True,  # type: ignore[call-arg]  # unknown to the oldest Python
        )
        if task.done():
            return None
        task.add_done_callback(lambda _: over(), context=self._nowhere)
        return task


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
        self, coroutine: Coroutine[Any, Any, None], over: Callable[[], object]
    ) -> asyncio.Task[Any] | None:
        """Take the first step of a coroutine, in a copy of the context."""
        loop, idle = self._loop, self._idle
        while idle:
            spare = idle.pop()
            if spare.is_clean():
                break
        else:
            spare = _Spare(loop, idle)
        task = spare.task
        spare.context = context = copy_context()
        caller = asyncio.current_task(loop)
        if caller is not None:
            _leave_task(loop, caller)
        _enter_task(loop, task)
        try:
            waits_for = context.run(coroutine.send, None)
        except StopIteration:
            spare.rest()
            return None
        finally:
            _leave_task(loop, task)
            if caller is not None:
                _enter_task(loop, caller)
        spare.take_over(coroutine, waits_for, over)
        return task


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
        self._over: Callable[[], object] = _nothing
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
        """Whether nobody has cancelled the task, which would end the next coroutine."""
        if sys.version_info >= (3, 11) and self.task.cancelling():
            return False
        if self._wake is None:  # it has not begun
            return not (self._ends or self.task._must_cancel)  # type: ignore[attr-defined]
        return not self._wake.done()

    def take_over(
        self, coroutine: Coroutine[Any, Any, None], waits_for: Any, over: Callable[[], object]
    ) -> None:
        """Let the task go on with a coroutine that waits for something, and call `over` then."""
        if hasattr(waits_for, "_asyncio_future_blocking"):
            waits_for._asyncio_future_blocking = False  # until the task waits, others may begin to
        self._coroutine, self._waits_for = coroutine, waits_for
        self._over = over
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def rest(self) -> None:
        """Be there for the next coroutine, or let the task end if it was cancelled."""
        self.context = None
        if len(self._idle) < MAX_SPARE:
            self._idle.append(self)
            return
        self._ends = True
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def send(self, value: Any) -> Any:
        """Take the next step."""
        self._wake = None
        coroutine, waits_for = self._coroutine, self._waits_for
        if coroutine is None:
            return self._park()
        if waits_for is not _NOTHING:
            self._waits_for = _NOTHING
            if waits_for is not None:  # by a bare yield, it waits for no more than this step
                return _awaited(waits_for)
        return self._step(coroutine.send, value)

    def throw(self, error: Any, *_: Any) -> Any:
        """Take the next step with an exception; as a rule, the task was cancelled."""
        if isinstance(error, asyncio.CancelledError):
            self._ends = True
        coroutine, waits_for = self._coroutine, self._waits_for
        if coroutine is None:
            raise error
        self._wake = None
        if waits_for is not _NOTHING:
            self._waits_for = _NOTHING
            # Cancelled before it could wait: what a task waits for is cancelled first.
            if hasattr(waits_for, "cancel") and waits_for.cancel(*error.args):
                return _awaited(waits_for)
        return self._step(coroutine.throw, error)

    def close(self) -> None:
        """End the coroutine, since nothing goes on with it."""
        if self._coroutine is not None:
            self._coroutine.close()

    def _step(self, step: Callable[[Any], Any], value: Any) -> Any:
        try:
            return step(value) if self.context is None else self.context.run(step, value)
        except StopIteration:
            pass
        over, self._coroutine = self._over, None
        _leave_task(self._loop, self.task)
        try:
            over()
        except BaseException:
            self._ends = True  # the task ends with it
            raise
        finally:
            _enter_task(self._loop, self.task)
            self._over = _nothing
            if not self._ends:
                self.rest()
        return self._park()

    def _park(self) -> asyncio.Future[None]:
        if self._ends:
            raise StopIteration
        self._wake = self._loop.create_future()
        future: asyncio.Future[None] = _awaited(self._wake)
        return future


_NOTHING = object()


def _awaited(waits_for: Any) -> Any:
    """Return what a coroutine waits for, marked as awaiting it does."""
    if hasattr(waits_for, "_asyncio_future_blocking"):
        waits_for._asyncio_future_blocking = True
    return waits_for


def _nothing() -> None:
    """Do nothing."""


tasks_of: Callable[[asyncio.AbstractEventLoop], Tasks] = (
    EagerTasks if sys.version_info >= (3, 12) else SpareTasks
)
"""Return what starts coroutines on a running event loop."""


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
