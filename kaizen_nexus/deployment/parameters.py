"""`ParameterMapper`: from the requests of each channel to an agent's inputs, and back."""

from __future__ import annotations

import json
from typing import Any, TypeVar

__all__ = ["ParameterMapper"]

Parameters = TypeVar("Parameters")


class ParameterMapper:
    """Conversions for code written for Kaizen; our channels do not use them."""

    @staticmethod
    def from_api_request(request_data: Parameters) -> Parameters:
        """Return the inputs of an API request body: the body itself, not a copy."""
        return request_data

    @staticmethod
    def from_cli_args(cli_args: Parameters) -> Parameters:
        """Return the inputs of command line options, by option name: the options themselves."""
        return cli_args

    @staticmethod
    def from_mcp_tool_call(tool_args: Parameters) -> Parameters:
        """Return the inputs of an MCP tool call: its arguments themselves."""
        return tool_args

    @staticmethod
    def to_api_response(agent_result: Any) -> dict[str, Any]:
        """Return the API's success envelope around a result."""
        return {"status": "success", "result": agent_result}

    @staticmethod
    def to_cli_output(agent_result: Any) -> str:
        """Return a result as indented JSON text.

        Raises
        ------
        TypeError
            The result has no JSON form.
        """
        return json.dumps(agent_result, indent=2)

    @staticmethod
    def to_mcp_result(agent_result: Any) -> dict[str, Any]:
        """Return an MCP tool result whose only content is the result as text."""
        return {"content": [{"type": "text", "text": str(agent_result)}]}
