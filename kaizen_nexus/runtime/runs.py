"""One run of an agent in a task of its own, and a clock that all short runs share."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar, cast

from kaizen_nexus.runtime.errors import AgentExitError

__all__ = ["Run", "Watches", "wake"]

T = TypeVar("T")


class Run(Generic[T]):
    """What became of one piece of work, for somebody who may stop waiting for it.

    Parameters
    ----------
    waiter
        What is woken when the work has ended.
    """

    __slots__ = ("_error", "_result", "ended", "waiter")

    def __init__(self, waiter: asyncio.Future[None]) -> None:
        self.waiter = waiter
        self.ended = False
        self._error: BaseException | None = None
        self._result: T | None = None

    async def drive(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        """Do the work: what a task of its own is made for."""
        try:
            self._result = await work()
        except asyncio.CancelledError:
            # Whoever cancels a task looks no further, so it was the agent itself.
            self._error = AgentExitError("the agent has cancelled itself")
        except BaseException as error:
            self._error = error
        self.ended = True
        wake(self.waiter)

    def outcome(self) -> T:
        """Return what the work returned, or raise what it raised."""
        if self._error is None:
            return cast("T", self._result)
        try:
            raise self._error
        finally:
            self._error = None  # or it would refer to itself, by its traceback


class Watches:
    """Wakes those who have waited for some time, by one timer for each event loop.

    Most waits are over long before, and a timer for each would be most of what they cost. Who waits
    joins the young ones; at each tick the old ones are woken, and the young ones grow old.

    Parameters
    ----------
    interval
        Seconds between two ticks: one waits for at least one of them and at most two.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = (
            weakref.WeakKeyDictionary()
        )

    async def first(self, waiter: asyncio.Future[None]) -> None:
        """Return when `waiter` is done, by itself or because it has waited for long."""
        loop = waiter.get_loop()
        watch = self._by_loop.get(loop)
        if watch is None:
            watch = self._by_loop[loop] = _Watch()
        if not watch.ticking:
            watch.ticking = True
            loop.call_later(self._interval, watch.tick, weakref.ref(loop), self._interval)
        watch.young.add(waiter)
        try:
            await waiter
        finally:
            watch.young.discard(waiter)
            watch.old.discard(waiter)


class _Watch:
    """Those who wait on one event loop."""

    def __init__(self) -> None:
        self.young: set[asyncio.Future[None]] = set()
        self.old: set[asyncio.Future[None]] = set()
        self.ticking = False

    def tick(self, loop: weakref.ref[asyncio.AbstractEventLoop], interval: float) -> None:
        for waiter in self.old:
            wake(waiter)
        self.young, self.old = set(), self.young
        running = loop()
        self.ticking = bool(self.old) and running is not None
        if self.ticking and running is not None:
            running.call_later(interval, self.tick, loop, interval)


def wake(waiter: asyncio.Future[None]) -> None:
    """Let whoever awaits `waiter` go on."""
    if not waiter.done():
        waiter.set_result(None)
