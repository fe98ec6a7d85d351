"""`ParameterMapper`: between the channels' own request shapes and an agent's inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["ParameterMapper"]


class ParameterMapper:
    """Conversions that code written for Kaizen calls directly; our channels do not need them."""

    @staticmethod
    def from_api_request(request_data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inputs of an API request body."""
        return dict(request_data)

    @staticmethod
    def from_cli_args(cli_args: Mapping[str, str]) -> dict[str, Any]:
        """Return the inputs of command line options, by option name."""
        return dict(cli_args)

    @staticmethod
    def from_mcp_tool_call(tool_args: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inputs of an MCP tool call's arguments."""
        return dict(tool_args)

    @staticmethod
    def to_api_response(agent_result: Any) -> dict[str, Any]:
        """Return the API's success envelope around a result."""
        return {"status": "success", "result": agent_result}

    @staticmethod
    def to_cli_output(agent_result: Any) -> str:
        """Return a result as indented JSON text."""
        return json.dumps(agent_result, indent=2, default=str)

    @staticmethod
    def to_mcp_result(agent_result: Any) -> dict[str, Any]:
        """Return an MCP tool result whose only content is the result as text."""
        return {"content": [{"type": "text", "text": str(agent_result)}]}
