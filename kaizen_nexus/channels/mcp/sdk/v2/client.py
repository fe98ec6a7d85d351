"""The client of SDK 2, which speaks both eras."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import mcp
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel

from kaizen_nexus.channels.mcp.sdk.surface import (
    Json,
    Progress,
    ProtocolError,
    StdioCommand,
    Target,
    reporting_to,
)

__all__ = ["Client", "connect"]


class Client:
    """See `surface.Client`."""

    def __init__(self, client: mcp.Client) -> None:
        self._client = client

    @property
    def protocol_version(self) -> str:
        """The version that both sides speak."""
        return self._client.protocol_version

    @property
    def capabilities(self) -> Json:
        """The server's capabilities."""
        return _wire(self._client.server_capabilities)

    async def list_tools(self, cursor: str | None = None) -> Json:
        """Return one page of the tools."""
        with _translated():
            return _wire(await self._client.list_tools(cursor=cursor))

    async def call_tool(
        self, name: str, arguments: Json | None = None, progress: Progress | None = None
    ) -> Json:
        """Return a tool's result."""
        callback = None if progress is None else reporting_to(progress)
        with _translated():
            return _wire(await self._client.call_tool(name, arguments, progress_callback=callback))


@contextlib.asynccontextmanager
async def connect(target: Target, handshake: bool) -> AsyncIterator[Client]:
    """See `surface.Sdk.connect`."""
    server: Any = target
    if isinstance(target, StdioCommand):
        server = mcp.StdioServerParameters(
            command=target.command,
            args=list(target.args),
            env=None if target.env is None else dict(target.env),
            cwd=target.cwd,
        )
    async with mcp.Client(server, mode="legacy" if handshake else "auto") as client:
        yield Client(client)


def _wire(model: BaseModel) -> Json:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except MCPError as error:
        raise ProtocolError(error.code, error.message) from error
