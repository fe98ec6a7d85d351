"""The end of an event loop, in bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["FAREWELL", "end_tasks"]

FAREWELL = 0.12
"""Seconds that each of these may take: cancelled requests, the app's lifespan, other tasks."""

logger = logging.getLogger("kaizen_nexus.server")


def end_tasks(loop: AbstractEventLoop) -> None:
    """Cancel the tasks that are left on the loop, and wait a moment for them to end.

    `asyncio.run` would wait without a bound, for the threads of its executor as well.
    """
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        _, resisting = loop.run_until_complete(asyncio.wait(tasks, timeout=FAREWELL))
        if resisting:
            logger.warning("%d tasks ignored their cancellation and were left", len(resisting))
    with contextlib.suppress(asyncio.TimeoutError):
        loop.run_until_complete(asyncio.wait_for(loop.shutdown_asyncgens(), FAREWELL))
