"""Turns: who works on the same thing does so one after the other, in the order of arrival."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque

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
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    def __len__(self) -> int:
        """Return how many keys somebody works on."""
        return len(self._queues)

    def take(self, key: str) -> _Turn:
        """Wait until it is one's turn to work on `key`, and have it until the block ends.

        For ``async with``, whose beginning raises `OverloadedError` if `max_waiting` others wait
        already.
        """
        return _Turn(self, key)

    def _enter(self, key: str) -> asyncio.Future[None] | None:
        """Return what to wait for, or None if it is one's turn at once."""
        loop = asyncio.get_running_loop()
        with self._lock:
            queue = self._queues.get(key)
            if queue is None:
                self._queues[key] = deque()
                return None
            if len(queue) >= self.max_waiting:
                raise OverloadedError(f"{self.max_waiting} requests wait for this session")
            turn = loop.create_future()
            queue.append(turn)
            return turn

    def _leave(self, key: str) -> None:
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

    def _give_up(self, key: str, turn: asyncio.Future[None]) -> None:
        with self._lock:
            queue = self._queues[key]
            waiting = turn in queue
            if waiting:
                queue.remove(turn)
        if not waiting:  # the turn had been handed over when its owner was cancelled
            self._leave(key)


class _Turn:
    """What `Turns.take` returns: a class, since a generator would cost several times as much."""

    __slots__ = ("_key", "_turns")

    def __init__(self, turns: Turns, key: str) -> None:
        self._turns = turns
        self._key = key

    async def __aenter__(self) -> None:
        turn = self._turns._enter(self._key)
        if turn is not None:
            try:
                await turn
            except asyncio.CancelledError:
                self._turns._give_up(self._key, turn)
                raise

    async def __aexit__(self, *error: object) -> None:
        self._turns._leave(self._key)


def _grant(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
