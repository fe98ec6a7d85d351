"""A server that is told to stop: what it accepted is answered, and it ends in time."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import signal
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.proofs.conftest import Server

pytestmark = pytest.mark.slow

SERVICE = """\
import asyncio
import time

from kaizen_nexus import Nexus, deploy_multi_channel


async def answer(query: str, seconds: float = 0.0) -> list[str]:
    await asyncio.sleep(seconds)
    return [query] * 3


def hang_in_a_thread() -> None:
    time.sleep(600)


async def resist() -> None:
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            pass


async def block() -> None:
    time.sleep(600)


async def count(numbers: int):
    for number in range(numbers):
        yield number
        await asyncio.sleep(0.05)


app = Nexus(shutdown_grace=5)
for agent in (answer, hang_in_a_thread, resist, block, count):
    deploy_multi_channel(agent, app, agent.__name__)
"""
EVENT = re.compile(rb"event: (\w+)\ndata: (.*)\n")
TOLD = "Stopping: running requests may finish.\n"


def request(query: str, seconds: float = 0.0, agent: str = "answer") -> bytes:
    inputs = {"query": query, "seconds": seconds} if agent == "answer" else {}
    body = json.dumps(inputs).encode()
    return (
        f"POST /api/workflows/{agent}/execute HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Traffic:
    """Clients that ask until they are refused, and what became of their requests."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answered = 0
        self.last_answers = 0
        self.refused = 0
        self.wrong: list[str] = []
        self.told = False

    async def ask_again(self, name: str, interval: float, seconds: float, keep: bool) -> None:
        """Send one request after the other, over one connection as long as it is there."""
        number, connection = 0, None
        while True:
            if connection is None:
                try:
                    connection = await asyncio.open_connection("127.0.0.1", self.port)
                except ConnectionRefusedError:
                    assert self.told
                    self.refused += 1
                    return
            number += 1
            close = await self._ask(connection, f"{name}-{number}", seconds)
            if close or not keep:
                connection[1].close()
                connection = None
            await asyncio.sleep(interval)

    async def _ask(
        self,
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        query: str,
        seconds: float,
    ) -> bool:
        reader, writer = connection
        writer.write(request(query, seconds))
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            body = json.loads(await reader.readexactly(length))
        except (OSError, EOFError) as error:
            self.wrong.append(f"{query}: {error!r}")
            return True
        if body.get("result") != [query] * 3:
            self.wrong.append(f"{query}: {head} {body}")
        self.answered += 1
        closing = "connection: close" in head
        self.last_answers += closing
        return closing

    async def listen(self) -> None:
        """Open one stream after the other, until streams are refused."""
        while True:
            try:
                events = await stream(self.port, 10)
            except ConnectionRefusedError:
                assert self.told
                self.refused += 1
                return
            except OSError as error:
                self.wrong.append(f"stream: {error!r}")
                continue
            if events is None:  # 503: the server is stopping
                assert self.told
                continue
            self.answered += 1
            if [kind for kind, _ in events] != [b"chunk"] * 10 + [b"result"]:
                self.wrong.append(f"stream: {events}")


