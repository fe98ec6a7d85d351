"""An MCP endpoint that is asked everything twice, with and without the SDK."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import msgspec
from starlette.applications import Starlette
from starlette.routing import Route

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.channels.mcp.http import McpEndpoint
from kaizen_nexus.http.problems import EXCEPTION_HANDLERS
from kaizen_nexus.runtime.service import Runtime

__all__ = ["MAX_BODY", "Served", "echo"]

MAX_BODY = 20_000


async def echo(value: Any = None, text: str = "", number: int = 0) -> Any:
    return [value, text, number]


async def fail(value: Any = None) -> Any:
    raise RuntimeError("a secret")


async def mirror(
    region: Annotated[str, msgspec.Meta(extra_json_schema={"x-mcp-header": "Region"})],
) -> str:
    return region


async def stream(text: str) -> Any:
    for letter in text:
        yield letter


class Served:
    """An endpoint on an event loop of its own, asked with and without the SDK."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.runtime = Runtime()
        for agent in (echo, fail, mirror, stream):
            self.runtime.registry.deploy(
                as_workflow(agent, agent.__name__), ("mcp",), prefix="/", sessions=False
            )
        self.endpoint = McpEndpoint(self.runtime, max_body=MAX_BODY)
        self.app = Starlette(
            routes=[Route("/mcp", self.endpoint)], exception_handlers=EXCEPTION_HANDLERS
        )
        self.loop.run_until_complete(self.endpoint.start())

    def close(self) -> None:
        self.loop.run_until_complete(self.endpoint.stop())
        left = asyncio.all_tasks(self.loop)  # the SDK's, of event streams
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left))
        self.loop.close()
        self.runtime.sessions.close()

    def compare(
        self, body: bytes, headers: list[tuple[str, str]], chunks: int = 1
    ) -> tuple[Any, bool]:
        """Return what is answered, with the SDK as without it, and whether that was without it."""
        direct, plain = self.loop.run_until_complete(self._ask(body, headers, chunks, True))
        reference, _ = self.loop.run_until_complete(self._ask(body, headers, chunks, False))
        assert direct == reference
        return direct, plain

    async def _ask(
        self, body: bytes, headers: list[tuple[str, str]], chunks: int, directly: bool
    ) -> tuple[Any, bool]:
        size = -(-len(body) // chunks)
        pieces = [body[at : at + size] for at in range(0, len(body), size or 1)] or [b""]
        incoming = [
            {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
            for number, piece in enumerate(pieces, 1)
        ]
        sent: list[Any] = []
        answered = asyncio.Event()

        async def receive() -> Any:
            if incoming:
                return incoming.pop(0)
            # Of a client that had gone before, nobody could say what it is answered.
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                answered.set()

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/mcp",
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
        }
        source: Any = receive
        if directly:
            source = await self.endpoint.answer_plain(scope, receive, send)
        if source is not None:
            await self.app(scope, source, send)
        return neutral(sent), source is None


def neutral(sent: list[Any]) -> Any:
    """Return an answer without what differs from one call to the next."""
    start, *rest = sent
    text = b"".join(message.get("body", b"") for message in rest)
    headers = dict(start["headers"])
    kind = headers.get(b"content-type", b"").partition(b";")[0]
    content: Any = text
    if kind == b"text/event-stream":
        lines = text.decode().splitlines()
        content = [result_of(line[6:]) for line in lines if line.startswith("data: ")]
    else:
        assert int(headers.pop(b"content-length", 0)) == len(text)
        if kind == b"application/json" and text:
            content = result_of(text)
    return start["status"], headers, content


def result_of(text: str | bytes) -> Any:
    message = json.loads(text)
    if isinstance(message, dict) and "structuredContent" in message.get("result", {}):
        result = message["result"]
        (shown,) = result["content"]
        shown["text"] = varying_left_out(json.loads(shown["text"]))
        result["structuredContent"] = varying_left_out(result["structuredContent"])
    return message


def varying_left_out(envelope: Any) -> Any:
    assert envelope.pop("duration_ms") >= 0
    if envelope["session_id"] is not None:
        envelope["session_id"] = "some"
    return envelope
