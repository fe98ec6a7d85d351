"""Telling clients that the list of tools is another one now."""

from __future__ import annotations

import asyncio
import contextlib

from kaizen_nexus.channels.mcp.sdk import SDK

__all__ = ["ToolChanges"]

MAX_SUBSCRIPTIONS = 1_024


class ToolChanges:
    """Carries notice of a change from any thread to the clients of one event loop.

    A notice says that something changed, not what, so any number of changes that happen before
    it is delivered are one notice. A client that loses a notice with its connection lists the
    tools again when it comes back, so none is kept for it.

    Parameters
    ----------
    max_subscriptions
        How many clients may listen at a time; further ones are refused.
    """

    def __init__(self, max_subscriptions: int = MAX_SUBSCRIPTIONS) -> None:
        self.subscriptions = SDK.subscriptions(max_subscriptions)
        """Who is told."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._pending = False

    def notify(self) -> None:
        """Say that the tools changed; from any thread, whether or not anybody listens."""
        loop = self._loop
        if loop is None or self._pending:
            return
        self._pending = True
        # The loop may have ended since: then its subscriptions have ended with it.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._wake.set)

    async def deliver(self) -> None:
        """Publish notices on this event loop until cancelled."""
        # An event belongs to the loop that waits for it first, and each run may be on another.
        self._wake = asyncio.Event()
        self._pending = False
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                # Before publishing: a change from here on may be missing in what clients then list.
                self._pending = False
                await self.subscriptions.publish()
        finally:
            self._loop = None

    def end_subscriptions(self) -> None:
        """Close all open subscriptions with the protocol's farewell; on the event loop only."""
        self.subscriptions.close()
