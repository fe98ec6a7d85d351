"""Synchronous agents in a bounded pool of threads, which a caller may stop waiting for."""

from __future__ import annotations

import asyncio
import threading
import weakref
from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Callable
from typing import Any

from kaizen_nexus._extras import missing_extra
from kaizen_nexus.runtime.errors import OverloadedError

try:
    from anyio import CapacityLimiter, to_thread
except ModuleNotFoundError as error:
    missing_extra("running workflows", "serve", error)

__all__ = ["ThreadPool"]


class ThreadPool:
    """Runs functions in threads, so many at a time.

    Nothing can stop a thread. Who stops waiting for one gives its place back, so that others find
    one, and the thread is counted as abandoned until it ends: there are never more than five times
    `size` of them.

    Parameters
    ----------
    size
        How many functions run at the same time; further ones wait. Four times as many threads may
        be abandoned: one agent that hangs can leave as many as run at a time, and must not have the
        others refused.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.max_abandoned = 4 * size
        self.abandoned = 0
        self._lock = threading.Lock()
        self._limiters: weakref.WeakKeyDictionary[AbstractEventLoop, CapacityLimiter] = (
            weakref.WeakKeyDictionary()
        )

    async def run(self, function: Callable[[], Any]) -> Any:
        """Return what `function` returns in a thread; when cancelled, leave it to itself.

        Raises
        ------
        OverloadedError
            As many threads as may be were abandoned and have not ended.
        """
        if self.abandoned >= self.max_abandoned:
            raise OverloadedError(f"{self.abandoned} threads run on that nobody waits for any more")
        work = _Work(function, self._count)
        try:
            return await to_thread.run_sync(work, limiter=self._limiter(), abandon_on_cancel=True)
        except asyncio.CancelledError:
            work.abandon()
            raise

    def _limiter(self) -> CapacityLimiter:
        """Return this event loop's share of the pool; there is one loop in all but tests."""
        loop = get_running_loop()
        limiter = self._limiters.get(loop)
        if limiter is None:
            limiter = self._limiters[loop] = CapacityLimiter(self.size)
        return limiter

    def _count(self, change: int) -> None:
        with self._lock:
            self.abandoned += change


class _Work:
    """A call of a function that counts from when it is abandoned until it ends."""

    def __init__(self, function: Callable[[], Any], count: Callable[[int], None]) -> None:
        self._function = function
        self._count = count
        self._lock = threading.Lock()
        self._running = False
        self._abandoned = False

    def __call__(self) -> Any:
        with self._lock:
            if self._abandoned:  # after a thread had taken it, and before it began
                return None
            self._running = True
        try:
            return self._function()
        finally:
            with self._lock:
                self._running = False
                if self._abandoned:
                    self._count(-1)

    def abandon(self) -> None:
        """Count the call if it runs; one that has not begun never will."""
        with self._lock:
            self._abandoned = True
            if self._running:
                self._count(1)
