"""Turns: what concerns one session runs one after the other, in the order of arrival."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

from kaizen_nexus.runtime.errors import OverloadedError

__all__ = ["Turns"]

DEFAULT_MAX_WAITING = 64


class Turns:
    """A queue for each key that somebody works on, all on one event loop.

    Parameters
    ----------
    max_waiting
        How many may wait for the same key; further ones are refused.
    """

    def __init__(self, max_waiting: int = DEFAULT_MAX_WAITING) -> None:
        self.max_waiting = max_waiting
        self.queues: dict[str, deque[asyncio.Future[None]] | None] = {}
        """Who waits, for each key that somebody works on; None for nobody, as is usual."""

    def __len__(self) -> int:
        """Return how many keys somebody works on."""
        return len(self.queues)

    @contextlib.asynccontextmanager
    async def take(self, key: str) -> AsyncIterator[None]:
        """Wait until it is one's turn to work on `key`, and have it until the block ends.

        Raises
        ------
        OverloadedError
            `max_waiting` others wait already.
        """
        turn = self.enter(key)
        try:
            if turn is not None:
                await turn
            yield
        finally:
            self.leave(key, turn)

    def enter(self, key: str) -> asyncio.Future[None] | None:
        """Return what to wait for, or None if it is one's turn at once; `leave` ends either.

        Raises
        ------
        OverloadedError
            `max_waiting` others wait already.
        """
        if key not in self.queues:
            self.queues[key] = None
            return None
        queue = self.queues[key]
        if queue is None:
            queue = self.queues[key] = deque()
        if len(queue) >= self.max_waiting:
            raise OverloadedError(f"{self.max_waiting} requests wait for this session")
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        return turn

    def leave(self, key: str, turn: asyncio.Future[None] | None = None) -> None:
        """Stop waiting for `turn`, or hand one's turn to the next one."""
        queue = self.queues[key]
        if queue and turn is not None and turn in queue:
            queue.remove(turn)
        elif queue:
            _grant(queue.popleft())
        else:
            del self.queues[key]


def _grant(turn: asyncio.Future[None]) -> None:
    # One that was cancelled is about to leave, and hands the turn on then.
    if not turn.done():
        turn.set_result(None)
