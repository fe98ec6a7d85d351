"""Asynchronous agents in threads, each run with an event loop of its own, which it may block."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kaizen_nexus.runtime.streaming import END, ThreadSteps

if TYPE_CHECKING:
    from kaizen_nexus.runtime.breaker import Attempt
    from kaizen_nexus.runtime.threads import ThreadPool

__all__ = ["IsolatedCall", "IsolatedIterator", "IsolatedSteps"]


class IsolatedCall:
    """A call of a coroutine function, as a function for a thread.

    Parameters
    ----------
    invoke
        Returns the coroutine.
    """

    def __init__(self, invoke: Callable[[], Any]) -> None:
        self._invoke = invoke
        self._cancelled = False
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None

    def __call__(self) -> Any:
        """Return what the coroutine returns."""
        return asyncio.run(self._main())

    def cancel(self) -> None:
        """Cancel the coroutine, from another thread, if it runs and lets itself be cancelled."""
        self._cancelled = True
        if self._running is not None:
            _cancel(*self._running)

    async def _main(self) -> Any:
        task = asyncio.current_task()
        if task is not None:
            self._running = (asyncio.get_running_loop(), task)
        if self._cancelled:
            raise asyncio.CancelledError
        outcome = self._invoke()
        return await outcome if inspect.isawaitable(outcome) else outcome


class IsolatedIterator:
    """An asynchronous iterator as a synchronous one.

    All of its steps are in one task: what sets context variables, timeouts or cancel scopes in one
    step may take them back in another, as it may on an event loop that iterates over it.

    Parameters
    ----------
    invoke
        Returns the asynchronous one, or an awaitable of it; called in the task.
    """

    def __init__(self, invoke: Callable[[], Any]) -> None:
        self._invoke = invoke
        self._iterator: Any = None
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._asked: asyncio.Queue[_Step] = asyncio.Queue()
        self._current: _Step | None = None
        """The step that a thread is in the middle of."""

    def __iter__(self) -> IsolatedIterator:
        return self

    def __next__(self) -> Any:
        try:
            return self._run(self._next)
        except StopAsyncIteration:
            raise StopIteration from None

    def cancel(self) -> None:
        """Cancel the step that another thread is in the middle of."""
        current = self._current
        if current is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, so the step has ended
                self._loop.call_soon_threadsafe(self._cancel, current)

    def close(self) -> None:
        """Let the asynchronous iterator go."""
        try:
            if hasattr(self._iterator, "aclose"):
                self._run(self._iterator.aclose)
        finally:
            if self._task is not None:
                self._task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    self._loop.run_until_complete(self._task)
            self._loop.close()

    async def _next(self) -> Any:
        if self._iterator is None:
            self._iterator = self._invoke()
            if inspect.isawaitable(self._iterator):
                self._iterator = await self._iterator
        return await self._iterator.__anext__()

    def _run(self, function: Callable[[], Any]) -> Any:
        if self._task is None:
            self._task = self._loop.create_task(self._serve())
        self._current = step = _Step(function, self._loop.create_future())
        self._asked.put_nowait(step)
        try:
            self._loop.run_until_complete(step.over)
        finally:
            self._current = None
        if step.error is None:
            return step.result
        try:
            raise step.error
        finally:
            step.error = None  # or it would refer to itself, by its traceback

    async def _serve(self) -> None:
        """Do one step after the other, as they are asked for."""
        while True:
            step = await self._asked.get()
            await step.make()

    def _cancel(self, step: _Step) -> None:
        """Cancel a step, unless it has ended; on the loop."""
        step.cancelled = True
        if self._task is not None and step.begun and not step.over.done():
            self._task.cancel()


class _Step:
    """One step of an iterator, and what came of it."""

    def __init__(self, function: Callable[[], Any], over: asyncio.Future[None]) -> None:
        self.function = function
        self.over = over
        self.begun = False
        self.cancelled = False
        self.result: Any = None
        self.error: BaseException | None = None

    async def make(self) -> None:
        """Take the step, unless it was cancelled before."""
        self.begun = True
        try:
            if not self.cancelled:
                self.result = await self.function()
            else:
                self.error = asyncio.CancelledError()
        except BaseException as error:  # whatever it is, it is for whoever asked
            self.error = error
        # As a result: an exit that is an exception of a future does not end the loop's run.
        self.over.set_result(None)


class IsolatedSteps(ThreadSteps):
    """Iterates in threads over an asynchronous iterator that has an event loop of its own."""

    _iterator: IsolatedIterator

    def __init__(
        self,
        invoke: Callable[[], Any],
        attempt: Attempt,
        threads: ThreadPool,
        closing: ThreadPool,
    ) -> None:
        super().__init__(invoke, attempt, threads, closing)
        self._iterator = IsolatedIterator(invoke)

    async def close(self) -> None:
        """Let the iterator go, cancelling the step that it is in the middle of."""
        self._iterator.cancel()
        await super().close()

    def _next(self) -> Any:
        self._attempt.begin()
        return next(self._iterator, END)


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed, so the task has ended
        loop.call_soon_threadsafe(task.cancel)
