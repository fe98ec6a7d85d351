"""What the server does for a client: each method of the protocol, whatever the transport."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from kaizen_nexus import __version__
from kaizen_nexus._errors import NexusError
from kaizen_nexus.access.errors import ForbiddenError, UnauthenticatedError
from kaizen_nexus.agents.errors import InputError, InvalidInputsError
from kaizen_nexus.channels.mcp.messages import (
    HANDSHAKE,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    KEY,
    MODERN,
    CallParams,
    Era,
    InitializeParams,
    Json,
    ListParams,
    Message,
    ProtocolError,
    Reply,
    RequestId,
    error_reply,
    result_reply,
)
from kaizen_nexus.channels.mcp.tools import (
    CHANNEL,
    PAGE_SIZE,
    PublishedTool,
    ToolCatalogue,
    answer,
    refusal,
)
from kaizen_nexus.runtime.errors import WorkflowNotFoundError
from kaizen_nexus.runtime.invocation import Invocation

if TYPE_CHECKING:
    from kaizen_nexus.access.callers import Caller
    from kaizen_nexus.runtime.invocation import Result
    from kaizen_nexus.runtime.service import Runtime

__all__ = ["Call", "McpServer", "protocol_error"]

SHOWN_NAME = 128
"""How much of an unknown tool's name is repeated in the error."""
SERVER_INFO: Json = {"name": "kaizen-nexus", "version": __version__}
INSTRUCTIONS = (
    "Each tool runs one agent. To hold a conversation, pass the session_id of an answer to the "
    'next call, of the same tool or another; "new" starts a conversation.'
)
_STAMP: Json = {f"{KEY}serverInfo": SERVER_INFO}
_FRESHNESS: Json = {"ttlMs": 0, "cacheScope": "private"}
"""How long a list is good for: it may change at any moment, and other callers see another one."""

logger = logging.getLogger("kaizen_nexus.mcp")


class Call(NamedTuple):
    """A call of a tool that may be run: there is such a tool, and the caller may use it."""

    request_id: RequestId | None
    era: Era
    params: CallParams
    tool: PublishedTool
    invocation: Invocation
    """What to run; `with_client` adds what depends on the connection."""

    @property
    def is_streaming(self) -> bool:
        """Whether the tool makes its result piece by piece."""
        return self.invocation.deployment.workflow.is_streaming

    def with_client(
        self,
        gone: Callable[[], Awaitable[object]] | None = None,
        emit: Callable[[bytes], Awaitable[None]] | None = None,
    ) -> Invocation:
        """Return what to run for a client.

        Parameters
        ----------
        gone
            Returns when the client has hung up and wants no answer.
        emit
            Takes each piece of the result.
        """
        return msgspec.structs.replace(self.invocation, caller_gone=gone, emit=emit)


