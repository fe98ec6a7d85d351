"""Answers the most frequent requests ahead of the router."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaizen_nexus.channels.api.execute import executed_at

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from kaizen_nexus.channels.api.execute import Execution
    from kaizen_nexus.channels.mcp.http import McpEndpoint

__all__ = ["MCP_PATH", "DirectRoute"]

MCP_PATH = "/mcp"


class DirectRoute:
    """ASGI middleware that answers requests to run a workflow, and passes on all others.

    Parameters
    ----------
    app
        The router. It has routes for the same requests, for apps that are mounted in others.
    execution
        What answers ``POST /api/workflows/{name}/execute``.
    mcp
        What answers ``POST /mcp``.
    """

    def __init__(self, app: ASGIApp, execution: Execution, mcp: McpEndpoint) -> None:
        self._app = app
        self._execution = execution
        self._mcp = mcp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] == "http" and scope["method"] == "POST":
            path: str = scope["path"]
            name = executed_at(path)
            if name is not None:
                await self._execution.answer(name, scope, receive, send)
                return
            if path == MCP_PATH:
                await self._mcp(scope, receive, send)
                return
        await self._app(scope, receive, send)
