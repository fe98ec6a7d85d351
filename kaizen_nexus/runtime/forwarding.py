"""Runs that are asked for on another event loop than the app's, as over stdio beside HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from kaizen_nexus.runtime.errors import AbandonedError
from kaizen_nexus.runtime.invocation import Invocation
from kaizen_nexus.runtime.run import Run

__all__ = ["ForwardedRun"]

T = TypeVar("T")


class ForwardedRun(Run):
    """A run on the app's event loop, for a caller on the loop that is running.

    Parameters
    ----------
    home
        The app's event loop.
    on_end
        Called once with the run, on the caller's loop, when it has ended, unless it was given up.
    """

    __slots__ = ("_home", "_own", "_run")

    def __init__(self, home: asyncio.AbstractEventLoop, on_end: Callable[[Run], object]) -> None:
        super().__init__(on_end)
        self._home = home
        self._own = asyncio.get_running_loop()
        self._run: Run | None = None

    def begin(
        self, invocation: Invocation, start: Callable[[Invocation, Callable[[Run], object]], Run]
    ) -> None:
        """Have `start` called on the app's event loop."""
        # What waits there for the caller has to wait on the caller's loop.
        emit, gone = self._back(invocation.emit), self._back(invocation.caller_gone)
        forwarded = msgspec.structs.replace(invocation, emit=emit, caller_gone=gone)
        _call(self._home, self._start, forwarded, start)

    def give_up(self) -> None:
        """Give up the run on the app's event loop as well."""
        super().give_up()
        if not self.ended:
            self.ended = True
            self._error = AbandonedError()
            _call(self._home, self._leave)

    def _back(self, function: Callable[..., Awaitable[T]] | None) -> Any:
        if function is None:
            return None

        async def call(*arguments: Any) -> T:
            async def on_own() -> T:
                return await function(*arguments)

            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(on_own(), self._own))

        return call

    # On the app's event loop.

    def _start(self, invocation: Invocation, start: Callable[..., Run]) -> None:
        if not self.ended:
            self._run = start(invocation, self._over)

    def _leave(self) -> None:
        if self._run is not None:
            self._run.give_up()

    def _over(self, run: Run) -> None:
        _call(self._own, self._end, run)

    # On the caller's.

    def _end(self, run: Run) -> None:
        if self.ended:
            return
        self.ended = True
        try:
            self._result = run.outcome()
        except Exception as error:
            self._error = error
        self.notify()


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *values: Any) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(function, *values)