class McpServer:
    """The methods of both eras of the protocol; it keeps no state between requests.

    Parameters
    ----------
    runtime
        What runs the workflows.
    page_size
        How many tools one page of ``tools/list`` has at most.
    """

    def __init__(self, runtime: Runtime, page_size: int = PAGE_SIZE) -> None:
        self.runtime = runtime
        self._catalogue = ToolCatalogue(runtime.registry, page_size)

    def reply(
        self, era: Era, message: Message, params: Any, caller: Caller, *, pushes: bool
    ) -> Reply:
        """Answer a request other than ``tools/call`` and ``subscriptions/listen``.

        Parameters
        ----------
        era
            How the client speaks.
        message, params
            The request, and its parameters with their types.
        caller
            Who sent it.
        pushes
            Whether a client that began with a handshake is told when the tools change.

        Raises
        ------
        ProtocolError
            It is refused.
        """
        if isinstance(params, ListParams):
            result = self._list(params.cursor, caller) | (_FRESHNESS if era.is_enveloped else {})
        elif isinstance(params, InitializeParams):
            result = _hello(params.protocol_version, pushes)
        elif era.is_enveloped:
            result = _discovery()
        else:
            result = {}
        return result_reply(message.request_id, completed(era, result))

    def call(
        self, era: Era, request_id: RequestId | None, params: CallParams, caller: Caller
    ) -> Call | Reply:
        """Return what a ``tools/call`` asks for, or why it is refused.

        What a model can mend, or should know, is a result that says so.

        Raises
        ------
        ProtocolError
            There is no such tool, which only a programmer can mend.
        """
        argument = ""
        try:
            deployment = self.runtime.find(caller, params.name, CHANNEL)
            tool = self._catalogue.publish(deployment)
            argument = tool.session_argument
            inputs = params.arguments or {}
            invocation = Invocation(
                deployment=deployment,
                channel=CHANNEL,
                session_id=_session_id(inputs, argument),
                inputs=inputs,
                caller=caller,
            )
        except Exception as error:
            return _failure(request_id, era, params.name, argument, error)
        return Call(request_id, era, params, tool, invocation)

    def outcome(self, call: Call, outcome: Callable[[], Result]) -> Reply:
        """Return the answer to a call.

        Parameters
        ----------
        call
            What was run.
        outcome
            Returns the result, or raises why there is none.
        """
        try:
            result = answer(outcome())
        except Exception as error:
            name = call.params.name
            return _failure(call.request_id, call.era, name, call.tool.session_argument, error)
        return _result(call.request_id, call.era, result)

    def _list(self, cursor: str | None, caller: Caller) -> Json:
        try:
            shown = partial(self.runtime.access.allows, caller)
            tools, following = self._catalogue.page(cursor, shown)
        except ValueError as error:
            raise ProtocolError(INVALID_PARAMS, f"Invalid cursor: {error}") from None
        return {"tools": tools, **({"nextCursor": following} if following else {})}


def completed(era: Era, result: Json, meta: Json | None = None) -> Json:
    """Return a result with what all results of an era have."""
    if not era.is_enveloped:
        return result
    return {"resultType": "complete", "_meta": {**(meta or {}), **_STAMP}, **result}


def protocol_error(request_id: RequestId | None, error: Exception) -> Reply:
    """Return the error that answers a request; what it does not foresee is logged, not told."""
    if not isinstance(error, ProtocolError):
        logger.error("answering a request failed", exc_info=error)
        error = ProtocolError(INTERNAL_ERROR, "The server failed; its log says why")
    return error_reply(request_id, error)


def _session_id(inputs: Json, argument: str) -> str | None:
    """Take out of the arguments the one that names the session."""
    session_id = inputs.pop(argument, None)
    if session_id is not None and not isinstance(session_id, str):
        raise InvalidInputsError((InputError(f"/{argument}", "Expected `str`"),))
    return session_id


def _failure(
    request_id: RequestId | None, era: Era, name: str, argument: str, error: Exception
) -> Reply:
    if isinstance(error, WorkflowNotFoundError):
        unknown = ProtocolError(INVALID_PARAMS, f"Unknown tool: {name[:SHOWN_NAME]}")
        return error_reply(request_id, unknown)
    if isinstance(error, (NexusError, ForbiddenError, UnauthenticatedError)):
        return _result(request_id, era, refusal(error, argument))
    return protocol_error(request_id, error)


def _result(request_id: RequestId | None, era: Era, result: Any) -> Reply:
    if era.is_enveloped:
        result.result_type = "complete"
        result.meta = _STAMP
    return result_reply(request_id, result)


def _hello(requested: str, pushes: bool) -> Json:
    versions = HANDSHAKE.versions
    return {
        "protocolVersion": requested if requested in versions else versions[0],
        "capabilities": {"tools": {"listChanged": pushes}},
        "serverInfo": SERVER_INFO,
        "instructions": INSTRUCTIONS,
    }


def _discovery() -> Json:
    return {
        "supportedVersions": list(MODERN.versions),
        "capabilities": {"tools": {"listChanged": True}},
        "instructions": INSTRUCTIONS,
        **_FRESHNESS,
    }
