"""The client of SDK 1, which speaks the era of handshakes alone."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

import mcp
from mcp.client import streamable_http
from mcp.client.stdio import stdio_client
from mcp.shared.exceptions import McpError
from mcp.types import InitializeResult, PaginatedRequestParams
from pydantic import BaseModel

from kaizen_nexus.channels.mcp.sdk.surface import (
    Json,
    Progress,
    ProtocolError,
    StdioCommand,
    Streams,
    Target,
    reporting_to,
)

__all__ = ["Client", "connect"]


class Client:
    """See `surface.Client`."""

    def __init__(self, session: mcp.ClientSession, hello: InitializeResult) -> None:
        self._session = session
        self._hello = hello

    @property
    def protocol_version(self) -> str:
        """The version that both sides speak."""
        return str(self._hello.protocolVersion)

    @property
    def capabilities(self) -> Json:
        """The server's capabilities."""
        return _wire(self._hello.capabilities)

    async def list_tools(self, cursor: str | None = None) -> Json:
        """Return one page of the tools."""
        with _translated():
            params = PaginatedRequestParams(cursor=cursor)
            return _wire(await self._session.list_tools(params=params))

    async def call_tool(
        self, name: str, arguments: Json | None = None, progress: Progress | None = None
    ) -> Json:
        """Return a tool's result."""
        callback = None if progress is None else reporting_to(progress)
        with _translated():
            return _wire(await self._session.call_tool(name, arguments, progress_callback=callback))


@contextlib.asynccontextmanager
async def connect(target: Target, handshake: bool) -> AsyncIterator[Client]:
    """See `surface.Sdk.connect`."""
    del handshake  # there is no other way here
    async with _streams(target) as streams, mcp.ClientSession(*streams) as session:
        with _translated():
            hello = await session.initialize()
        yield Client(session, hello)


@contextlib.asynccontextmanager
async def _streams(target: Target) -> AsyncIterator[Streams]:
    if isinstance(target, StdioCommand):
        command = mcp.StdioServerParameters(
            command=target.command,
            args=list(target.args),
            env=None if target.env is None else dict(target.env),
            cwd=target.cwd,
        )
        async with stdio_client(command) as streams:
            yield streams
    elif isinstance(target, str):
        open_url = getattr(streamable_http, "streamable_http_client", None)
        if open_url is None:
            # 1.23 has it under the name alone that later versions call deprecated.
            open_url = streamable_http.streamablehttp_client
        async with open_url(target) as (incoming, outgoing, _):
            yield incoming, outgoing
    else:
        async with target as streams:
            yield streams


def _wire(model: BaseModel) -> Json:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except McpError as error:
        raise ProtocolError(error.error.code, error.error.message) from error
