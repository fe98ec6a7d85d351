"""`nexus serve --server granian`: all channels, and an end in order."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.mcp_sdk import connect

if TYPE_CHECKING:
    from tests.proofs.conftest import Server

pytestmark = pytest.mark.slow

SERVICE = """\
import asyncio

from kaizen_nexus import Nexus, deploy_multi_channel


async def answer(query: str, seconds: float = 0.0) -> str:
    await asyncio.sleep(seconds)
    return query


def remember(fact: str, context: dict | None = None, session=None) -> list:
    facts = [*(context or {}).get("facts", []), fact]
    if session is not None:
        session.update_state({"facts": facts})
    return facts


async def count(numbers: int):
    for number in range(numbers):
        yield number
        await asyncio.sleep(0.01)


app = Nexus(shutdown_grace=5)
for agent in (answer, remember, count):
    deploy_multi_channel(agent, app, agent.__name__)
"""


@pytest.fixture
def granian(serve: Callable[..., Server]) -> Callable[..., Server]:
    pytest.importorskip("granian", reason="the extra granian is not installed")
    return lambda *options: serve(SERVICE, "--server", "granian", *options)


def post(server: Server, path: str, body: Any, session: str | None = None) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json"}
    if session is not None:
        headers["X-Session-ID"] = session
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as client:
        client.request("POST", path, json.dumps(body), headers)
        answer = client.getresponse()
        return answer.status, answer.read()


def running(server: Server) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as client:
        client.request("GET", "/health/ready")
        count: int = json.loads(client.getresponse().read())["executions_in_progress"]
        return count


async def call(url: str) -> Any:
    async with connect(url) as client:
        return await client.call_tool("answer", {"query": "hello"})


def test_every_channel_answers(granian: Callable[..., Server]) -> None:
    server = granian("--mcp-port", "0")
    status, text = post(server, "/api/workflows/answer/execute", {"query": "hello"})
    assert (status, json.loads(text)["result"]) == (200, "hello")

    program = [sys.executable, "-m", "kaizen_nexus", "run", "--url", server.url]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*program, "answer", "--query", "hello"],
        env=environ,
        capture_output=True,
        check=False,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr

    status, text = post(server, "/api/workflows/count/stream", {"numbers": 3})
    assert status == 200
    assert [text.count(b"event: chunk\n"), text.count(b"event: result\n")] == [3, 1]

    status, text = post(server, "/api/workflows/remember/execute", {"fact": "a"}, "new")
    session = json.loads(text)["session_id"]
    status, text = post(server, "/api/workflows/remember/execute", {"fact": "b"}, session)
    assert (status, json.loads(text)["result"]) == (200, ["a", "b"])

    mcp_port = server.log[0].rpartition(" ")[2].strip()
    for port in (str(server.port), mcp_port):
        called = asyncio.run(call(f"http://127.0.0.1:{port}/mcp"))
        assert not called["isError"]
        assert "hello" in str(called["content"])
    assert server.stop(timeout=10) == 0, "".join(server.log)


def test_what_runs_is_answered_and_what_never_ends_is_given_up(
    granian: Callable[..., Server],
) -> None:
    server = granian("--grace", "1.5")
    with ThreadPoolExecutor() as pool:
        short, stream, endless = [
            pool.submit(post, server, path, body)
            for path, body in (
                ("/api/workflows/answer/execute", {"query": "hello", "seconds": 1}),
                ("/api/workflows/count/stream", {"numbers": 100_000}),
                ("/api/workflows/answer/execute", {"query": "hello", "seconds": 600}),
            )
        ]
        while running(server) < 3:
            pass
        started = time.monotonic()
        assert server.stop(signal.SIGTERM, timeout=10) == 0, "".join(server.log)
        assert time.monotonic() - started < 2.5
        status, text = short.result()
        assert (status, json.loads(text)["result"]) == (200, "hello")
        assert b"shutting" in stream.result()[1].rpartition(b"event: ")[2]
        assert endless.exception() is not None or endless.result()[0] >= 499
    assert "requests did not finish in time" in "".join(server.log)


def test_more_than_one_worker_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kaizen_nexus", "serve", "service", "--workers", "2"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=False,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert "sessions are not shared between processes yet" in " ".join(done.stderr.split())
