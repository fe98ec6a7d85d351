"""A small MCP client for tools, over HTTP and stdio, in both eras of the protocol.

It sends one request at a time and reads nothing but the answer: notifications and requests of the
server are skipped.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Any

import kaizen_nexus
from kaizen_nexus.channels.cli.response import MAX_BODY, Reply, UnreachableError
from kaizen_nexus.channels.cli.transport import NoAnswerError, request

__all__ = ["HANDSHAKE", "MODERN", "McpClient", "McpError", "connect_http", "connect_stdio"]

HANDSHAKE = "2025-11-25"
"""The newest protocol version that begins with an ``initialize`` handshake."""
MODERN = "2026-07-28"
"""The protocol version without a handshake: every request carries what it would have settled."""
START_TIMEOUT = 60.0
"""Seconds that a server over stdio gets to start and to give its first answer."""
CLOSE_TIMEOUT = 5.0
"""Seconds that a server over stdio gets to end after its standard input was closed."""
MAX_PAGES = 1_000
Message = Mapping[str, Any]
_META = "io.modelcontextprotocol/"
_CLIENT = {"name": "kaizen-nexus", "version": kaizen_nexus.__version__}


class McpError(Exception):
    """The server answered a request with a JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"JSON-RPC error {code}: {message}")
        self.code = code
        self.message = message


class McpClient:
    """A connection to one server; whoever makes it closes it.

    Parameters
    ----------
    transport
        What carries the messages.
    modern
        Whether to speak 2026-07-28 rather than begin with a handshake.

    Raises
    ------
    UnreachableError
        From this and all methods: no usable answer came.
    McpError
        From this and all methods: the server answered with an error.
    """

    def __init__(self, transport: _Http | _Stdio, *, modern: bool) -> None:
        self.version = MODERN
        """The protocol version that both sides speak."""
        self._transport = transport
        self._modern = modern
        self._last_id = 0
        try:
            self._connect()
        except BaseException:
            transport.close()
            raise

    def close(self) -> None:
        """End the connection, and the server if it was started for it."""
        self._transport.close()

    def tools(self) -> dict[str, Message]:
        """Return all listed tools by name."""
        tools: dict[str, Message] = {}
        params: dict[str, Any] = {}
        for _ in range(MAX_PAGES):
            page = self._ask("tools/list", params)
            tools.update((tool["name"], tool) for tool in page.get("tools", ()))
            if page.get("nextCursor") is None:
                break
            params = {"cursor": page["nextCursor"]}
        return tools

    def call(self, tool: str, arguments: Message) -> Message:
        """Return the ``CallToolResult`` of a call."""
        return self._ask("tools/call", {"name": tool, "arguments": arguments})

    def _connect(self) -> None:
        if self._modern:
            versions = self._ask("server/discover", {}).get("supportedVersions", ())
            if MODERN not in versions:
                raise UnreachableError(f"the server speaks {versions}, not {MODERN}")
            return
        hello = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": _CLIENT}
        self.version = str(self._ask("initialize", hello).get("protocolVersion", ""))
        message = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        self._transport.send(message, {"MCP-Protocol-Version": self.version})

    def _ask(self, method: str, params: Message) -> Message:
        self._last_id += 1
        headers = {} if method == "initialize" else {"MCP-Protocol-Version": self.version}
        if self._modern:
            meta = {"protocolVersion": MODERN, "clientInfo": _CLIENT, "clientCapabilities": {}}
            params = {**params, "_meta": {f"{_META}{name}": meta[name] for name in meta}}
            headers["Mcp-Method"] = method
            if "name" in params:
                headers["Mcp-Name"] = params["name"]
        message = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        answer = self._transport.ask(message, headers)
        if isinstance(error := answer.get("error"), dict):
            raise McpError(int(error.get("code", 0)), str(error.get("message", "")))
        if not isinstance(result := answer.get("result"), dict):
            raise UnreachableError(f"the answer to {method} has neither a result nor an error")
        return result


def connect_http(url: str, *, modern: bool, timeout: float) -> McpClient:
    """Connect to a server over streamable HTTP.

    Parameters
    ----------
    url
        The server's endpoint, such as ``http://127.0.0.1:8000/mcp``.
    modern
        As `McpClient` takes it.
    timeout
        Seconds for each answer.
    """
    return McpClient(_Http(url, timeout), modern=modern)


