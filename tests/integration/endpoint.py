"""An MCP endpoint that is asked everything three times: as it is, by its lane, and the SDK's."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import msgspec
from starlette.applications import Starlette
from starlette.routing import Route

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.channels.mcp.http import McpEndpoint
from kaizen_nexus.channels.mcp.lane import McpLane
from kaizen_nexus.channels.mcp.messages import NotAMessageError, read
from kaizen_nexus.http.problems import EXCEPTION_HANDLERS
from kaizen_nexus.http.server.lane import LaneRequest
from kaizen_nexus.http.strict_json import StrictJsonError
from kaizen_nexus.runtime.registry import Registry
from kaizen_nexus.runtime.service import Runtime
from tests.integration.oracle import Oracle, http_manager

__all__ = ["MAX_BODY", "Served", "echo"]

MAX_BODY = 20_000
LOCAL_ERRORS = {-32700, -32600}


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
    """An endpoint on an event loop of its own, with the SDK's server beside it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        # Answers are compared, also of the agent that always fails.
        self.runtime = Runtime(registry=Registry(quarantine=None))
        for agent in (echo, fail, mirror, stream):
            self.runtime.registry.deploy(
                as_workflow(agent, agent.__name__), ("mcp",), prefix="/", sessions=False
            )
        self.endpoint = McpEndpoint(self.runtime, MAX_BODY)
        self.lane = McpLane(self.endpoint, "/mcp")
        self.app = Starlette(
            routes=[Route("/mcp", self.endpoint)], exception_handlers=EXCEPTION_HANDLERS
        )
        self.oracle = http_manager(Oracle(self.runtime), MAX_BODY)
        self.loop.run_until_complete(self._begin())

    async def _begin(self) -> None:
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._task = asyncio.create_task(self._run_oracle())
        await self._ready.wait()
        await self.endpoint.start()

    async def _run_oracle(self) -> None:
        async with self.oracle.run():
            self._ready.set()
            await self._stop.wait()

    async def _end(self) -> None:
        await self.endpoint.stop()
        self._stop.set()
        await self._task

    def close(self) -> None:
        self.loop.run_until_complete(self._end())
        self.loop.close()
        self.runtime.sessions.close()

    def compare(
        self, body: bytes, headers: list[tuple[str, str]], chunks: int = 1
    ) -> tuple[Any, bool]:
        """Return what is answered, and whether the lane answers it: in the same way, if it does.

        The SDK's server answers the same, but where this one is stricter on purpose.
        """
        fields = [(name.lower().encode(), value.encode()) for name, value in headers]
        ours = self.loop.run_until_complete(self._ask(self.app, body, fields, chunks))
        direct = self.loop.run_until_complete(self._ask_lane(body, fields))
        if direct is not None:
            assert direct == ours
        if _is_message(body):
            theirs = self.loop.run_until_complete(
                self._ask(self.oracle.handle_request, body, fields, chunks)
            )
            assert comparable(ours) == comparable(theirs), (ours, theirs)
        return ours, direct is not None

    async def _ask_lane(self, body: bytes, fields: list[tuple[bytes, bytes]]) -> Any:
        if len(dict(fields)) < len(fields):
            return None
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def respond(status: int, headers: Any, content: bytes) -> None:
            length = (b"content-length", b"%d" % len(content))
            start = {"status": status, "headers": [*headers, length]}
            answered.set_result(neutral([start, {"body": content}]))

        run = self.lane.begin(LaneRequest("POST", "/mcp", dict(fields), body), respond)
        assert run is not None or not answered.done()
        return None if run is None else await answered

    async def _ask(
        self, app: Any, body: bytes, fields: list[tuple[bytes, bytes]], chunks: int
    ) -> Any:
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
            "headers": fields,
        }
        await app(scope, receive, send)
        return neutral(sent)


def _is_message(body: bytes) -> bool:
    try:
        read(body)
    except (StrictJsonError, NotAMessageError):
        return False  # this server is stricter, and its own tests say how
    return True


def comparable(answer: Any) -> Any:
    """Return what of an answer does not depend on who wrote it: an error's text does."""
    status, headers, content = answer
    kind = headers.get(b"content-type", b"")
    if status == 406 or not isinstance(content, dict):
        return status
    if "error" in content:
        error = content["error"]
        if error["code"] in LOCAL_ERRORS or content.get("id") is None:
            return status, kind, error["code"]
        return status, kind, content["id"], error["code"], error.get("data") or None
    return status, kind, content


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
