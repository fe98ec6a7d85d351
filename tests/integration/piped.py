"""A client of the server at the other end of two pipes, in the same process."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from kaizen_nexus.channels.mcp.changes import ToolChanges
from kaizen_nexus.channels.mcp.conversation import Conversation
from kaizen_nexus.channels.mcp.lines import LineReader, LineWriter
from kaizen_nexus.channels.mcp.server import McpServer
from kaizen_nexus.runtime.service import Runtime

__all__ = ["ENVELOPE", "HANDSHAKE", "MAX_LINE", "MODERN", "Piped", "call"]

MAX_LINE = 20_000
TIMEOUT = 30
HANDSHAKE, MODERN = "2025-11-25", "2026-07-28"
_KEY = "io.modelcontextprotocol/"
ENVELOPE = {f"{_KEY}protocolVersion": MODERN, f"{_KEY}clientCapabilities": {}}


def call(name: Any = "echo", arguments: Any = None, **members: Any) -> dict[str, Any]:
    """Return a request to call a tool."""
    params = {"name": name, "arguments": {} if arguments is None else arguments}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params} | members


class Piped:
    """One client's conversation.

    Parameters
    ----------
    runtime
        What runs the tools.
    version
        The protocol's.
    longest
        How many bytes an answer may have; up to twice as many are read ahead.
    """

    def __init__(
        self,
        runtime: Runtime,
        version: str = HANDSHAKE,
        *,
        longest: int = 1_000_000,
    ) -> None:
        self._version = version
        self._server = McpServer(runtime)
        self._pipes = [*os.pipe(), *os.pipe()]
        self.output = LineReader(self._pipes[2], longest)
        self.task = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        reader = LineReader(self._pipes[0], MAX_LINE)
        writer = LineWriter(self._pipes[3], reader.end)
        try:
            await Conversation(self._server, ToolChanges(), reader, writer).run()
        finally:
            reader.end()
            writer.close()
            os.close(self._pipes[3])

    async def begin(self) -> None:
        """Agree on the version."""
        if self._version == MODERN:
            self.request(0, "server/discover", _meta=ENVELOPE)
            assert "result" in await self.receive()
            return
        client = {"name": "test", "version": "1"}
        self.request(
            0, "initialize", protocolVersion=self._version, capabilities={}, clientInfo=client
        )
        assert (await self.receive())["result"]["protocolVersion"] == self._version

    def request(self, request_id: Any, method: str, **params: Any) -> None:
        """Send a request."""
        self.send({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})

    def cancel(self, request_id: Any) -> None:
        """Send notice that nobody waits for an answer any more."""
        params = {"requestId": request_id}
        self.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})

    def send(self, *messages: Any) -> None:
        """Write messages at once, as they are or as JSON."""
        self.write(
            b"".join(
                message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
                for message in messages
            )
        )

    def write(self, text: bytes) -> None:
        """Write text, which must fit into the pipe."""
        assert os.write(self._pipes[1], text) == len(text)

    async def receive(self) -> Any:
        """Return the next message."""
        line = await asyncio.wait_for(self.output.read(), TIMEOUT)
        return None if line is None else json.loads(line)

    async def answers(self, line: bytes) -> list[Any]:
        """Return what a line is answered with, which may be nothing."""
        self.write(line + b"\n")
        found: list[Any] = []
        for _ in range(2):  # the first may overtake an answer
            self.request("end", "tools/list", **self._envelope())
            while (message := await self.receive()).get("id") != "end":
                found.append(message)
        return found

    def _envelope(self) -> dict[str, Any]:
        return {"_meta": ENVELOPE} if self._version == MODERN else {}

    def stop_reading(self) -> None:
        """Take no answers any more."""
        self.output.end()
        os.close(self._pipes[2])

    def hang_up(self) -> None:
        """Send nothing more."""
        os.close(self._pipes[1])

    async def close(self) -> list[Any]:
        """Hang up, and return the messages that come before the server does."""
        self.hang_up()
        messages = []
        while (message := await self.receive()) is not None:
            messages.append(message)
        await asyncio.wait_for(self.task, TIMEOUT)
        self.output.end()
        for number in (0, 2):
            os.close(self._pipes[number])
        return messages
