"""Turns: who works on the same thing does so one after the other, in the order of arrival."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable

from kaizen_nexus.runtime.errors import OverloadedError

__all__ = ["Turns"]

DEFAULT_MAX_WAITING = 64


class Turns:
    """A queue for each key that somebody works on, and for no other.

    Thread-safe: those who wait may be on different event loops.

    Parameters
    ----------
    max_waiting
        How many may wait for the same key; further ones are refused.
    """

    def __init__(self, max_waiting: int = DEFAULT_MAX_WAITING) -> None:
        self.max_waiting = max_waiting
        self._lock = threading.Lock()
        # None for a key for which nobody waits: most never have a queue.
        self._queues: dict[str, deque[asyncio.Future[None]] | None] = {}

    def __len__(self) -> int:
        """Return how many keys somebody works on."""
        return len(self._queues)

    @contextlib.asynccontextmanager
    async def take(self, key: str) -> AsyncIterator[None]:
        """Wait until it is one's turn to work on `key`, and have it until the block ends.

        Raises
        ------
        OverloadedError
            `max_waiting` others wait already.
        """
        waiting = self.enter(key)
        if waiting is not None:
            await waiting
        try:
            yield
        finally:
            self.leave(key)

    def enter(self, key: str) -> Awaitable[None] | None:
        """Return what to await, or None if it is one's turn at once; `leave` ends the turn.

        It is what `take` does, for those to whom that costs too much.

        Raises
        ------
        OverloadedError
            `max_waiting` others wait already.
        """
        with self._lock:
            queue = self._queues.get(key, _NOBODY)
            if queue is _NOBODY:
                self._queues[key] = None
                return None
            if queue is None:
                queue = self._queues[key] = deque()
            if len(queue) >= self.max_waiting:
                raise OverloadedError(f"{self.max_waiting} requests wait for this session")
            turn = asyncio.get_running_loop().create_future()
            queue.append(turn)
        return self._wait(key, turn)

    def leave(self, key: str) -> None:
        """Hand the turn to the next one, if there is one."""
        while True:
            with self._lock:
                queue = self._queues[key]
                if not queue:
                    del self._queues[key]
                    return
                turn = queue.popleft()
            with contextlib.suppress(RuntimeError):  # its event loop is closed, and it with that
                turn.get_loop().call_soon_threadsafe(_grant, turn)
                return

    async def _wait(self, key: str, turn: asyncio.Future[None]) -> None:
        try:
            await turn
        except asyncio.CancelledError:
            self._give_up(key, turn)
            raise

    def _give_up(self, key: str, turn: asyncio.Future[None]) -> None:
        with self._lock:
            queue = self._queues[key]
            waiting = queue is not None and turn in queue
            if waiting and queue is not None:
                queue.remove(turn)
        if not waiting:  # the turn had been handed over when its owner was cancelled
            self.leave(key)


_NOBODY: deque[asyncio.Future[None]] = deque()
"""Stands for the queue of a key that nobody works on."""


def _grant(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