async def stream(port: int, numbers: int) -> list[tuple[bytes, bytes]] | None:
    """Return the events of a stream, or None if it was answered 503."""
    body = json.dumps({"numbers": numbers}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(
            b"POST /api/workflows/count/stream HTTP/1.1\r\nHost: localhost\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        answer = await reader.read()
    finally:
        writer.close()
    return None if answer.startswith(b"HTTP/1.1 503 ") else EVENT.findall(answer)


def subscribe(port: int) -> socket.socket:
    """Ask to be told over MCP of changes of the tools, and be told that this is so."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "proof", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"notifications": {"toolsListChanged": True}, "_meta": meta}
    message = {"jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen", "params": params}
    body = json.dumps(message).encode()
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
        b"MCP-Protocol-Version: 2026-07-28\r\nMCP-Method: subscriptions/listen\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body) + body
    )
    answer = b""
    while b"subscriptions/acknowledged" not in answer:
        piece = connection.recv(65_536)
        assert piece, answer
        answer += piece
    return connection


def test_who_listens_for_changes_of_the_tools_is_bid_farewell(
    serve: Callable[..., Server],
) -> None:
    server = serve(SERVICE)
    with subscribe(server.port) as connection:
        server.process.send_signal(signal.SIGTERM)
        last = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert b'"id":7,"result":' in last
    assert last.endswith(b"\r\n0\r\n\r\n")
    assert server.process.wait(10) == 0


def call_tool(port: int, name: str, **members: Any) -> socket.socket:
    """Call a tool over MCP."""
    params = {"name": name} | members
    message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
    body = json.dumps(message).encode()
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(
        b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
        b"Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
        b"Content-Length: %d\r\n\r\n" % (port, len(body)) + body
    )
    return connection


def test_a_tool_that_would_not_end_has_not_failed(serve: Callable[..., Server]) -> None:
    server = serve(SERVICE, "--grace", "0.5")
    get(server, "/api/workflows/answer/info")  # the lane takes known hosts only
    arguments = {"query": "", "seconds": 600}
    with call_tool(server.port, "answer", arguments=arguments) as connection:
        while b'"executions_in_progress":1' not in get(server, "/health/ready")[1]:
            pass
        server.process.send_signal(signal.SIGTERM)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert server.process.wait(10) == 0
    assert "Traceback" not in server.whole_log()


def test_a_tool_that_streams_its_progress_is_answered_at_the_end(
    serve: Callable[..., Server],
) -> None:
    server = serve(SERVICE, "--grace", "1.5")
    members = {"arguments": {"numbers": 10_000}, "_meta": {"progressToken": 1}}
    with call_tool(server.port, "count", **members) as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        server.process.send_signal(signal.SIGTERM)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert b'"id":7,"error":' in answer
    assert answer.endswith(b"\r\n0\r\n\r\n")
    assert server.process.wait(10) == 0


def test_what_would_not_end_is_told_so(serve: Callable[..., Server]) -> None:
    server = serve(SERVICE, "--grace", "1.5")

    async def prove() -> tuple[list[tuple[bytes, bytes]] | None, bytes]:
        reading = asyncio.ensure_future(stream(server.port, 10_000))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request("", 600))
        while (
            json.loads((await asyncio.to_thread(get, server, "/health/ready"))[1])[
                "executions_in_progress"
            ]
            < 2
        ):
            pass
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        events, answer = await asyncio.gather(reading, reader.read())
        writer.close()
        assert time.monotonic() - started < 2.5
        return events, answer

    events, answer = asyncio.run(prove())
    assert events
    assert {kind for kind, _ in events[:-1]} <= {b"chunk"}
    assert events[-1][0] == b"error"
    assert json.loads(events[-1][1])["status"] == 503
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert {b"retry-after: 1", b"connection: close"} <= set(head.lower().split(b"\r\n"))
    assert json.loads(body) == json.loads(events[-1][1])
    assert server.process.wait(10) == 0
    log = server.whole_log()
    assert "requests did not finish in time" in log
    assert "Traceback" not in log


def test_whatever_was_accepted_is_answered(serve: Callable[..., Server], full: bool) -> None:
    server = serve(SERVICE)
    clients, streams, before = (40, 20, 10.0) if full else (6, 5, 1.0)

    async def prove() -> tuple[Traffic, float]:
        traffic = Traffic(server.port)
        tasks = [
            asyncio.ensure_future(traffic.ask_again(f"{kind}{number}", *settings))
            for number in range(clients)
            for kind, *settings in (
                ("kept", 0.04, 0.0, True),
                ("fresh", 0.15, 0.01, False),
                ("slow", 0.0, 0.7, True),
            )
        ]
        tasks += [asyncio.ensure_future(traffic.listen()) for _ in range(streams)]
        await asyncio.sleep(before)
        idle, writer = await asyncio.open_connection("127.0.0.1", server.port)
        traffic.told = True
        server.process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        await asyncio.wait_for(asyncio.gather(*tasks), 30)
        assert await idle.read() == b""
        writer.close()
        return traffic, time.monotonic() - started

    traffic, seconds = asyncio.run(prove())
    assert traffic.wrong == []
    assert traffic.refused == 3 * clients + streams
    assert traffic.answered > 10 * clients * before
    assert traffic.last_answers > clients
    assert seconds < 5
    assert server.process.wait(10) == 0
    assert server.log[-1] == TOLD


def test_it_ends_in_time_whatever_agents_do(serve: Callable[..., Server]) -> None:
    server = serve(SERVICE, "--grace", "0.5")
    connections = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
    for connection, agent in zip(connections, ("hang_in_a_thread", "resist"), strict=False):
        connection.sendall(request("", agent=agent))
    while json.loads(get(server, "/health/ready")[1])["executions_in_progress"] < 2:
        pass
    # From here on nothing is answered: not even asyncio can be told to stop.
    connections[2].sendall(request("", agent="block"))
    started = time.monotonic()
    assert server.stop(signal.SIGTERM, timeout=10) == 0, "".join(server.log)
    assert time.monotonic() - started < 1.5
    for connection in connections:
        connection.close()


def get(server: Server, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_while_it_drains_it_takes_requests_and_a_second_signal_ends_it_at_once(
    serve: Callable[..., Server],
) -> None:
    server = serve(SERVICE, "--drain", "60")
    assert get(server, "/health/ready")[0] == 200
    server.process.send_signal(signal.SIGTERM)
    server.wait_for(TOLD)
    while get(server, "/health/ready")[0] != 503:
        pass
    assert get(server, "/health/live")[0] == 200
    assert server.stop(signal.SIGINT, timeout=5) == 130
