"""Clients that go away, in every phase of a request: nothing of them remains."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.proofs.observing import eventually, held, metrics, settles

if TYPE_CHECKING:
    from tests.proofs.conftest import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc"),
]

SERVICE = """\
import asyncio
import threading
from collections.abc import AsyncIterator

from kaizen_nexus import Nexus, deploy_multi_channel

ended = {"waiting": 0, "streaming": 0}


async def wait(seconds: float) -> str:
    try:
        await asyncio.sleep(seconds)
    finally:
        ended["waiting"] += 1
    return "done"


async def drip(chunks: int) -> AsyncIterator[str]:
    try:
        for _ in range(chunks):
            yield "x" * 10_000
            await asyncio.sleep(0.001)
    finally:
        ended["streaming"] += 1


def large(size: int) -> str:
    return "x" * size


async def counts() -> dict[str, int]:
    return ended


app = Nexus(max_threads=2)
for agent in (wait, drip, large, counts):
    deploy_multi_channel(agent, app, agent.__name__)
"""
SHORT, LONG = 200, 1_000
AT_A_TIME = 20
"""Clients that are connected at the same time."""
RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: close with a reset, as a process that is killed may."""


def request(name: str, verb: str = "execute", **inputs: object) -> bytes:
    body = json.dumps(inputs).encode()
    head = f"POST /api/workflows/{name}/{verb} HTTP/1.1\r\nHost: localhost\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def in_the_head(client: socket.socket) -> None:
    client.sendall(request("wait", seconds=0)[:50])


def in_the_body(client: socket.socket) -> None:
    client.sendall(request("large", size=10)[:-3])


def while_waiting(client: socket.socket) -> None:
    client.sendall(request("wait", seconds=60))


def while_waiting_for_a_thread(client: socket.socket) -> None:
    client.sendall(request("large", size=100_000))


def in_the_answer(client: socket.socket) -> None:
    client.sendall(request("large", size=1_000_000))
    client.recv(100)


def in_the_stream(client: socket.socket) -> None:
    client.sendall(request("drip", "stream", chunks=1_000_000))
    client.recv(100)


def before_anything(_: socket.socket) -> None:
    pass


PHASES: tuple[Callable[[socket.socket], None], ...] = (
    before_anything,
    in_the_head,
    in_the_body,
    while_waiting,
    while_waiting_for_a_thread,
    in_the_answer,
    in_the_stream,
)


def test_aborted_requests_leave_nothing_behind(serve: Callable[..., Server], full: bool) -> None:
    server = serve(SERVICE)
    abort_all(server.port, len(PHASES) * 3)  # threads and imports that stay are there after this
    eventually(lambda: held(server.pid, server.url).pending, lambda pending: pending == 0, 10)
    baseline = held(server.pid, server.url)
    begun = {name: began(server, name) for name in ("wait", "drip")}
    abort_all(server.port, LONG if full else SHORT)
    settles(server.pid, server.url, baseline)
    assert baseline.pending == baseline.in_flight == 0
    # Every run that had begun was ended, and its `finally` ran once.
    ended = answer(server, "counts")
    assert ended == {"waiting": began(server, "wait"), "streaming": began(server, "drip")}
    assert all(began(server, name) > before for name, before in begun.items())
    assert "Traceback" not in "".join(server.log)


def abort_all(port: int, number: int) -> None:
    """Let so many clients begin a request and go away, half of them with a reset."""
    for first in range(0, number, AT_A_TIME):
        with contextlib.ExitStack() as stack:
            for i in range(first, min(first + AT_A_TIME, number)):
                client = socket.create_connection(("127.0.0.1", port), timeout=10)
                stack.callback(client.close)
                if i % 2:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                PHASES[i % len(PHASES)](client)


def began(server: Server, workflow: str) -> int:
    """Return how many runs of a workflow have been recorded, all of which have ended."""
    series = metrics(server.url)["workflows"]["series"]
    return sum(each["count"] for each in series if each["workflow"] == workflow)


def answer(server: Server, workflow: str) -> object:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(request(workflow).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        received = b""
        while data := client.recv(65_536):
            received += data
    return json.loads(received.partition(b"\r\n\r\n")[2])["result"]
