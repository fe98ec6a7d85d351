"""A clock that looks after all runs which wait: most are over before it ticks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kaizen_nexus.runtime.run import AgentRun

__all__ = ["Clock"]


class Clock:
    """Looks after the runs that wait, at regular intervals while there are any.

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
        self._runs: set[AgentRun] = set()
        self.ticking = False

    def __iter__(self) -> Iterator[AgentRun]:
        """Iterate over a snapshot of the runs."""
        return iter(tuple(self._runs))

    def add(self, run: AgentRun) -> None:
        """Look after `run` from now on."""
        self._runs.add(run)
        if not self.ticking:
            self._tick_later()

    def discard(self, run: AgentRun) -> None:
        """Look after `run` no longer."""
        self._runs.discard(run)

    def _tick_later(self) -> None:
        self.ticking = bool(self._runs)
        if self.ticking:
            self._loop.call_later(self.interval, self._tick)

    def _tick(self) -> None:
        try:
            for run in self:
                run.look(self.interval)
        finally:
            self._tick_later()
