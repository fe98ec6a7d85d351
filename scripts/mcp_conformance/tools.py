"""The tools that the scenarios of the official MCP conformance suite call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec

from kaizen_nexus import Nexus, deploy_as_mcp

app = Nexus()

Region = Annotated[str, msgspec.Meta(extra_json_schema={"x-mcp-header": "Region"})]
Priority = Annotated[int, msgspec.Meta(extra_json_schema={"x-mcp-header": "Priority"})]


def simple_text() -> str:
    """Return a text."""
    return "This is a simple text response for testing."


def failing() -> str:
    """Fail."""
    raise RuntimeError("this tool fails on purpose")


async def steps() -> AsyncIterator[str]:
    """Return three texts, one after the other."""
    for text in ("one", "two", "three"):
        yield text


def mirrored(region: Region = "", priority: Priority = 0) -> str:
    """Return arguments that headers repeat."""
    return f"{region} {priority}"


def change() -> bool:
    """Deploy a tool, or remove it."""
    if app.deregister("test_changing"):
        return False
    deploy_as_mcp(simple_text, app, "test_changing")
    return True


deploy_as_mcp(simple_text, app, "test_simple_text")
deploy_as_mcp(simple_text, app, "test_logging_tool")
deploy_as_mcp(failing, app, "test_error_handling")
deploy_as_mcp(steps, app, "test_tool_with_progress")
deploy_as_mcp(steps, app, "test_streaming_elicitation")
deploy_as_mcp(mirrored, app, "test_custom_headers")
deploy_as_mcp(change, app, "test_trigger_tool_change")
