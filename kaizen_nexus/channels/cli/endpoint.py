"""``POST /cli/run``: runs a command line that the ``nexus run`` client forwards.

The server knows each workflow's schema, so it parses, validates and renders help. The client
only forwards its arguments and prints the answer: it starts quickly, and cannot disagree with the
server about what a command takes.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Iterator
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
from kaizen_nexus.channels.cli.protocol import EXIT_OK, PATH
from kaizen_nexus.channels.cli.streaming import StreamedRuns
from kaizen_nexus.http.body import DEFAULT_MAX_BODY, json_object, read_body, until_disconnected
from kaizen_nexus.http.credentials import caller_of, recheck
from kaizen_nexus.http.problems import logged_problem
from kaizen_nexus.http.server.lane import respond_with
from kaizen_nexus.http.streams import Streams
from kaizen_nexus.runtime.errors import WorkflowNotFoundError
from kaizen_nexus.runtime.invocation import Invocation

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from kaizen_nexus.access.callers import Caller
    from kaizen_nexus.agents.workflow import Workflow
    from kaizen_nexus.channels.cli.command import CommandLine
    from kaizen_nexus.http.server.lane import LaneRequest, Respond
    from kaizen_nexus.runtime.deployed import Deployment
    from kaizen_nexus.runtime.run import Run
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
        await _response(outcome, call)(scope, receive, send)

    def begin(self, request: LaneRequest, respond: Respond) -> Run | None:
        """Begin a run for a request of the fast lane; see `LaneHandler.begin`."""
        if request.path != PATH or len(request.body) > self._max_body:
            return None
        try:
            content_type = request.headers.get(b"content-type", b"").decode("latin-1")
            call = _call_in(content_type, request.body)
            if call.complete is not None:
                return None
            deployment = self._runtime.find(request.caller, call.argv[0], CHANNEL)
            command = self._command(call.argv[0], deployment.workflow)
            line = command.read(call.argv[1:], call.columns)
        except Exception:
            return None  # whatever it is, it is found again, and answered
        if line.stream and call.streams:
            return None

        def ended(run: Run) -> None:
            try:
                outcome = succeeded(run.outcome(), json_output=line.json_output)
            except EXPECTED as error:
                outcome = failed(error, command)
            except Exception as error:
                respond_with(respond, logged_problem(error))
                return
            respond_with(respond, _response(outcome, call))

        return self._runtime.start(_invocation(line, deployment, request.caller), ended)

    async def _read(self, request: Request) -> _Call:
        content_type = request.headers.get("content-type", "")
        body = await read_body(request, self._max_body) if _is_json(content_type) else b""
        return _call_in(content_type, body)

    async def _run(self, call: _Call, scope: Scope, receive: Receive, send: Send) -> Outcome | None:
        """Return how the run ended, or None if the client was answered while it ran."""
        caller = caller_of(scope)
        name, *arguments = call.argv
        try:
            deployment = self._runtime.find(caller, name, CHANNEL)
        except (ForbiddenError, WorkflowNotFoundError) as error:
            return self._no_command(error, caller)
        command = self._command(name, deployment.workflow)
        try:
            line = command.read(arguments, call.columns)
            gone = partial(until_disconnected, receive)
            invocation = _invocation(line, deployment, caller, gone)
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


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


def _call_in(content_type: str, body: bytes | bytearray) -> _Call:
    """Return what a request asks for.

    A page in the user's browser can post a form or plain text to any address without asking, but
    not JSON: requiring JSON keeps web sites from running commands.
    """
    if not _is_json(content_type):
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the content type must be application/json"
        )
    try:
        call = msgspec.convert(json_object(body), _Call)
    except msgspec.ValidationError as error:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
    if not call.argv and call.complete is None:
        raise HTTPException(
            HTTPStatus.UNPROCESSABLE_ENTITY, "argv is empty: it begins with a workflow's name"
        )
    return call


def _invocation(
    line: CommandLine,
    deployment: Deployment,
    caller: Caller,
    caller_gone: Callable[[], Awaitable[None]] | None = None,
) -> Invocation:
    return Invocation(
        deployment=deployment,
        channel=CHANNEL,
        inputs=line.inputs,
        session_id=line.session_id,
        caller=caller,
        caller_gone=caller_gone,
        idempotency_key=line.idempotency_key,
    )


def _response(outcome: Outcome, call: _Call) -> Response:
    if call.color:
        outcome = outcome.in_color()
    return Response(msgspec.json.encode(outcome), media_type="application/json")
