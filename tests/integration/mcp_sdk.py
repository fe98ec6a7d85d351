"""The MCP SDK's clients, of version 1 or 2, behind one face: what the server is tested with."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import mcp
from mcp.client import streamable_http
from mcp.client.stdio import stdio_client
from mcp.types import LATEST_PROTOCOL_VERSION

__all__ = ["Client", "ProtocolError", "StdioCommand", "connect", "latest_version"]

_IS_FIRST = metadata.version("mcp").startswith("1.")
Progress = Callable[[float, str], Awaitable[None]]


class ProtocolError(Exception):
    """The server answered with a JSON-RPC error."""

    def __init__(self, error: Any) -> None:
        super().__init__(error.message)
        self.code = error.code
        self.message = error.message


@dataclass(frozen=True)
class StdioCommand:
    """A server to start, and to talk to over its standard input and output."""

    command: str
    args: Sequence[str] = ()
    env: Mapping[str, str] | None = None
    cwd: str | None = None

    def parameters(self) -> Any:
        return mcp.StdioServerParameters(
            command=self.command,
            args=list(self.args),
            env=None if self.env is None else dict(self.env),
            cwd=self.cwd,
        )


class Client:
    """One connection to a server."""

    def __init__(self, session: Any, version: str, capabilities: Any) -> None:
        self._session = session
        self.protocol_version = version
        self.capabilities: dict[str, Any] = _wire(capabilities)

    async def list_tools(self, cursor: str | None = None) -> dict[str, Any]:
        with _translated():
            if _IS_FIRST:
                params = mcp.types.PaginatedRequestParams(cursor=cursor)
                return _wire(await self._session.list_tools(params=params))
            return _wire(await self._session.list_tools(cursor=cursor))

    async def call_tool(
        self, name: str, arguments: Any = None, progress: Progress | None = None
    ) -> dict[str, Any]:
        async def callback(step: float, total: float | None, message: str | None) -> None:
            assert progress is not None
            await progress(step, message or "")

        told = None if progress is None else callback
        with _translated():
            return _wire(await self._session.call_tool(name, arguments, progress_callback=told))


def latest_version() -> str:
    """Return the newest version of the protocol that the SDK's client speaks."""
    return str(LATEST_PROTOCOL_VERSION)


def connect(
    target: str | StdioCommand, *, handshake: bool = False
) -> AbstractAsyncContextManager[Client]:
    """Return a connection to a URL or to a process; SDK 1 always begins with a handshake."""
    return _connect_first(target) if _IS_FIRST else _connect_second(target, handshake)


@contextlib.asynccontextmanager
async def _connect_first(target: str | StdioCommand) -> AsyncIterator[Client]:
    opened: Any
    if isinstance(target, str):
        open_url = getattr(streamable_http, "streamable_http_client", None)
        opened = (open_url or streamable_http.streamablehttp_client)(target)  # as 1.23 has it
    else:
        opened = stdio_client(target.parameters())
    async with opened as (incoming, outgoing, *_), mcp.ClientSession(incoming, outgoing) as session:
        hello: Any = await session.initialize()
        yield Client(session, hello.protocolVersion, hello.capabilities)


@contextlib.asynccontextmanager
async def _connect_second(target: str | StdioCommand, handshake: bool) -> AsyncIterator[Client]:
    server = target if isinstance(target, str) else target.parameters()
    async with mcp.Client(server, mode="legacy" if handshake else "auto") as client:
        yield Client(client, client.protocol_version, client.server_capabilities)


def _wire(model: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dumped


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    from mcp.shared import exceptions

    error_type: Any = getattr(exceptions, "McpError", None) or exceptions.MCPError
    try:
        yield
    except error_type as error:
        raise ProtocolError(error.error) from error