def connect_stdio(
    command: Sequence[str], *, env: Mapping[str, str], log: IO[bytes], timeout: float
) -> McpClient:
    """Start a server, and speak 2026-07-28 with it over its standard input and output.

    Parameters
    ----------
    command
        How to start the server.
    env
        Its environment.
    log
        Where its standard error goes.
    timeout
        Seconds for each answer but the first, for which the server has to start.
    """
    transport = _Stdio(command, env, log)
    client = McpClient(transport, modern=True)
    transport.timeout = timeout
    return client


class _Http:
    """One ``POST`` for each message."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        self._session: dict[str, str] = {}

    def ask(self, message: Message, headers: Message) -> Message:
        """Return the response to a request."""
        reply = self.send(message, headers)
        if session := reply.headers.get("mcp-session-id"):
            self._session = {"Mcp-Session-Id": session}
        for answer in _messages(reply):
            # An error has no id where the request was refused before it was read.
            if isinstance(answer, dict) and {"result", "error"} & answer.keys():
                return answer
        start = reply.body[:200].decode("utf-8", "replace")
        raise UnreachableError(f"HTTP {reply.status} without a JSON-RPC answer: {start}")

    def send(self, message: Message, headers: Message) -> Reply:
        """Send a message and return the HTTP answer."""
        accepted = {"Accept": "application/json, text/event-stream"}
        body = json.dumps(message).encode()
        sent = {**accepted, **self._session, **headers}
        return request("POST", self._url, "", body, timeout=self._timeout, headers=sent)

    def close(self) -> None:
        """Do nothing: every message has a connection of its own."""


class _Stdio:
    """One line for each message, to and from a process."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: IO[bytes]) -> None:
        self.timeout = START_TIMEOUT
        self._arrived = threading.Condition()
        self._awaited: int | None = None
        self._answer: Message | None = None
        self._ended = False
        process = self._process = subprocess.Popen(  # noqa: S603 - what the caller wants started
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reader.start()

    def ask(self, message: Message, headers: Message) -> Message:
        """Return the response to a request."""
        with self._arrived:
            self._awaited, self._answer = message["id"], None
        self.send(message, headers)
        with self._arrived:
            self._arrived.wait_for(lambda: self._answer or self._ended, self.timeout)
            if self._answer is not None:
                return self._answer
        if self._ended:
            raise UnreachableError("the server closed the connection")
        raise NoAnswerError(f"no answer within {self.timeout:g} s")

    def send(self, message: Message, headers: Message) -> None:
        """Send a message."""
        del headers  # HTTP's
        pipe: Any = self._process.stdin
        # Writing to a server that does not read lasts until the server ends.
        watchdog = threading.Timer(self.timeout, self._process.kill)
        watchdog.start()
        try:
            pipe.write(json.dumps(message).encode() + b"\n")
            pipe.flush()
        except OSError as error:
            raise UnreachableError(f"the server closed the connection: {error}") from None
        finally:
            watchdog.cancel()

    def close(self) -> None:
        """Close the server's standard input, and end the server if it does not end by itself."""
        pipe: Any = self._process.stdin
        with contextlib.suppress(OSError):
            pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_TIMEOUT)
        self._process.kill()
        self._process.wait()
        self._reader.join(CLOSE_TIMEOUT)

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            while line := pipe.readline(MAX_BODY):
                message = _parsed(line)
                with self._arrived:
                    if isinstance(message, dict) and message.get("id") == self._awaited:
                        self._answer = message
                        self._arrived.notify_all()
        with self._arrived:
            self._ended = True
            self._arrived.notify_all()


def _messages(reply: Reply) -> list[Any]:
    """Return the messages of an HTTP answer: one as JSON, or several as events."""
    if not reply.headers.get("content-type", "").lower().startswith("text/event-stream"):
        return [_parsed(reply.body)]
    events = reply.body.replace(b"\r\n", b"\n").split(b"\n\n")
    lines = ([x[5:] for x in event.split(b"\n") if x.startswith(b"data:")] for event in events)
    return [_parsed(b"\n".join(data)) for data in lines]


def _parsed(text: bytes) -> Any:
    """Return a JSON value, or None if `text` is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
