"""Workflows as tools: what is published of them, and how an answer or a refusal reads.

A model reads the answers. Each one names the session, because the protocol carries no state
between calls, and a refusal says what to change.
"""

from __future__ import annotations

import base64
import binascii
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from kaizen_nexus._errors import NexusError, SessionTableFullError
from kaizen_nexus.agents.errors import InputError, InvalidInputsError
from kaizen_nexus.channels.mcp.headers import Mirror, mirrors_of
from kaizen_nexus.runtime.errors import (
    AgentFailedError,
    OverloadedError,
    QuarantinedError,
    ResultTooLargeError,
    SessionNotFoundError,
)
from kaizen_nexus.runtime.invocation import NEW_SESSION

if TYPE_CHECKING:
    from kaizen_nexus.agents.workflow import Workflow
    from kaizen_nexus.channels.mcp.messages import Json
    from kaizen_nexus.runtime.deployed import Deployment
    from kaizen_nexus.runtime.invocation import Result
    from kaizen_nexus.runtime.registry import Registry

__all__ = ["CHANNEL", "PublishedTool", "ToolCatalogue", "ToolResult", "answer", "refusal"]

CHANNEL = "mcp"
PAGE_SIZE = 1_000

_SESSION_ARGUMENT = "session_id"
_SESSION_SCHEMA = {
    "type": "string",
    "description": (
        "Optional. An id from an earlier answer continues that conversation; "
        f'"{NEW_SESSION}" starts one.'
    ),
}
_REMEDIES: dict[type[NexusError], str] = {
    InvalidInputsError: "Correct these arguments according to the tool's input schema.",
    SessionNotFoundError: (
        f'Call again with {{argument}} "{NEW_SESSION}" to start a session, or without {{argument}}.'
    ),
    SessionTableFullError: "Call again without {argument}, or later.",
    OverloadedError: f"Call again after {OverloadedError.retry_after} second(s).",
    QuarantinedError: "Other tools are not affected.",
    ResultTooLargeError: "Call again with arguments that ask for less.",
    AgentFailedError: "The arguments were accepted, so the same call may succeed later.",
}


@dataclass(frozen=True)
class PublishedTool:
    """One deployment as the protocol shows it."""

    tool: Json
    session_argument: str
    """The argument that names the session; the agent's own inputs take precedence."""
    mirrors: tuple[Mirror, ...]
    """The arguments that headers repeat."""


class ToolCatalogue:
    """The tools of a registry, in the form in which they are listed.

    What is published of a deployment is computed once and forgotten with the deployment. To be
    used from one thread at a time.

    Parameters
    ----------
    registry
        What is deployed.
    page_size
        How many tools one page of the list has at most.
    """

    def __init__(self, registry: Registry, page_size: int = PAGE_SIZE) -> None:
        self._registry = registry
        self._page_size = page_size
        self._published: weakref.WeakKeyDictionary[Deployment, PublishedTool] = (
            weakref.WeakKeyDictionary()
        )

    def publish(self, deployment: Deployment) -> PublishedTool:
        """Return the tool that a deployment is."""
        published = self._published.get(deployment)
        if published is None:
            published = self._published[deployment] = _describe(deployment.workflow)
        return published

    def page(
        self, cursor: str | None, shown: Callable[[str], bool] = lambda _: True
    ) -> tuple[list[Json], str | None]:
        """Return the tools shown that follow `cursor`, and the next page's cursor if there is one.

        The order is that of the names: it is the same in every process, and stays the same while
        tools come and go between two pages.

        Raises
        ------
        ValueError
            The cursor is not one that this method returned.
        """
        deployments = self._registry.on_channel(CHANNEL)
        names = sorted(filter(shown, deployments))
        if cursor is not None:
            after = _decode_cursor(cursor)
            names = [name for name in names if name > after]
        page = names[: self._page_size]
        following = _encode_cursor(page[-1]) if len(names) > len(page) else None
        return [self.publish(deployments[name]).tool for name in page], following


class _Text(msgspec.Struct):
    text: str
    type: str = "text"


class _Envelope(msgspec.Struct):
    result: msgspec.Raw
    session_id: str | None
    duration_ms: float


class ToolResult(msgspec.Struct, rename="camel", omit_defaults=True):
    """What a call of a tool is answered with."""

    content: list[_Text]
    structured_content: msgspec.Raw | msgspec.UnsetType
    is_error: bool
    result_type: str | None = None
    meta: Json | None = msgspec.field(default=None, name="_meta")


def answer(result: Result) -> ToolResult:
    """Return a result in its envelope, structured and, for clients that show text, as JSON text."""
    envelope = msgspec.json.encode(
        _Envelope(msgspec.Raw(result.body), result.session_id, result.duration_ns / 1e6)
    )
    return ToolResult([_Text(envelope.decode())], msgspec.Raw(envelope), False)


def refusal(error: NexusError, session_argument: str) -> ToolResult:
    """Return what a model needs to know to do better next time."""
    if isinstance(error, InvalidInputsError):
        lines = [f"- {_pointer(e)}: {e.message}" for e in error.errors]
        problem = "\n".join(["Invalid arguments:", *lines])
    else:
        problem = f"{error}."
    remedy = next((_REMEDIES[cls] for cls in type(error).__mro__ if cls in _REMEDIES), "")
    text = f"{problem}\n{remedy.format(argument=session_argument)}".rstrip()
    return ToolResult([_Text(text)], msgspec.UNSET, True)


def _describe(workflow: Workflow) -> PublishedTool:
    inputs = workflow.input_schema
    argument = _SESSION_ARGUMENT
    while argument in inputs["properties"]:
        argument = f"nexus_{argument}"
    tool = {
        "name": workflow.name,
        **({"description": workflow.description} if workflow.description else {}),
        "inputSchema": {
            **inputs,
            "properties": {**inputs["properties"], argument: _SESSION_SCHEMA},
        },
        "outputSchema": _envelope_schema(workflow.output_schema),
    }
    return PublishedTool(tool, argument, mirrors_of(inputs))


def _envelope_schema(output: dict[str, Any]) -> dict[str, Any]:
    result = {key: value for key, value in output.items() if key != "$defs"}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "result": result,
            "session_id": {
                "type": ["string", "null"],
                "description": "Pass it on in the next call to continue this conversation.",
            },
            "duration_ms": {"type": "number"},
        },
        "required": ["result", "session_id", "duration_ms"],
    }
    if "$defs" in output:
        # References are absolute, so the definitions they mean belong at the root.
        schema["$defs"] = output["$defs"]
    return schema


def _pointer(error: InputError) -> str:
    return error.pointer or "(all arguments)"


def _encode_cursor(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _decode_cursor(cursor: str) -> str:
    try:
        return base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise ValueError("the cursor is not from this list") from None
