"""MCP as a client sees it: what the answer to a call of a tool means."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from kaizen_nexus.channels.cli.response import UnreachableError
from kaizen_nexus.testing.answers import (
    MISSING,
    NO_ANSWER,
    UNEXPECTED,
    Answer,
    identical,
    problem_in,
)
from kaizen_nexus.testing.mcp_client import McpClient, McpError

__all__ = ["McpProbe", "session_argument"]

UNKNOWN_TOOL = -32602
_INVALID = "Invalid arguments:"
_POINTER = re.compile(r"^- /([^/:\s]*)\S*: ", re.MULTILINE)


def session_argument(schema: Mapping[str, Any]) -> str:
    """Return the argument that names the session, beside inputs with this schema."""
    name = "session_id"
    while name in schema.get("properties", {}):
        name = f"nexus_{name}"
    return name


class McpProbe:
    """Runs workflows as tools.

    Parameters
    ----------
    name
        What the report calls this channel.
    client
        A connection.
    schemas
        The published schema of each workflow's inputs.
    apart
        Whether the server is a process of its own, with sessions and records of its own.
    """

    operation = "mcp"

    def __init__(
        self,
        name: str,
        client: McpClient,
        schemas: Mapping[str, Mapping[str, Any]],
        *,
        apart: bool,
    ) -> None:
        self.name = name
        self.apart = apart
        self.client = client
        self._schemas = schemas

    def call(self, workflow: str, inputs: dict[str, Any], session: str | None) -> Answer:
        """Return what comes of running `workflow`."""
        argument = session_argument(self._schemas.get(workflow, {}))
        arguments = inputs if session is None else {**inputs, argument: session}
        try:
            return _answer(workflow, self.client.call(workflow, arguments))
        except UnreachableError as error:
            return Answer.failed(NO_ANSWER, str(error))
        except McpError as error:
            unknown = error.code == UNKNOWN_TOOL and error.message == f"Unknown tool: {workflow}"
            return Answer.failed("workflow-not-found" if unknown else UNEXPECTED, str(error))


def _answer(workflow: str, result: Mapping[str, Any]) -> Answer:
    content = result.get("content") or [{}]
    text = str(content[0].get("text", ""))
    if result.get("isError"):
        return _problem(workflow, text)
    structured = result.get("structuredContent")
    if not isinstance(structured, dict) or "result" not in structured:
        return Answer.failed(UNEXPECTED, f"an answer without a result: {text}")
    if not identical(_value_of(text), structured):
        return Answer.failed(UNEXPECTED, f"the text is not what the structured content is: {text}")
    return Answer(structured["result"], structured.get("session_id"))


def _problem(workflow: str, text: str) -> Answer:
    if text.startswith(_INVALID):
        names = (name.replace("~1", "/").replace("~0", "~") for name in _POINTER.findall(text))
        return Answer.failed("invalid-inputs", text, frozenset(filter(None, names)))
    message = text.partition("\n")[0].removesuffix(".")
    slug = problem_in(message, workflow)
    return Answer.failed(slug or UNEXPECTED, message if slug else text)


def _value_of(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return MISSING
