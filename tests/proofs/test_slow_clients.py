"""Clients that take their time, and many of them."""

from __future__ import annotations

import contextlib
import http.client
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kaizen_nexus import Nexus, deploy_multi_channel
from kaizen_nexus.http.server.limits import HttpLimits
from kaizen_nexus.http.server.serving import HttpServer, listen

pytestmark = pytest.mark.slow

HEAD = b"POST /api/workflows/echo/execute HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATIENCE = 20

SERVICE = """\
from kaizen_nexus import Nexus, deploy_multi_channel

def echo(query: str = "") -> str:
    return query

app = Nexus()
deploy_multi_channel(echo, app, "echo")
"""


def echo(query: str = "") -> str:
    """Repeat the query."""
    return query


@pytest.fixture
def listening() -> Iterator[Callable[..., int]]:
    """Give a test ``listening(limits)``, which serves an app and returns the port."""
    servers: list[HttpServer] = []
    apps: list[Nexus] = []

    def start(**limits: Any) -> int:
        app = Nexus()
        deploy_multi_channel(echo, app, "echo")
        sock = listen("127.0.0.1", 0, "port")
        port = int(sock.getsockname()[1])
        server = HttpServer(app, [sock], 1, lambda: None, HttpLimits(**limits), lane=app._lane)
        server.start()
        servers.append(server)
        apps.append(app)
        return port

    yield start
    for server, app in zip(servers, apps, strict=True):
        server.stop()
        app.close()


