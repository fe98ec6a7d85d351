"""Plain calls that are running for a client at the other end of a pipe."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from kaizen_nexus.access.callers import LOCAL
from kaizen_nexus.channels.mcp.sdk.surface import correlated

if TYPE_CHECKING:
    from kaizen_nexus.channels.mcp.lines import LineWriter
    from kaizen_nexus.channels.mcp.plain import Call, PlainCalls
    from kaizen_nexus.channels.mcp.sdk.surface import Json

__all__ = ["RunningCalls"]

logger = logging.getLogger("kaizen_nexus.mcp")


class RunningCalls:
    """Answers calls, each in a task of its own; on one event loop.

    Parameters
    ----------
    writer
        Where the answers go.
    """

    def __init__(self, writer: LineWriter) -> None:
        self.farewell: Json | None = None
        """The error that answers what is still running in the end; None if nothing does."""
        self._writer = writer
        self._tasks: dict[asyncio.Task[None], bool] = {}
        """All there are, and whether somebody waits for the answer."""
        self._by_id: dict[int | str, asyncio.Task[None]] = {}

    def start(self, calls: PlainCalls, call: Call) -> None:
        """Begin to answer a call."""
        key = correlated(call.id)
        task = asyncio.create_task(self._answer(calls, call))
        self._tasks[task] = True
        # As the SDK has it: of two with the same id the later one is what can be cancelled.
        self._by_id[key] = task
        task.add_done_callback(partial(self._forget, key))

    def cancel(self, request_id: int | str) -> None:
        """Cancel a call, which is not answered then, if there is such a call."""
        task = self._by_id.get(correlated(request_id))
        if task is not None:
            self._tasks[task] = False
            task.cancel()

    async def finished(self) -> None:
        """Wait for all that are running now."""
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    async def stop(self) -> None:
        """Cancel all; the runtime lets go of agents that resist."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, calls: PlainCalls, call: Call) -> None:
        try:
            reply, _ = await calls.answer(call, LOCAL)
        except asyncio.CancelledError:
            if self.farewell is not None:
                error = {"jsonrpc": "2.0", "id": call.id, "error": self.farewell}
                self._write(msgspec.json.encode(error))
            raise
        self._write(reply)

    def _write(self, reply: bytes) -> None:
        """Write the answer of the current task, unless the client has cancelled it."""
        task = asyncio.current_task()
        if task is not None and self._tasks.get(task, False):
            self._writer.write(reply + b"\n")

    def _forget(self, key: int | str, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if self._by_id.get(key) is task:
            del self._by_id[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("answering a call failed", exc_info=error)
