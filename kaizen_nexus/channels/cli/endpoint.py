"""``POST /cli/run``: runs a command line that the ``nexus run`` client forwards.

The server knows each workflow's schema, so it parses, validates and renders help. The client
only forwards its arguments and prints the answer: it starts quickly, and cannot disagree with the
server about what a command takes.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

import click
import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from kaizen_nexus.access.errors import ForbiddenError
from kaizen_nexus.channels.cli.command import HelpRequested, WorkflowCommand
from kaizen_nexus.channels.cli.outcome import (
    CHANNEL,
    EXPECTED,
    Outcome,
    candidates,
    failed,
    forbidden,
    misused,
    not_found,
    succeeded,
)
from kaizen_nexus.channels.cli.protocol import EXIT_OK
from kaizen_nexus.channels.cli.streaming import StreamedRuns
from kaizen_nexus.http.body import DEFAULT_MAX_BODY, read_json_object, until_disconnected
from kaizen_nexus.http.credentials import caller_of, recheck
from kaizen_nexus.http.streams import Streams
from kaizen_nexus.runtime.errors import WorkflowNotFoundError
from kaizen_nexus.runtime.invocation import Invocation

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from kaizen_nexus.access.callers import Caller
    from kaizen_nexus.agents.workflow import Workflow
    from kaizen_nexus.runtime.service import Runtime

__all__ = ["CliEndpoint"]


class _Call(msgspec.Struct):
    """The body of a request; members of newer clients that are not known here are ignored."""

    argv: list[str]
    """The workflow's name, then its arguments."""
    columns: int = 80
    """How wide the client's terminal is."""
    color: bool = False
    streams: bool = False
    """Whether the client prints a streamed answer while it reads it."""
    complete: str | None = None
    """What has been typed of the next argument: asks for completions instead of a run."""


class CliEndpoint:
    """An ASGI application that answers ``POST`` with an exit code, and what to print.

    A command line that fails is answered like one that succeeds, with status 200: only a request
    that does not follow the protocol is an HTTP error. Such errors are raised, for the app's
    exception handlers to answer.

    Parameters
    ----------
    runtime
        What runs the workflows.
    max_body
        How many bytes a request body may have.
    streams
        Where open streams are counted.
    """

    def __init__(
        self,
        runtime: Runtime,
        max_body: int = DEFAULT_MAX_BODY,
        streams: Streams | None = None,
    ) -> None:
        self._runtime = runtime
        self._streamed = StreamedRuns(runtime, Streams() if streams is None else streams)
        self._max_body = max_body
        self._commands: weakref.WeakKeyDictionary[Workflow, WorkflowCommand] = (
            weakref.WeakKeyDictionary()
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        call = await self._read(Request(scope, receive))
        outcome: Outcome | None
        if call.complete is None:
            outcome = await self._run(call, scope, receive, send)
        else:
            outcome = self._complete(call, caller_of(scope))
        if outcome is None:
            return
        if call.color:
            outcome = outcome.in_color()
        response = Response(msgspec.json.encode(outcome), media_type="application/json")
        await response(scope, receive, send)

    async def _read(self, request: Request) -> _Call:
        # A page in the user's browser can post a form or plain text to any address without asking,
        # but not JSON: this keeps web sites from running commands.
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise HTTPException(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the content type must be application/json"
            )
        try:
            call = msgspec.convert(await read_json_object(request, self._max_body), _Call)
        except msgspec.ValidationError as error:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
        if not call.argv and call.complete is None:
            raise HTTPException(
                HTTPStatus.UNPROCESSABLE_ENTITY, "argv is empty: it begins with a workflow's name"
            )
        return call

    async def _run(self, call: _Call, scope: Scope, receive: Receive, send: Send) -> Outcome | None:
        """Return how the run ended, or None if the client has been told while it ran."""
        caller = caller_of(scope)
        name, *arguments = call.argv
        try:
            deployment = self._runtime.find(caller, name, CHANNEL)
        except (ForbiddenError, WorkflowNotFoundError) as error:
            return self._no_command(error, caller)
        command = self._command(name, deployment.workflow)
        try:
            line = command.read(arguments, call.columns)
            invocation = Invocation(
                deployment=deployment,
                channel=CHANNEL,
                inputs=line.inputs,
                session_id=line.session_id,
                caller=caller,
                caller_gone=partial(until_disconnected, receive),
                idempotency_key=line.idempotency_key,
            )
            if line.stream and call.streams:
                return await self._streamed.run(
                    command,
                    invocation,
                    receive,
                    send,
                    json_output=line.json_output,
                    check=recheck(scope, self._runtime.access, name),
                )
            result = await self._runtime.execute(invocation)
        except HelpRequested as asked:
            return Outcome(EXIT_OK, asked.text)
        except click.UsageError as error:
            return misused(error)
        except EXPECTED as error:
            return failed(error, command)
        return succeeded(result, json_output=line.json_output)

    def _complete(self, call: _Call, caller: Caller) -> Outcome:
        incomplete = call.complete or ""
        if not call.argv:
            return candidates(
                (name, None) for name in self._names(caller) if name.startswith(incomplete)
            )
        name, *arguments = call.argv
        try:
            workflow = self._runtime.find(caller, name, CHANNEL).workflow
            items = self._command(name, workflow).complete(arguments, incomplete)
        except (ForbiddenError, WorkflowNotFoundError):
            items = []
        return candidates((item.value, item.help) for item in items)

    def _no_command(self, error: ForbiddenError | WorkflowNotFoundError, caller: Caller) -> Outcome:
        if isinstance(error, ForbiddenError):
            return forbidden(error)
        channels = self._runtime.registry.channels_of(error.name)
        return not_found(error, channels, self._names(caller))

    def _names(self, caller: Caller) -> Iterator[str]:
        """Return the names of what the caller may run."""
        access = self._runtime.access
        names = self._runtime.registry.on_channel(CHANNEL)
        return (name for name in names if access.allows(caller, name))

    def _command(self, name: str, workflow: Workflow) -> WorkflowCommand:
        command = self._commands.get(workflow)
        if command is None:
            command = self._commands[workflow] = WorkflowCommand(
                name, workflow.description, workflow.input_schema
            )
        return command
