"""A clock that looks after all runs which wait: most are over before it ticks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

__all__ = ["Clock", "Watched"]


class Watched(Protocol):
    """What the clock looks after."""

    def look(self, interval: float) -> None:
        """See what there is to do; called about every `interval` seconds."""


T = TypeVar("T", bound=Watched)


class Clock(Generic[T]):
    """Looks after everything that was added, at regular intervals while there is anything.

    A timer for each run would be most of what a short one costs.

    Parameters
    ----------
    loop
        The running event loop.
    interval
        Seconds between two looks.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float) -> None:
        self._loop = loop
        self.interval = interval
        self._watched: set[T] = set()
        self.ticking = False

    def __iter__(self) -> Iterator[T]:
        """Iterate over a snapshot of what is looked after."""
        return iter(tuple(self._watched))

    def add(self, watched: T) -> None:
        """Look after `watched` from now on."""
        self._watched.add(watched)
        if not self.ticking:
            self._tick_later()

    def discard(self, watched: T) -> None:
        """Look after `watched` no longer."""
        self._watched.discard(watched)

    def _tick_later(self) -> None:
        self.ticking = bool(self._watched)
        if self.ticking:
            self._loop.call_later(self.interval, self._tick)

    def _tick(self) -> None:
        for watched in self:
            watched.look(self.interval)
        self._tick_later()
