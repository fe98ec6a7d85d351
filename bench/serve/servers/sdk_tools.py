"""The official SDK's own low-level server with trivial tools, over HTTP or standard input.

The variables BENCH_AGENTS and BENCH_SCHEMA_HOOK say how many tools there are, and whether the
server is told how to find the schema of one of them.
"""

from __future__ import annotations

import os
from typing import Any

import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "query": {"type": "string"},
        "times": {"type": "integer", "default": 1},
        "style": {"enum": ["short", "long"], "default": "short"},
    },
    "required": ["query"],
}
TOOLS = [
    Tool(name=f"answer_{number}", description="Answer at once.", input_schema=SCHEMA)
    for number in range(int(os.environ.get("BENCH_AGENTS", "1")))
]


def schema_of(_: str) -> dict[str, Any]:
    """Return the schema of any of the tools."""
    return SCHEMA


async def list_tools(_: Any, __: PaginatedRequestParams | None) -> ListToolsResult:
    """List them all."""
    return ListToolsResult(tools=TOOLS)


async def call_tool(_: Any, params: CallToolRequestParams) -> CallToolResult:
    """Answer at once."""
    arguments = params.arguments or {}
    answer = f"{arguments['query']} ({arguments.get('style', 'short')})"
    return CallToolResult(
        content=[TextContent(type="text", text=answer)],
        structured_content={"answer": answer, "times": arguments.get("times", 1)},
    )


server: Server[Any] = Server(
    "bench",
    version="1",
    on_list_tools=list_tools,
    on_call_tool=call_tool,
    get_tool_input_schema=schema_of if os.environ.get("BENCH_SCHEMA_HOOK") else None,
)
app = server.streamable_http_app(json_response=True, stateless_http=True)


async def over_stdio() -> None:
    """Serve one client over standard input and output."""
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


if __name__ == "__main__":
    anyio.run(over_stdio)
