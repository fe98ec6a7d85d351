"""Asynchronous agents in threads, each run with an event loop of its own, which it may block."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable
from typing import Any

from kaizen_nexus.runtime.streaming import ThreadSteps

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

    Parameters
    ----------
    iterator
        The asynchronous one.
    """

    def __init__(self, iterator: Any) -> None:
        self._iterator = iterator
        self._loop = asyncio.new_event_loop()
        self._step: asyncio.Task[Any] | None = None

    def __iter__(self) -> IsolatedIterator:
        return self

    def __next__(self) -> Any:
        try:
            return self._run(self._next)
        except StopAsyncIteration:
            raise StopIteration from None

    def cancel(self) -> None:
        """Cancel the step that another thread is in the middle of."""
        step = self._step
        if step is not None:
            _cancel(self._loop, step)

    def close(self) -> None:
        """Let the asynchronous iterator go."""
        try:
            if hasattr(self._iterator, "aclose"):
                self._run(self._iterator.aclose)
        finally:
            self._loop.close()

    async def _next(self) -> Any:
        return await self._iterator.__anext__()

    def _run(self, function: Callable[[], Any]) -> Any:
        self._step = self._loop.create_task(function())
        try:
            return self._loop.run_until_complete(self._step)
        finally:
            self._step = None


class IsolatedSteps(ThreadSteps):
    """Iterates over an `IsolatedIterator`."""

    _iterator: IsolatedIterator

    async def close(self) -> None:
        """Let the iterator go, cancelling the step that it is in the middle of."""
        self._iterator.cancel()
        await super().close()


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed, so the task has ended
        loop.call_soon_threadsafe(task.cancel)
