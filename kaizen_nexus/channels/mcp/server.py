"""The SDK's server, with a runtime behind its tools."""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from kaizen_nexus._errors import NexusError
from kaizen_nexus.access.errors import ForbiddenError, UnauthenticatedError
from kaizen_nexus.agents.errors import InputError, InvalidInputsError
from kaizen_nexus.channels.mcp.progress import Emit, reporter
from kaizen_nexus.channels.mcp.sdk import SDK
from kaizen_nexus.channels.mcp.sdk.surface import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    Identity,
    Json,
    Progress,
    ProtocolError,
    Server,
)
from kaizen_nexus.channels.mcp.tools import (
    CHANNEL,
    PAGE_SIZE,
    ToolCatalogue,
    answer,
    check_json,
    refusal,
)
from kaizen_nexus.runtime.errors import WorkflowNotFoundError
from kaizen_nexus.runtime.invocation import Invocation

if TYPE_CHECKING:
    from kaizen_nexus.access.callers import Caller
    from kaizen_nexus.channels.mcp.changes import ToolChanges
    from kaizen_nexus.runtime.service import Runtime

__all__ = ["SERVER_NAME", "CallerGone", "Methods", "build_server"]

SERVER_NAME = "kaizen-nexus"
SHOWN_NAME = 128
"""How much of an unknown tool's name is repeated in the error."""

MIRRORED = 8 * 1024
"""Characters of a text that a header can repeat."""
_HELD = "kaizen_nexus/held"

CallerGone: TypeAlias = Callable[[], Awaitable[object]]

logger = logging.getLogger("kaizen_nexus.mcp")

_INSTRUCTIONS = (
    "Each tool runs one agent. To hold a conversation, pass the session_id of an answer to the "
    'next call, of the same tool or another; "new" starts a conversation.'
)


def build_server(
    runtime: Runtime,
    changes: ToolChanges,
    *,
    name: str = SERVER_NAME,
    methods: Methods | None = None,
) -> Server:
    """Return a server whose tools are the workflows deployed on the MCP channel.

    What is deployed later is served too. The server keeps no state between requests, and may
    serve one connection after another, and HTTP besides, but on one event loop at a time.

    Parameters
    ----------
    runtime
        What runs the workflows.
    changes
        Who is told of changed tools.
    name
        How the server introduces itself.
    methods
        What it does for its clients, if that is needed elsewhere, too.
    """
    from kaizen_nexus import __version__

    identity = Identity(name, __version__, _INSTRUCTIONS)
    return SDK.server(identity, methods or Methods(runtime), changes.subscriptions)


