"""What the channel wants of an MCP SDK, whatever its version; here are no imports of any.

Tools, results and capabilities are the protocol's own JSON objects, which mean the same in every
version of the SDK, as its classes do not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from kaizen_nexus.access.callers import Caller

__all__ = [
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "PARSE_ERROR",
    "VERSION_KEY",
    "Client",
    "Codec",
    "HttpTransport",
    "Identity",
    "Incoming",
    "Json",
    "Plain",
    "Progress",
    "ProtocolError",
    "Sdk",
    "Server",
    "StdioCommand",
    "Streams",
    "Subscriptions",
    "Target",
    "ToolMethods",
    "correlated",
    "reporting_to",
]

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603

VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
"""Where a request of the era without handshakes has its protocol version, in ``_meta``."""

Json: TypeAlias = dict[str, Any]
"""An object of the protocol, as it is on the wire."""

Progress: TypeAlias = Callable[[float, str], Awaitable[None]]
"""Takes how far a call has come, and what there is to be said of it."""

Streams: TypeAlias = tuple[Any, Any]
"""The SDK's streams of messages, incoming and outgoing; only the SDK looks into them."""


class ProtocolError(Exception):
    """A JSON-RPC error: what a handler answers with, and what a client raises.

    Parameters
    ----------
    code
        The error's code.
    message
        What went wrong.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Identity:
    """How a server introduces itself."""

    name: str
    version: str
    instructions: str


class ToolMethods(Protocol):
    """The methods of the protocol that concern tools; they refuse with `ProtocolError`."""

    def input_schema(self, name: str) -> Mapping[str, Any] | None:
        """Return a tool's input schema, or None if there is no such tool."""

    async def list_tools(self, cursor: str | None, caller: Caller) -> Json:
        """Return the ``ListToolsResult`` that follows `cursor`."""

    def is_streaming(self, name: str) -> bool:
        """Whether there is such a tool, and it makes its result piece by piece."""

    async def call_tool(
        self, name: str, arguments: Json, caller: Caller, progress: Progress | None = None
    ) -> Json:
        """Return a tool's ``CallToolResult``; each piece of it goes to `progress` meanwhile."""


class Subscriptions(Protocol):
    """Who is to be told that the list of tools changed; on one event loop."""

    async def publish(self) -> None:
        """Tell them."""

    def close(self) -> None:
        """End the streams that are open for nothing else."""


class HttpTransport(Protocol):
    """Streamable HTTP without transport sessions, from one start to one stop."""

    def run(self) -> AbstractAsyncContextManager[None]:
        """Serve while it is entered; what is in flight when it is left is cancelled."""

    async def handle_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ``POST``."""


class Server(Protocol):
    """Tools behind the protocol, on whatever transport."""

    async def serve(self, streams: Streams) -> None:
        """Serve one client, the local one, until its incoming stream ends; one at a time."""

    @property
    def plain(self) -> Plain | None:
        """Which calls of clients that shake no hands can be answered without it, if any."""

    def plain_after(self, version: str) -> Plain | None:
        """Return which calls of a client can be that shook hands for a version, if any."""

    def http_transport(self, *, max_body: int) -> HttpTransport:
        """Return a transport to run once, which serves whoever reaches it."""


@dataclass(frozen=True)
class Plain:
    """Which calls of tools need nothing of the SDK."""

    version: str
    """The version of the protocol that they speak."""
    members: Json
    """What every result has besides the tool's."""
    takes: Callable[[Json], bool]
    """Whether a request's ``_meta``, empty if there is none, is valid, and asks for nothing that
    only the SDK has; progress of tools that do not stream is nothing."""
    observed: Callable[[], bool] = lambda: False
    """Whether somebody is to be told of each request, as only the SDK does."""
    hung_up: Json | None = None
    """The error that answers what is still running when the client hangs up; None if none does."""


@dataclass(frozen=True)
class Incoming:
    """A message of a client, and what is looked at in it besides by the SDK."""

    message: Any
    """What the SDK's stream takes."""
    method: str | None
    """What is asked for, or told; None if it is an answer."""
    request_id: str | int | None
    """None if it is not a request."""
    params: Json
    """Empty if there are none."""


@dataclass(frozen=True)
class Codec:
    """Messages as text, one a line."""

    decode: Callable[[str], Incoming]
    """Raises `ValueError` for what is no message."""
    encode: Callable[[Any], str]
    """Takes what the SDK's stream gives."""


class Client(Protocol):
    """One connection to a server; what the server refuses is raised as `ProtocolError`."""

    @property
    def protocol_version(self) -> str:
        """The version that both sides speak."""

    @property
    def capabilities(self) -> Json:
        """The server's capabilities."""

    async def list_tools(self, cursor: str | None = None) -> Json:
        """Return one ``ListToolsResult``."""

    async def call_tool(
        self, name: str, arguments: Json | None = None, progress: Progress | None = None
    ) -> Json:
        """Return a ``CallToolResult``; what the server reports meanwhile goes to `progress`."""


@dataclass(frozen=True)
class StdioCommand:
    """A server to start, and to talk to over its standard input and output."""

    command: str
    args: Sequence[str] = ()
    env: Mapping[str, str] | None = None
    """Added to the few variables that the SDK hands down; None adds none."""
    cwd: str | None = None


Target: TypeAlias = str | StdioCommand | AbstractAsyncContextManager[Streams]
"""Whom a client is to talk to: a URL, a process to start, or streams that are there."""


def correlated(request_id: int | str) -> int | str:
    """Return what ids are told apart by: some clients cancel as ``"7"`` what they sent as ``7``."""
    try:
        return int(request_id)
    except ValueError:
        return request_id


def reporting_to(tell: Progress) -> Callable[..., Any]:
    """Return `tell` as what the SDKs' clients report to."""

    async def callback(progress: float, total: float | None, message: str | None) -> None:
        await tell(progress, message or "")

    return callback


@dataclass(frozen=True)
class Sdk:
    """What the package of each major version provides."""

    latest_version: str
    """The newest protocol version that its clients and servers speak."""

    subscriptions: Callable[[int], Subscriptions]
    """Returns subscriptions of which at most so many streams are open at a time."""

    server: Callable[[Identity, ToolMethods, Any], Server]
    """Returns a server of these methods; the last argument is `subscriptions`' result."""

    codec: Codec
    """Reads and writes the messages of a client that started this process."""

    stdio_transport: Callable[[], AbstractAsyncContextManager[Streams]]
    """Returns the messages of a client where standard input and output are no descriptors."""

    connect: Callable[[Target, bool], AbstractAsyncContextManager[Client]]
    """Returns a connection: if told to, by handshake, else in the newest way both sides know."""
