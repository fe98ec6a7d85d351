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
from kaizen_nexus.channels.problems import EXCEPTION_HANDLERS
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

        async def receive() -> Any:
            return incoming.pop(0) if incoming else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

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
    is_json = headers.get(b"content-type") == b"application/json" and text != b""
    content = json.loads(text) if is_json else text
    if isinstance(content, dict) and "structuredContent" in content.get("result", {}):
        result = content["result"]
        (shown,) = result["content"]
        shown["text"] = varying_left_out(json.loads(shown["text"]))
        result["structuredContent"] = varying_left_out(result["structuredContent"])
    assert int(headers.pop(b"content-length", 0)) == len(text)
    return start["status"], headers, content


def varying_left_out(envelope: Any) -> Any:
    assert envelope.pop("duration_ms") >= 0
    if envelope["session_id"] is not None:
        envelope["session_id"] = "some"
    return envelope
