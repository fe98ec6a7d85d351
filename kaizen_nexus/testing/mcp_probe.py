"""MCP as a client sees it: one connection for the whole check, and what an answer means."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import anyio

from kaizen_nexus.testing.mcp_clients import McpClient, ToolError
from kaizen_nexus.testing.outcome import MISSING, NO_ANSWER, UNEXPECTED, Outcome, identical
from kaizen_nexus.testing.wording import problem_in

__all__ = ["ConnectionFailedError", "McpProbe", "session_argument"]

CONNECT_TIMEOUT = 60.0
"""Seconds; over stdio, the server is only started now."""
CLOSE_TIMEOUT = 15.0
"""Seconds, in which the SDK has ended a server that it started, if need be by force."""
UNKNOWN_TOOL = -32602
_INVALID = "Invalid arguments:"
_POINTER = re.compile(r"^- /([^/:\s]*)\S*: ", re.MULTILINE)
T = TypeVar("T")
Connect = Callable[[], AbstractAsyncContextManager[McpClient]]


class ConnectionFailedError(Exception):
    """There is no connection, or no longer; the message says why."""


def session_argument(schema: Mapping[str, Any]) -> str:
    """Return the argument that names the session, beside inputs with this schema."""
    name = "session_id"
    while name in schema.get("properties", {}):
        name = f"nexus_{name}"
    return name


class McpProbe:
    """Runs workflows as tools.

    The connection belongs to a task of its own: where the SDK gives up on it, it cancels the task
    that opened it, and that must not be the check itself.

    Parameters
    ----------
    name
        What the report calls this channel.
    connect
        Opens the connection.
    schemas
        The published schema of each workflow's inputs.
    timeout
        Seconds for one call.
    """

    operation = "mcp"

    def __init__(
        self,
        name: str,
        connect: Connect,
        schemas: Mapping[str, Mapping[str, Any]],
        timeout: float,
    ) -> None:
        self.name = name
        self.version = ""
        """The protocol version that was agreed on."""
        self._connect = connect
        self._schemas = schemas
        self._timeout = timeout
        self._jobs: asyncio.Queue[tuple[Callable[[McpClient], Awaitable[Any]], asyncio.Future[Any]]]
        self._jobs = asyncio.Queue()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect.

        Raises
        ------
        ConnectionFailedError
            No client can.
        """
        self._task = asyncio.create_task(self._own())
        self.version = await self._within(CONNECT_TIMEOUT, _version)

    async def close(self) -> None:
        """End the connection, and the server if it was started for it."""
        if self._task is None:
            return
        self._closing.set()
        done, _ = await asyncio.wait({self._task}, timeout=CLOSE_TIMEOUT)
        if not done:
            await self.abandon()

    async def abandon(self) -> None:
        """End the connection without waiting for anything that still runs."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=CLOSE_TIMEOUT)

    async def tools(self) -> dict[str, Mapping[str, Any]]:
        """Return all listed tools by name.

        Raises
        ------
        ConnectionFailedError
            The server does not list them.
        """
        try:
            return await self._within(self._timeout, McpClient.tools)
        except ToolError as error:
            raise ConnectionFailedError(str(error)) from None

    async def call(self, workflow: str, inputs: dict[str, Any], session: str | None) -> Outcome:
        """Return what comes of running `workflow`."""
        argument = session_argument(self._schemas.get(workflow, {}))
        arguments = inputs if session is None else {**inputs, argument: session}

        async def call_tool(client: McpClient) -> Mapping[str, Any]:
            return await client.call(workflow, arguments)

        try:
            return _outcome(workflow, await self._within(self._timeout, call_tool))
        except ConnectionFailedError as error:
            return Outcome.failed(NO_ANSWER, str(error))
        except ToolError as error:
            unknown = error.code == UNKNOWN_TOOL and error.message == f"Unknown tool: {workflow}"
            return Outcome.failed("workflow-not-found" if unknown else UNEXPECTED, str(error))

    async def _within(self, seconds: float, work: Callable[[McpClient], Awaitable[T]]) -> T:
        """Have the connection's task do `work`, and return what comes of it."""
        if self._task is None or self._task.done():
            raise ConnectionFailedError("the connection is closed")
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait((work, result))
        try:
            # The task may end without ever coming to this job.
            either: set[asyncio.Future[Any]] = {self._task, result}
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if result.done():
                return result.result()
            if not self._task.done():
                raise ConnectionFailedError(f"no answer within {seconds:g} s")
            raise ConnectionFailedError(_reason(self._task))
        finally:
            result.cancel()

    async def _own(self) -> None:
        async with self._connect() as client:
            closing = asyncio.ensure_future(self._closing.wait())
            try:
                while not self._closing.is_set():
                    coming = asyncio.ensure_future(self._jobs.get())
                    await asyncio.wait({coming, closing}, return_when=asyncio.FIRST_COMPLETED)
                    if not coming.done():
                        coming.cancel()
                        break
                    await _do(client, *coming.result())
            finally:
                closing.cancel()


async def _do(
    client: McpClient, work: Callable[[McpClient], Awaitable[T]], result: asyncio.Future[T]
) -> None:
    with anyio.CancelScope() as scope:

        def give_up(asked: asyncio.Future[T]) -> None:
            if asked.cancelled():
                scope.cancel()

        result.add_done_callback(give_up)
        try:
            value = await work(client)
        except Exception as error:
            if not result.done():
                expected = isinstance(error, (ToolError, ConnectionFailedError))
                result.set_exception(error if expected else ConnectionFailedError(_words(error)))
        else:
            if not result.done():
                result.set_result(value)


async def _version(client: McpClient) -> str:
    return client.version


def _reason(task: asyncio.Task[None]) -> str:
    error = None if task.cancelled() else task.exception()
    return "the connection was lost" if error is None else _words(error)


def _words(error: BaseException) -> str:
    """Return an exception in words, without the groups that task groups wrap it in."""
    while (inner := getattr(error, "exceptions", None)) is not None:
        error = inner[0]
    return f"{type(error).__name__}: {error}"


def _outcome(workflow: str, answer: Mapping[str, Any]) -> Outcome:
    content = answer.get("content") or []
    text = str(content[0].get("text", "")) if content else ""
    if answer.get("isError"):
        return _problem(workflow, text)
    structured = answer.get("structuredContent")
    if not isinstance(structured, dict) or "result" not in structured:
        return Outcome.failed(UNEXPECTED, f"an answer without a result: {text}")
    if not identical(_value_of(text), structured):
        return Outcome.failed(UNEXPECTED, f"the text is not what the structured content is: {text}")
    return Outcome(structured["result"], structured.get("session_id"))


def _problem(workflow: str, text: str) -> Outcome:
    if text.startswith(_INVALID):
        names = (name.replace("~1", "/").replace("~0", "~") for name in _POINTER.findall(text))
        return Outcome.failed("invalid-inputs", text, frozenset(filter(None, names)))
    message = text.partition("\n")[0].removesuffix(".")
    slug = problem_in(message, workflow)
    return Outcome.failed(slug or UNEXPECTED, message if slug else text)


def _value_of(text: str) -> Any:
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text)
    return MISSING
