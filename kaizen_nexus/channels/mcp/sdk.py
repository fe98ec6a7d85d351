"""All that the channel uses of the MCP SDK's server side, in one place.

Importing it takes half a second or more, so it is imported when a server is about to run and never
by a module that merely mentions MCP.
"""

from __future__ import annotations

from kaizen_nexus._extras import missing_extra

try:
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel import Server
    from mcp.server.stdio import stdio_server
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
    from mcp.server.transport_security import TransportSecuritySettings
    from mcp.shared.exceptions import MCPError
    from mcp.types import (
        INTERNAL_ERROR,
        INVALID_PARAMS,
        CallToolRequestParams,
        CallToolResult,
        ListToolsResult,
        PaginatedRequestParams,
        TextContent,
        Tool,
    )
except ModuleNotFoundError as error:
    missing_extra("the MCP channel", "serve", error)

__all__ = [
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "CallToolRequestParams",
    "CallToolResult",
    "InMemorySubscriptionBus",
    "ListToolsResult",
    "ListenHandler",
    "MCPError",
    "PaginatedRequestParams",
    "Server",
    "ServerRequestContext",
    "StreamableHTTPSessionManager",
    "TextContent",
    "Tool",
    "ToolsListChanged",
    "TransportSecuritySettings",
    "stdio_server",
]
