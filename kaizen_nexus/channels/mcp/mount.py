"""An app's MCP channel: loads the SDK when the app starts, not when it is constructed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from anyio import to_thread

from kaizen_nexus.runtime.deployed import Channels
from kaizen_nexus.runtime.service import Runtime

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from kaizen_nexus.channels.mcp.changes import ToolChanges
    from kaizen_nexus.channels.mcp.http import McpEndpoint

__all__ = ["McpMount"]

CHANNEL = "mcp"


class McpMount:
    """The ``/mcp`` route, which becomes an `McpEndpoint` on first use, and the stdio transport.

    Importing the SDK takes far longer than anything else at start-up, and an app that is only
    constructed, as in a test or a build step, need not pay for it.

    Parameters
    ----------
    runtime
        What the tools run on.
    max_body
        How many bytes a request body, or a line of a client over stdio, may have.
    """

    def __init__(self, runtime: Runtime, max_body: int) -> None:
        self._runtime = runtime
        self._max_body = max_body
        self._endpoint: McpEndpoint | None = None
        self._stdio: ToolChanges | None = None
        runtime.registry.observe(self._deployed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        endpoint = await self._loaded()
        await endpoint(scope, receive, send)

    async def answer_plain(self, scope: Scope, receive: Receive, send: Send) -> Receive | None:
        """Answer a plain call; of any other request, return where to receive it from."""
        if self._endpoint is None:
            return receive
        return await self._endpoint.answer_plain(scope, receive, send)

    async def start(self) -> None:
        """Begin to serve; what an app mounted in another does with its first request."""
        endpoint = await self._loaded()
        await endpoint.start()

    async def stop(self) -> None:
        """End all open streams and sessions of the protocol."""
        if self._endpoint is not None:
            await self._endpoint.stop()

    def end_subscriptions(self) -> None:
        """Close the streams of subscribed clients, so that a server can finish its connections."""
        if self._endpoint is not None:
            self._endpoint.end_subscriptions()

    def _deployed(self, before: Channels, after: Channels) -> None:
        """Tell subscribed clients of a change, unless a client would not see any."""
        former, tool = before.get(CHANNEL), after.get(CHANNEL)
        if tool is not former and (
            tool is None or former is None or tool.workflow.plan is not former.workflow.plan
        ):
            self.notify_tools_changed()

    def notify_tools_changed(self) -> None:
        """Tell subscribed clients that the list of tools is another one now; from any thread."""
        if self._endpoint is not None:
            self._endpoint.notify_tools_changed()
        if self._stdio is not None:
            self._stdio.notify()

    def run_stdio(self, begin: Callable[[], None]) -> None:
        """Serve one client over standard input and output until it hangs up, or a signal.

        Parameters
        ----------
        begin
            Called when serving begins.
        """
        from kaizen_nexus.channels.mcp.changes import ToolChanges
        from kaizen_nexus.channels.mcp.stdio import run_stdio

        self._stdio = ToolChanges()
        run_stdio(self._runtime, self._stdio, begin, max_line=self._max_body)

    async def _loaded(self) -> McpEndpoint:
        if self._endpoint is None:
            # In a thread: requests to other channels do not wait for the import.
            module = await to_thread.run_sync(
                importlib.import_module, "kaizen_nexus.channels.mcp.http"
            )
            if self._endpoint is None:
                self._endpoint = module.McpEndpoint(self._runtime, max_body=self._max_body)
        return self._endpoint
