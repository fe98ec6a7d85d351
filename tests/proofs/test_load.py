"""As much as one process answers: every answer is the right one, and every one is counted."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.proofs.observing import eventually, metrics

if TYPE_CHECKING:
    from tests.proofs.conftest import Server

pytestmark = pytest.mark.slow

SERVICE = """\
from kaizen_nexus import Nexus, deploy_multi_channel


async def repeat(query: str, times: int = 1) -> str:
    return " ".join([query] * times)


def repeat_in_a_thread(query: str) -> str:
    return query


def fail(query: str) -> str:
    raise ValueError(query)


app = Nexus()
for agent in (repeat, repeat_in_a_thread, fail):
    deploy_multi_channel(agent, app, agent.__name__)
"""
SCRIPT = """
local number = 0
local names = {"repeat", "repeat_in_a_thread"}

function request()
  number = number + 1
  local path = "/api/workflows/" .. names[number % 2 + 1] .. "/execute"
  return wrk.format("POST", path, nil, '{"query":"number ' .. number .. '"}')
end

function done(summary)
  local e = summary.errors
  io.write(string.format("\\n%d %d %d\\n",
    summary.requests, e.status, e.connect + e.read + e.write + e.timeout))
end
"""
CONNECTIONS = 32
SHORT, LONG = 1, 60
"""Seconds."""
REQUESTS = 60
"""Of each connection that counts its answers."""


def test_under_load_every_request_succeeds(
    serve: Callable[..., Server], full: bool, tmp_path: Path
) -> None:
    wrk = shutil.which("wrk")
    if wrk is None:
        pytest.skip("wrk is not installed: apt-get install wrk")
    server = serve(SERVICE)
    script = tmp_path / "requests.lua"
    script.write_text(SCRIPT)
    seconds = LONG if full else SHORT
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), server.url]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    answered, refused, broken = map(int, completed.stdout.splitlines()[-1].split())
    assert (refused, broken) == (0, 0), completed.stdout
    assert answered > 100
    eventually(lambda: metrics(server.url)["executor"]["pending"], lambda n: n == 0, 10)
    recorded = metrics(server.url)["operations"]["api"]
    # wrk does not wait for the last answer on each connection.
    assert answered <= recorded["count"] <= answered + CONNECTIONS


def test_metrics_count_exactly_what_was_answered(serve: Callable[..., Server]) -> None:
    server = serve(SERVICE)
    answers = asyncio.run(ask_all(server.port))
    # The agent that fails is not called for ever: after some failures it is quarantined.
    assert answers.keys() == {200, 422, 500, 503}
    numbers = metrics(server.url)
    recorded = numbers["operations"]["api"]
    assert recorded["count"] == answers.total() == CONNECTIONS * REQUESTS
    assert recorded["failures"] == answers.total() - answers[200]
    by_workflow = {each["workflow"]: each for each in numbers["workflows"]["series"]}
    assert sum(each["count"] for each in by_workflow.values()) == recorded["count"]
    assert (
        by_workflow["fail"]["failures"]
        == by_workflow["fail"]["count"]
        == answers[500] + answers[503]
    )
    assert all(each["in_flight"] == 0 for each in by_workflow.values())


def test_bodies_that_arrive_together_are_kept_apart(serve: Callable[..., Server]) -> None:
    server = serve(SERVICE)

    async def prove() -> None:
        # Each is received in many pieces, between those of the others.
        await asyncio.gather(*(repeated(server.port, chr(33 + n) * 300_000) for n in range(32)))

    asyncio.run(prove())


async def repeated(port: int, query: str) -> None:
    """Have an agent repeat a query, and check that this is what it repeats."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps({"query": query}).encode()
    path = b"/api/workflows/repeat_in_a_thread/execute"
    writer.write(b"POST %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" % path)
    writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    answer = await reader.read()
    writer.close()
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), answer[:500]
    assert json.loads(content)["result"] == query


async def ask_all(port: int) -> Counter[int]:
    """Ask over all connections at once, and count the answers by their status."""
    totals: Counter[int] = Counter()
    for counted in await asyncio.gather(*(ask(port, first) for first in range(CONNECTIONS))):
        totals.update(counted)
    return totals


async def ask(port: int, first: int) -> Counter[int]:
    """Ask over one connection, and check each answer."""
    counted: Counter[int] = Counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for i in range(first, first + REQUESTS):
        name, inputs, statuses, expected = question(i)
        body = json.dumps(inputs)
        head = f"POST /api/workflows/{name}/execute HTTP/1.1\r\nHost: localhost\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(answer.partition("content-length: ")[2].partition("\r\n")[0])
        content = json.loads(await reader.readexactly(length))
        status = int(answer.split()[1])
        assert status in statuses, content
        assert content.get("result") == expected
        counted[status] += 1
    writer.close()
    await writer.wait_closed()
    return counted


def question(i: int) -> tuple[str, dict[str, Any], set[int], str | None]:
    """Return which agent to ask, for what, and with which statuses and result it may answer."""
    query = f"number {i}"
    return (
        ("repeat", {"query": query, "times": 2}, {200}, f"{query} {query}"),
        ("repeat_in_a_thread", {"query": query}, {200}, query),
        ("repeat", {"query": i}, {422}, None),
        ("fail", {"query": query}, {500, 503}, None),
    )[i % 4]
