"""Tools that stream: progress notifications over HTTP and over pipes, to clients of each era."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anyio import to_thread

import kaizen_nexus
from kaizen_nexus import Nexus, deploy_multi_channel
from kaizen_nexus.channels.mcp.progress import MAX_MESSAGE, reporter
from tests.integration.mcp_sdk import StdioCommand, connect

pytestmark = pytest.mark.anyio

PATIENCE = 30
LEGACY = "2025-11-25"
HEADERS = {
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": LEGACY,
}
SERVER = """
from collections.abc import Iterator
from kaizen_nexus import Nexus, deploy_multi_channel

def count(to: int) -> Iterator[int]:
    yield from range(1, to + 1)

app = Nexus()
deploy_multi_channel(count, app, "count")
app.run_stdio()
"""


class Telling:
    """An agent that says one word each time it is told to go on, and counts its ends."""

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.ended = threading.Event()
        self.ends = 0

    async def run(self, words: list[Any]) -> AsyncIterator[Any]:
        try:
            for word in words:
                yield word
                await to_thread.run_sync(self.go.acquire, True, PATIENCE, abandon_on_cancel=True)
        finally:
            self.ends += 1
            self.ended.set()


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


def plain(text: str) -> str:
    return text


@pytest.fixture(scope="module")
def app() -> Iterator[Nexus]:
    app = Nexus(api_port=0, shutdown_grace=1)
    deploy_multi_channel(plain, app, "plain")
    app.start(blocking=False)
    yield app
    app.close()


@pytest.fixture
def telling(app: Nexus) -> Iterator[Telling]:
    agent = Telling()
    deploy_multi_channel(agent, app, "tell")
    yield agent
    agent.go.release(1000)


def call(name: str, arguments: Any, progress: Any = 7) -> dict[str, Any]:
    meta = {} if progress is None else {"_meta": {"progressToken": progress}}
    params = {"name": name, "arguments": arguments, **meta}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def messages(answer: httpx2.Response) -> Iterator[dict[str, Any]]:
    """Yield the messages of an event stream, as soon as each has come."""
    for line in answer.iter_lines():
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


async def test_a_client_is_told_of_each_chunk_before_the_next(
    app: Nexus, telling: Telling, handshake: bool
) -> None:
    told: list[tuple[float, str]] = []

    async def progress(step: float, message: str) -> None:
        told.append((step, message))
        telling.go.release()

    async with connect(f"{app.url}/mcp", handshake=handshake) as client:
        words = ["one", {"two": 2}, "three"]
        # The agent goes on when it was told to, which happens when the client has heard of it.
        result = await client.call_tool("tell", {"words": words}, progress)
    assert result["structuredContent"]["result"] == words
    assert told == [(1, "one"), (2, '{"two":2}'), (3, "three")]
    assert telling.ends == 1


async def test_over_pipes(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    root = str(Path(kaizen_nexus.__file__).parents[1])
    command = StdioCommand(
        sys.executable, ["server.py"], env={"PYTHONPATH": root}, cwd=str(tmp_path)
    )
    told: list[tuple[float, str]] = []

    async def progress(step: float, message: str) -> None:
        told.append((step, message))

    async with connect(command) as client:
        result = await client.call_tool("count", {"to": 3}, progress)
        again = await client.call_tool("count", {"to": 3})
    assert result["structuredContent"]["result"] == [1, 2, 3]
    assert again["structuredContent"]["result"] == [1, 2, 3]
    assert told == [(1, "1"), (2, "2"), (3, "3")]


async def test_without_a_token_the_answer_is_json(app: Nexus, telling: Telling) -> None:
    telling.go.release(1000)
    for body, headers in (
        (call("tell", {"words": ["a"]}, progress=None), HEADERS),
        (call("tell", {"words": ["a"]}), {**HEADERS, "Accept": "application/json"}),
        (call("tell", {"words": ["a"]}, progress=True), HEADERS),
        (call("plain", {"text": "a"}), HEADERS),
    ):
        answer = httpx2.post(f"{app.url}/mcp", json=body, headers=headers, timeout=PATIENCE)
        assert answer.headers["content-type"] == "application/json"
    assert answer.json()["result"]["structuredContent"]["result"] == "a"


def test_events_on_the_wire(app: Nexus, telling: Telling) -> None:
    with httpx2.stream(
        "POST",
        f"{app.url}/mcp",
        json=call("tell", {"words": ["a", "b"]}),
        headers=HEADERS,
        timeout=PATIENCE,
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        received = messages(answer)
        for step, word in enumerate("ab", 1):
            message = next(received)
            assert message["method"] == "notifications/progress"
            assert message["params"] == {"progressToken": 7, "progress": step, "message": word}
            telling.go.release()
        (last,) = received
    assert last["id"] == 1
    assert last["result"]["structuredContent"]["result"] == "ab"


def test_a_client_that_goes_away_stops_the_agent(app: Nexus, telling: Telling) -> None:
    body = json.dumps(call("tell", {"words": ["a", "b", "c"]})).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    with socket.create_connection(("127.0.0.1", app.api_port), PATIENCE) as client:
        client.sendall(
            f"POST /mcp HTTP/1.1\r\nHost: localhost\r\n{head}Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        received = b""
        while b"notifications/progress" not in received:
            received += client.recv(65_536)
    assert telling.ended.wait(PATIENCE)
    assert telling.ends == 1


async def test_a_chunk_is_shown_as_far_as_it_fits() -> None:
    told: list[str] = []

    async def send(notification: bytes) -> None:
        told.append(json.loads(notification)["params"]["message"])

    emit = reporter("token", send)
    await emit(json.dumps("é" * MAX_MESSAGE).encode())
    await emit(json.dumps("x" * (MAX_MESSAGE + 1)).encode())
    assert [len(message) for message in told] == [MAX_MESSAGE, MAX_MESSAGE + 1]
    assert told[1].endswith("x…")
