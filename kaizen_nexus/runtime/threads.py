"""Synchronous agents in a bounded pool of threads, which a caller may stop waiting for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Any

from kaizen_nexus.runtime.errors import OverloadedError

try:
    # What makes `anyio.from_thread.run` work in a thread; anyio offers no other way.
    from anyio._core._eventloop import claim_worker_thread, get_async_backend
except ImportError:
    claim_worker_thread = None  # type: ignore[assignment]

__all__ = ["ThreadPool"]

MAX_IDLE = 10.0
"""Seconds after which a thread ends that has nothing to do."""


class ThreadPool:
    """Runs functions in daemon threads, so many at a time, for one event loop.

    Nothing can stop a thread. A call that is cancelled gives its place back to others, and its
    thread counts as abandoned until the function returns: there are never more than five times
    `size` threads.

    Parameters
    ----------
    size
        How many functions run at the same time; further ones wait. Four times as many threads may
        be abandoned: one agent that hangs can leave as many as run at a time, and must not have the
        others refused.
    withdraws
        Whether a call that is cancelled before it begins is dropped, or made all the same.
    """

    def __init__(self, size: int, *, withdraws: bool = True) -> None:
        self.size = size
        self.max_abandoned = 4 * size
        self.abandoned = 0
        self._withdraws = withdraws
        # Those that have a thread, and those that wait for one; both on the event loop alone.
        self._running = 0
        self._waiting: deque[_Call] = deque()
        self._lock = threading.Lock()
        self._idle = 0
        """How many threads wait for a call, besides those that one in the queue is for."""
        self._queue: SimpleQueue[_Call] = SimpleQueue()

    def reset(self) -> None:
        """Forget the calls of an event loop that has ended."""
        self._running = 0
        self._waiting.clear()

    async def run(self, function: Callable[[], Any]) -> Any:
        """Return what `function` returns in a thread; when cancelled, leave it to itself.

        Raises
        ------
        OverloadedError
            As many threads as may be were abandoned and have not ended.
        """
        if self.abandoned >= self.max_abandoned:
            raise OverloadedError(
                f"{self.abandoned} threads are still running agents that were given up"
            )
        call = _Call(function, asyncio.get_running_loop())
        self._waiting.append(call)
        self._admit()
        try:
            await call.over
        except asyncio.CancelledError:
            self._abandon(call)
            raise
        return call.outcome()

    def _admit(self) -> None:
        while self._waiting and self._running < self.size:
            call = self._waiting.popleft()
            self._running += 1
            with self._lock:
                is_idle = self._idle > 0
                self._idle -= is_idle
            if is_idle:
                self._queue.put(call)
                continue
            name = "kaizen-nexus-agent"
            thread = threading.Thread(target=self._serve, args=([call],), name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the system has no more threads
                call.error = error
                self._running -= 1
                if not call.over.done():
                    call.over.set_result(None)

    def _done(self, call: _Call) -> None:
        """Give back a call's place, and wake its caller; runs on the event loop."""
        if not call.abandoned:
            self._running -= 1
            if not call.over.done():
                call.over.set_result(None)
            self._admit()

    def _abandon(self, call: _Call) -> None:
        if call.over.done() and not call.over.cancelled():
            return  # cancelled, but not before it was over
        if call in self._waiting:
            if self._withdraws:
                self._waiting.remove(call)
            return
        with self._lock:
            if call.abandoned or not (call.begun or self._withdraws):
                return
            call.abandoned = True
            self.abandoned += call.begun and not call.ended
        self._running -= 1
        self._admit()

    def _serve(self, first: list[_Call]) -> None:
        """Make one call after the other; what a thread does."""
        # Not the call itself: a thread refers to its arguments for as long as it lives.
        call: _Call | None = first.pop()
        while call is not None:
            with self._lock:
                call.begun = not call.abandoned
            if call.begun:
                with _claimed(call.loop):
                    call.make()
            with self._lock:
                call.ended = True
                self.abandoned -= call.begun and call.abandoned
                is_spare = self._idle >= self.size
                self._idle += not is_spare
            with contextlib.suppress(RuntimeError):  # the event loop has ended
                call.loop.call_soon_threadsafe(self._done, call)
            if is_spare:
                return
            call = None  # and with it the agent, and what it returned
            call = self._following()

    def _following(self) -> _Call | None:
        """Return the next call, or None if there was none for a while."""
        while True:
            with contextlib.suppress(Empty):
                return self._queue.get(timeout=MAX_IDLE)
            with self._lock:
                if self._idle:  # otherwise one is in the queue by now
                    self._idle -= 1
                    return None


class _Call:
    """A function to be called in a thread, and what came of it."""

    __slots__ = (
        "_context",
        "_function",
        "_result",
        "abandoned",
        "begun",
        "ended",
        "error",
        "loop",
        "over",
    )

    def __init__(self, function: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self._function = function
        self._context = copy_context()
        self._result: Any = None
        self.error: BaseException | None = None
        self.loop = loop
        self.over: asyncio.Future[None] = loop.create_future()
        self.begun = self.ended = self.abandoned = False

    def make(self) -> None:
        """Call the function."""
        try:
            self._result = self._context.run(self._function)
        except BaseException as error:  # whatever it is, it is for whoever waits
            self.error = error

    def outcome(self) -> Any:
        """Return what the function returned, or raise what it raised."""
        if self.error is None:
            return self._result
        try:
            raise self.error
        finally:
            self.error = None  # or it would refer to itself, by its traceback


def _claimed(loop: asyncio.AbstractEventLoop) -> contextlib.AbstractContextManager[Any]:
    """Let `anyio.from_thread.run` reach `loop`, as far as anyio is there and lets us."""
    if claim_worker_thread is None:
        return contextlib.nullcontext()
    return claim_worker_thread(get_async_backend("asyncio"), loop)