def connect(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def rest_of(client: socket.socket) -> bytes:
    """Return what comes until the server hangs up."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(65536):
            received += data
    return received


def assert_alive(client: socket.socket) -> None:
    """Read the answer to `GET`."""
    received = b""
    while not received.endswith(b'{"status":"alive"}'):
        data = client.recv(65536)
        assert data, received
        received += data


def trickle(client: socket.socket, message: bytes, interval: float) -> float:
    """Send a byte at a time until the server hangs up; return the seconds that took."""
    began = time.monotonic()
    client.settimeout(interval)
    for byte in message:
        with contextlib.suppress(TimeoutError):
            try:
                client.sendall(bytes([byte]))
                if client.recv(1, socket.MSG_PEEK) is not None:
                    break
            except ConnectionError:
                break
    client.settimeout(PATIENCE)
    return time.monotonic() - began


def test_a_head_that_trickles_is_closed_when_its_time_is_up(listening: Any) -> None:
    with connect(listening(head_timeout=0.5)) as client:
        took = trickle(client, HEAD + b"X-A: " + b"b" * 1000, 0.05)
        answer = rest_of(client)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert 0.4 < took < PATIENCE / 2


@pytest.mark.parametrize("message", [b"", b"\r\n"])
def test_a_connection_that_asks_for_nothing_is_closed(listening: Any, message: bytes) -> None:
    with connect(listening(head_timeout=0.2)) as client:
        client.sendall(message)
        assert rest_of(client) == b""


def test_blank_lines_do_not_prolong_it(listening: Any) -> None:
    with connect(listening(head_timeout=0.5, keep_alive=60)) as client:
        client.sendall(GET)
        assert_alive(client)
        assert trickle(client, b"\r\n" * 1000, 0.05) < PATIENCE / 2
        assert rest_of(client) == b""


def test_a_connection_that_is_kept_alive_is_closed_some_day(listening: Any) -> None:
    with connect(listening(keep_alive=0)) as client:
        client.sendall(GET)
        answer = rest_of(client)
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_each_request_lets_it_live_as_long_again(listening: Any) -> None:
    patience = 0.3
    with connect(listening(keep_alive=patience)) as client:
        begin = last = time.monotonic()
        while last < begin + patience / 2:
            client.sendall(GET)
            assert_alive(client)
            last = time.monotonic()
        assert rest_of(client) == b""
        assert time.monotonic() - last > 0.9 * patience


@pytest.mark.parametrize(
    "body", [b"Content-Length: 9\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"]
)
def test_a_body_that_stops_coming_is_closed(listening: Any, body: bytes) -> None:
    with connect(listening(body_interval=0.2)) as client:
        client.sendall(HEAD + body)
        answer = rest_of(client)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_body_that_trickles_is_closed(listening: Any) -> None:
    with connect(listening(body_interval=0.3, body_progress=100)) as client:
        client.sendall(HEAD + b"Content-Length: 4000\r\n\r\n")
        assert trickle(client, b" " * 4000, 0.05) < PATIENCE / 2
        assert rest_of(client).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_makes_progress_is_not(listening: Any) -> None:
    with connect(listening(body_interval=0.2, body_progress=1)) as client:
        client.sendall(HEAD + b"Connection: close\r\nContent-Length: 12\r\n\r\n")
        client.settimeout(0.05)
        for byte in b'{"query":""}':
            client.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                client.recv(1, socket.MSG_PEEK)
        client.settimeout(PATIENCE)
        assert rest_of(client).startswith(b"HTTP/1.1 200 ")


def test_whoever_waits_longest_makes_room(listening: Any) -> None:
    port = listening(connections=20)
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(port)) for _ in range(30)]
        last = idle[-1]
        last.sendall(GET)
        assert_alive(last)
        assert rest_of(idle[0]) == b""


def test_nobody_makes_room_who_is_being_answered() -> None:
    gate, asked = threading.Event(), threading.Semaphore(0)

    def wait() -> str:
        asked.release()
        gate.wait(PATIENCE)
        return "done"

    app = Nexus()
    deploy_multi_channel(wait, app, "wait")
    sock = listen("127.0.0.1", 0, "port")
    server = HttpServer(app, [sock], 1, lambda: None, HttpLimits(connections=2), lane=app._lane)
    port = sock.getsockname()[1]
    server.start()
    try:
        with contextlib.ExitStack() as stack:
            asking = [stack.enter_context(connect(port)) for _ in range(2)]
            for client in asking:
                request = HEAD.replace(b"echo", b"wait") + b"Connection: close\r\n\r\n"
                client.sendall(request)
                assert asked.acquire(timeout=PATIENCE)
            with connect(port) as further:
                assert rest_of(further).startswith(b"HTTP/1.1 503 ")
            gate.set()
            for client in asking:
                assert rest_of(client).startswith(b"HTTP/1.1 200 ")
    finally:
        gate.set()
        server.stop()
        app.close()


def percentile_99(port: int, requests: int) -> float:
    """Return the p99 in seconds of that many requests, one after the other."""
    times = []
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    for number in range(requests):
        began = time.perf_counter()
        client.request("POST", "/api/workflows/echo/execute", f'{{"query": "{number}"}}')
        answer = client.getresponse()
        body = answer.read()
        times.append(time.perf_counter() - began)
        assert answer.status == 200, body
    client.close()
    return sorted(times)[int(requests * 0.99)]


def test_slow_clients_cost_the_others_nothing(serve: Callable[..., Any], full: bool) -> None:
    """Each of them sends a byte a second of a head that it never ends."""
    server = serve(SERVICE)
    slow, requests = (1000, 4000) if full else (200, 300)
    percentile_99(server.port, requests // 4)
    alone = percentile_99(server.port, requests)
    with selectors.DefaultSelector() as hung_up, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server.port)) for _ in range(slow)]
        for client in clients:
            client.sendall(HEAD)
            hung_up.register(client, selectors.EVENT_READ)
        stop = threading.Event()

        def dribble() -> None:
            while not stop.wait(1):
                for client in clients:
                    with contextlib.suppress(OSError):
                        client.sendall(b"X")

        dribbling = threading.Thread(target=dribble)
        dribbling.start()
        try:
            beside = percentile_99(server.port, requests)
            if full:
                assert beside < 2 * alone, (beside, alone)
                deadline = time.monotonic() + PATIENCE
                closed: set[int] = set()
                while len(closed) < slow and time.monotonic() < deadline:
                    for key, _ in hung_up.select(1):
                        closed.add(key.fd)
                        hung_up.unregister(key.fileobj)
                assert len(closed) == slow
        finally:
            stop.set()
            dribbling.join()
    assert server.stop() == 0