class Methods:
    """The methods of the protocol that concern tools.

    Parameters
    ----------
    runtime
        What runs the workflows.
    page_size
        How many tools one page of ``tools/list`` has at most.
    """

    def __init__(self, runtime: Runtime, page_size: int = PAGE_SIZE) -> None:
        self._runtime = runtime
        self._catalogue = ToolCatalogue(runtime.registry, page_size)
        self._held: dict[str, Json] = {}

    @contextlib.contextmanager
    def hold(self, name: object, arguments: Json, caller: Caller) -> Iterator[Json]:
        """Keep what the SDK would copy, and give it something short until the block ends.

        Parameters
        ----------
        name
            Which tool the arguments are for.
        arguments
            They come from text that a strict parser has read.
        caller
            Who calls it.
        """
        token = secrets.token_urlsafe()
        repeats = isinstance(name, str) and not self.is_plain(name, caller)
        self._held[token] = arguments
        try:
            yield {**(_repeatable(arguments) if repeats else {}), _HELD: token}
        finally:
            self._held.pop(token, None)

    def input_schema(self, name: str) -> Mapping[str, Any] | None:
        """Return a tool's input schema without listing all tools, as the SDK otherwise does."""
        try:
            schema: Json = self._catalogue.find(name).tool["inputSchema"]
        except WorkflowNotFoundError:
            return None
        return schema

    async def list_tools(self, cursor: str | None, caller: Caller) -> Json:
        """Answer ``tools/list``."""
        try:
            access = self._runtime.access
            tools, following = self._catalogue.page(cursor, partial(access.allows, caller))
        except ValueError as error:
            raise ProtocolError(INVALID_PARAMS, f"Invalid cursor: {error}") from None
        return {"tools": tools, **({"nextCursor": following} if following else {})}

    def is_streaming(self, name: str) -> bool:
        """Whether there is such a tool, and it makes its result piece by piece."""
        deployment = self._runtime.registry.channels_of(name).get(CHANNEL)
        return deployment is not None and deployment.workflow.is_streaming

    async def call_tool(
        self, name: str, arguments: Json, caller: Caller, progress: Progress | None = None
    ) -> Json:
        """Answer ``tools/call``.

        What a model can mend, or should know, is a result; what only a programmer can mend is a
        protocol error.
        """
        emit = None if progress is None else reporter(progress)
        token = arguments.get(_HELD)
        held = self._held.pop(token, None) if isinstance(token, str) else None
        if held is not None:
            return await self._call(name, held, caller, checked=True, emit=emit)
        return await self._call(name, arguments, caller, emit=emit)

    async def call_plain(
        self, name: str, arguments: Json, caller: Caller, caller_gone: CallerGone | None = None
    ) -> Json:
        """Answer the same with JSON text as the structured content.

        The arguments come from text that a strict parser has read. `caller_gone` returns when
        nobody waits for the answer any more, where nothing cancels the call then.
        """
        return await self._call(
            name, arguments, caller, checked=True, plain=True, caller_gone=caller_gone
        )

    def is_plain(self, name: str, caller: Caller) -> bool:
        """Whether the caller may call it, and none of its arguments is repeated in a header."""
        if not self._runtime.access.allows(caller, name):
            return False  # as if there were none: the answers are the same to the byte
        try:
            return self._catalogue.find(name).is_plain
        except WorkflowNotFoundError:
            return False

    async def _call(
        self,
        name: str,
        arguments: Json,
        caller: Caller,
        *,
        checked: bool = False,
        plain: bool = False,
        emit: Emit | None = None,
        caller_gone: CallerGone | None = None,
    ) -> Json:
        try:
            deployment = self._runtime.find(caller, name, CHANNEL)
            argument = self._catalogue.find(name).session_argument
            ask = partial(
                Invocation,
                deployment=deployment,
                channel=CHANNEL,
                caller=caller,
                emit=emit,
                caller_gone=caller_gone,
            )
            return await self._execute(ask, arguments, argument, checked=checked, plain=plain)
        except (ForbiddenError, UnauthenticatedError) as error:
            return refusal(error, "")
        except WorkflowNotFoundError:
            raise ProtocolError(INVALID_PARAMS, f"Unknown tool: {name[:SHOWN_NAME]}") from None
        except Exception:
            # The SDK would show a handshake client the exception's own text.
            logger.exception("calling the tool %r failed", name)
            raise ProtocolError(INTERNAL_ERROR, "The server failed; its log says why") from None

    async def _execute(
        self,
        ask: Callable[..., Invocation],
        arguments: Json,
        session_argument: str,
        *,
        checked: bool,
        plain: bool,
    ) -> Json:
        session_id = arguments.pop(session_argument, None)
        try:
            if not checked:
                check_json(arguments)
            if session_id is not None and not isinstance(session_id, str):
                wrong = InputError(f"/{session_argument}", "Expected `str`")
                raise InvalidInputsError((wrong,))
            invocation = ask(inputs=arguments, session_id=session_id)
            return answer(await self._runtime.execute(invocation), decoded=not plain)
        except WorkflowNotFoundError:
            raise
        except NexusError as error:
            return refusal(error, session_argument)


def _repeatable(arguments: Json) -> Json:
    """Return the arguments that headers can repeat, at whatever depth, and no others."""
    shown: Json = {}
    pending = [(arguments, shown)]
    while pending:
        source, target = pending.pop()
        for name, value in source.items():
            if isinstance(value, dict):
                target[name] = {}
                pending.append((value, target[name]))
            elif isinstance(value, str):
                if len(value) <= MIRRORED:
                    target[name] = value
            elif not isinstance(value, list):
                target[name] = value
    return shown
