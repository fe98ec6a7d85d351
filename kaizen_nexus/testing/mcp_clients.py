"""The installed MCP SDK's own client, the same to use in its major versions 1 and 2.

Version 1 knows the handshake era alone. Everything is loaded by name, because neither version's
modules can be imported, or checked by a type checker, beside the other's.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import IO, Any

from kaizen_nexus._extras import missing_extra
from kaizen_nexus.channels.cli.transport import authorization

__all__ = [
    "MODERN",
    "McpClient",
    "ToolError",
    "connect_http",
    "connect_stdio",
    "has_modern_era",
    "load_sdk",
    "sdk_version",
]

MODERN = "2026-07-28"
MAX_PAGES = 1_000


class ToolError(Exception):
    """The server answered a request with a JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"JSON-RPC error {code}: {message}")
        self.code = code
        self.message = message


def sdk_version() -> str:
    """Return the version of the installed SDK.

    Raises
    ------
    ImportError
        There is none; the message says how to install it.
    """
    try:
        return importlib.metadata.version("mcp")
    except importlib.metadata.PackageNotFoundError as error:
        missing_extra("nexus check", "serve", ModuleNotFoundError(str(error), name="mcp"))


def load_sdk() -> None:
    """Import what the connections need, which takes a second.

    Raises
    ------
    ImportError
        There is no SDK; the message says how to install it.
    """
    sdk_version()
    for name in ("mcp", "mcp.client.stdio", "mcp.client.streamable_http"):
        importlib.import_module(name)


def has_modern_era() -> bool:
    """Whether the installed SDK speaks 2026-07-28."""
    return int(sdk_version().partition(".")[0]) > 1


class McpClient:
    """A connected client.

    Parameters
    ----------
    session
        The SDK's own.
    version
        The protocol version that was agreed on.
    """

    def __init__(self, session: Any, version: str) -> None:
        self._session = session
        self.version = version

    async def tools(self) -> dict[str, Mapping[str, Any]]:
        """Return all listed tools by name, each as it is on the wire."""
        types = importlib.import_module("mcp.types")
        tools: dict[str, Mapping[str, Any]] = {}
        cursor = None
        for _ in range(MAX_PAGES):
            with _errors():
                page = await self._session.list_tools(
                    params=types.PaginatedRequestParams(cursor=cursor)
                )
            answer = page.model_dump(by_alias=True)
            tools.update((tool["name"], tool) for tool in answer["tools"])
            cursor = answer.get("nextCursor")
            if cursor is None:
                break
        return tools

    async def call(self, tool: str, arguments: dict[str, Any]) -> Mapping[str, Any]:
        """Return the answer of a tool as it is on the wire.

        Raises
        ------
        ToolError
            The server answered with an error of the protocol.
        """
        with _errors():
            answer = await self._session.call_tool(tool, arguments)
        wire: Mapping[str, Any] = answer.model_dump(by_alias=True)
        return wire


@contextlib.asynccontextmanager
async def connect_http(url: str, *, modern: bool) -> AsyncIterator[McpClient]:
    """Connect to a server's ``/mcp`` over streamable HTTP, in one era of the protocol."""
    module = importlib.import_module("mcp.client.streamable_http")
    httpx = importlib.import_module("httpx2" if has_modern_era() else "httpx")
    # Without the environment's proxies: the server is on the loopback interface.
    options = {"trust_env": False, "timeout": None, "headers": authorization()}
    if hasattr(module, "streamable_http_client"):
        async with httpx.AsyncClient(**options) as http_client:
            transport = module.streamable_http_client(url, http_client=http_client)
            async with _connected(transport, MODERN if modern else "legacy") as client:
                yield client
        return

    def http_client_factory(**given: Any) -> Any:
        headers = {**(given.get("headers") or {}), **authorization()}
        return httpx.AsyncClient(**{**given, **options, "headers": headers})

    transport = module.streamablehttp_client(url, httpx_client_factory=http_client_factory)
    async with _connected(transport, "legacy") as client:
        yield client


@contextlib.asynccontextmanager
async def connect_stdio(
    command: list[str], env: dict[str, str], log: IO[bytes]
) -> AsyncIterator[McpClient]:
    """Start a server as a process of its own, and connect to it over standard input and output.

    It ends with the connection, within a few seconds, whatever happens.
    """
    module = importlib.import_module("mcp.client.stdio")
    parameters = module.StdioServerParameters(command=command[0], args=command[1:], env=env)
    async with _connected(module.stdio_client(parameters, errlog=log), "auto") as client:
        yield client


@contextlib.asynccontextmanager
async def _connected(transport: Any, mode: str) -> AsyncIterator[McpClient]:
    mcp = importlib.import_module("mcp")
    if has_modern_era():
        async with mcp.Client(transport, mode=mode, cache=None) as client:
            yield McpClient(client.session, client.protocol_version)
        return
    async with contextlib.AsyncExitStack() as stack:
        incoming, outgoing, *_ = await stack.enter_async_context(transport)
        session = await stack.enter_async_context(mcp.ClientSession(incoming, outgoing))
        with _errors():
            answer = await session.initialize()
        yield McpClient(session, answer.protocolVersion)


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Translate the SDK's own exception, whatever it is called."""
    exceptions = importlib.import_module("mcp.shared.exceptions")
    kind = exceptions.MCPError if has_modern_era() else exceptions.McpError
    try:
        yield
    except kind as error:
        raise ToolError(error.error.code, error.error.message) from None
