"""One run of an agent in a task of its own, and a clock that all short runs share."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from kaizen_nexus.runtime.errors import AgentExitError

__all__ = ["Run", "Watch", "Watches", "wake"]

T = TypeVar("T")


class Run(Generic[T]):
    """What became of one piece of work, for somebody who may stop waiting for it.

    Parameters
    ----------
    waiter
        What is woken when the work has ended.
    """

    __slots__ = ("_error", "_result", "ended", "waiter")

    _result: T

    def __init__(self, waiter: asyncio.Future[None]) -> None:
        self.waiter = waiter
        self.ended = False
        self._error: BaseException | None = None

    async def drive(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        """Do the work: what a task of its own is made for."""
        try:
            self._result = await work()
        except asyncio.CancelledError:
            # Whoever cancels a task looks no further, so it was the agent itself.
            self._error = AgentExitError("the agent has cancelled itself")
        except (SystemExit, KeyboardInterrupt) as error:
            # A task that ends so would end the event loop with it.
            self._error = AgentExitError(repr(error))
        except BaseException as error:
            self._error = error
        self.ended = True
        wake(self.waiter)

    def outcome(self) -> T:
        """Return what the work returned, or raise what it raised."""
        if self._error is None:
            return self._result
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
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Watch] = (
            weakref.WeakKeyDictionary()
        )
        self._latest: Watch | None = None

    def on(self, loop: asyncio.AbstractEventLoop) -> Watch:
        """Return the watch of an event loop, in which it is called."""
        latest = self._latest
        if latest is not None and latest.loop() is loop:
            return latest
        watch = self._by_loop.get(loop)
        if watch is None:
            watch = self._by_loop[loop] = Watch(weakref.ref(loop), self._interval)
        self._latest = watch
        return watch


class Watch:
    """Those who wait on one event loop; made by `Watches`."""

    def __init__(self, loop: weakref.ref[asyncio.AbstractEventLoop], interval: float) -> None:
        self.loop = loop
        self._interval = interval
        self.young: set[asyncio.Future[None]] = set()
        self.old: set[asyncio.Future[None]] = set()
        self.ticking = False

    def add(self, waiter: asyncio.Future[None]) -> None:
        """Wake `waiter` once it has waited for long, unless it leaves before."""
        self.young.add(waiter)
        if not self.ticking:
            self._tick_later()

    def discard(self, waiter: asyncio.Future[None]) -> None:
        """Let `waiter` leave, whether or not it was woken."""
        self.young.discard(waiter)
        self.old.discard(waiter)

    def _tick_later(self) -> None:
        loop = self.loop()
        self.ticking = loop is not None
        if loop is not None:
            loop.call_later(self._interval, self._tick)

    def _tick(self) -> None:
        for waiter in self.old:
            wake(waiter)
        self.young, self.old = set(), self.young
        self.ticking = False
        if self.old:
            self._tick_later()


def wake(waiter: asyncio.Future[None]) -> None:
    """Let whoever awaits `waiter` go on."""
    if not waiter.done():
        waiter.set_result(None)
