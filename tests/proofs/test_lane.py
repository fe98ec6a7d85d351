"""The fast lane and the general way answer the same, over raw sockets; and the lane lets go."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaizen_nexus import Auth, Nexus, deploy_multi_channel
from kaizen_nexus.access.keyfile import create_key
from kaizen_nexus.http.server.limits import HttpLimits
from kaizen_nexus.http.server.serving import HttpServer, listen

PATIENCE = 10
LIMITS = HttpLimits(head_timeout=0.4, body_interval=0.4, linger=0.4)
LAST = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def echo(query: str, times: int = 1) -> str:
    return query * times


async def later(query: str) -> str:
    await asyncio.sleep(0.001)
    return query


def in_a_thread(query: str) -> str:
    return query


async def fail(query: str) -> str:
    raise RuntimeError(query)


class Server:
    """An app that is served, with the lane or without."""

    def __init__(self, *agents: Any, lane: bool = True, grace: float = 1, **options: Any) -> None:
        self.app = Nexus(**options)
        for agent in agents or (echo, later, in_a_thread, fail):
            deploy_multi_channel(agent, self.app, agent.__name__)
        listening = listen("127.0.0.1", 0, "port")
        self.port = int(listening.getsockname()[1])
        self.laned = 0
        own = self.app._lane if lane else None
        if own is not None:
            take, begin = own.recognise, self._count
            own.recognise = lambda *given: begin(take(*given))  # type: ignore[method-assign]
        self._server = HttpServer(self.app, [listening], grace, lambda: None, LIMITS, lane=own)
        self._server.start()
        with self.connect() as client:  # afterwards the host is familiar
            client.sendall(LAST)
            rest_of(client)

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def ask(self, *pieces: bytes) -> bytes:
        """Send bytes in pieces; return all that comes until the server hangs up."""
        with self.connect() as client:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for piece in pieces:
                    client.sendall(piece)
            return rest_of(client)

    def one_by_one(self, message: bytes) -> list[Any]:
        with self.connect() as client:
            answers = []
            for _ in range(2):
                client.sendall(message)
                answers.append(neutral(answer_on(client))[1])
        return answers

    def stop(self) -> None:
        self._server.stop()

    def close(self) -> None:
        self.stop()
        self.app.close()

    def _count(self, found: Any) -> Any:
        self.laned += found is not None
        return found


def rest_of(client: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(65536):
            received += data
    return received


def answer_on(client: socket.socket) -> bytes:
    """Return one answer, which says how long it is."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    (length,) = re.findall(rb"content-length: (\d+)", head)
    while len(body) < int(length):
        body += client.recv(65536)
    return head + b"\r\n\r\n" + body


def request(agent: str, body: object = None, *headers: bytes) -> bytes:
    text = json.dumps({"query": "a"} if body is None else body).encode()
    head = f"POST /api/workflows/{agent}/execute HTTP/1.1\r\nHost: localhost\r\n".encode()
    fields = b"".join(header + b"\r\n" for header in headers)
    return b"%b%bContent-Length: %d\r\n\r\n%b" % (head, fields, len(text), text)


def neutral(answers: bytes) -> list[Any]:
    """Return answers without what differs from one time to the next, headers in any order."""
    answers = re.sub(rb'"duration_ms":[0-9.e-]+', b'"duration_ms":0', answers)
    answers = re.sub(rb"\b[0-9a-f]{32}\b", b"some-id", answers)
    answers = re.sub(rb";t=\d+", b";t=0", answers)
    found = []
    for part in re.split(rb"(?=HTTP/1\.1 \d{3})", answers):
        head, _, body = part.partition(b"\r\n\r\n")
        status, *fields = head.split(b"\r\n")
        kept = [f for f in fields if not f.startswith((b"date:", b"content-length:"))]
        found.append((status, sorted(kept), body))
    return found


@contextlib.contextmanager
def both(*agents: Any, **options: Any) -> Iterator[tuple[Server, Server]]:
    servers = [Server(*agents, lane=lane, **options) for lane in (True, False)]
    try:
        yield servers[0], servers[1]
    finally:
        for server in servers:
            server.close()


class Twins:
    """Two servers of the same, asked at the same time."""

    def __init__(self, laned: Server, general: Server) -> None:
        self.laned = laned
        self._servers = laned, general
        self._pool = ThreadPoolExecutor(2)

    def agree_one_by_one(self, message: bytes) -> list[Any]:
        """Send a message twice, each time alone; return the answers, which are the same."""
        one, other = self._pool.map(lambda server: server.one_by_one(message), self._servers)
        assert one == other
        return one

    def agree(self, *pieces: bytes) -> list[Any]:
        answers = self._pool.map(lambda server: neutral(server.ask(*pieces)), self._servers)
        one, other = answers
        # A doubtful message is refused if those before it have been answered when it arrives; else
        # the connection is closed behind their answers.
        if len(one) != len(other):
            longer = max(one, other, key=len)
            assert b"connection: close" in longer[-1][1]
            assert b"about:blank" in longer.pop()[2]
        assert one == other
        return one


@pytest.fixture(scope="module", params=["open", "with keys and a rate limit"])
def twins(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Twins, tuple[bytes, ...]]]:
    options: dict[str, Any] = {}
    headers: tuple[bytes, ...] = ()
    if request.param != "open":
        keys = tmp_path_factory.mktemp("lane") / "keys.json"
        headers = (b"X-API-Key: " + create_key(keys, "ada", ["*"])[0].encode(),)
        options = {"auth": Auth(api_keys=keys), "rate_limit": 1_000_000}
    with both(**options) as (laned, general):
        yield Twins(laned, general), headers


CASES: dict[str, tuple[str, object, tuple[bytes, ...], bool]] = {
    "at once": ("echo", None, (), True),
    "later": ("later", None, (), True),
    "in a thread": ("in_a_thread", None, (), True),
    "with its inputs wrapped": ("echo", {"inputs": {"query": "a", "times": 3}}, (), True),
    "a large result": ("echo", {"query": "a", "times": 300_000}, (), True),
    "a new session": ("echo", None, (b"X-Session-ID: new",), True),
    "a session of nobody": ("echo", None, (b"X-Session-ID: nowhere",), True),
    "wrong inputs": ("echo", {"query": 1}, (), True),
    "a failure": ("fail", None, (), True),
    "no object": ("echo", [1], (), True),
    "no such agent": ("nobody", None, (), True),
    "a key for retries": ("echo", None, (b"Idempotency-Key: 1",), False),
    "a header of its own": ("echo", None, (b"Strange: 1",), False),
    "an origin": ("echo", None, (b"Origin: http://localhost:1",), False),
    "a foreign origin": ("echo", None, (b"Origin: http://elsewhere",), False),
}


@pytest.mark.parametrize("case", CASES)
def test_both_ways_give_the_same_answers(twins: tuple[Twins, tuple[bytes, ...]], case: str) -> None:
    servers, headers = twins
    agent, body, further, laned = CASES[case]
    before = servers.laned.laned
    message = request(agent, body, *headers, *further)
    (status, *_), _ = servers.agree_one_by_one(message)
    assert (servers.laned.laned > before) is laned
    assert servers.agree(message, LAST)[1][0] == status
    assert [answer[0] for answer in servers.agree(message + message + LAST)][1:3] == [status] * 2


@pytest.mark.parametrize(
    "headers",
    [(), (b"X-API-Key: knx_wrong",), (b"Authorization: Bearer knx_wrong",)],
    ids=["none", "a wrong key", "a wrong bearer"],
)
def test_credentials_are_asked_for_in_both(tmp_path: Path, headers: tuple[bytes, ...]) -> None:
    create_key(tmp_path / "keys.json", "ada", ["*"])
    with both(auth=Auth(api_keys=tmp_path / "keys.json")) as servers:
        answers = Twins(*servers).agree(request("echo", None, *headers), LAST)
        assert answers[1][0] == b"HTTP/1.1 401 Unauthorized"


def test_each_request_is_counted_once_under_the_rate_limit() -> None:
    with both(rate_limit="4/hour") as servers:
        for server in servers:
            with server.connect() as client:
                left = []
                for message in [request("echo"), request("nobody"), request("echo")] * 2:
                    client.sendall(message)
                    answer = answer_on(client)
                    (remaining,) = re.findall(rb"ratelimit: .*;r=(\d)", answer)
                    left.append((answer[9:12], int(remaining)))
            assert left == [
                (b"200", 3), (b"404", 2), (b"200", 1), (b"200", 0), (b"429", 0), (b"429", 0)
            ]  # fmt: skip


ODD = (b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"\x00", b"\xff", b"0", b"x", b"%", b"\r\n\r\n")
FIELDS = (
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 14\r\n",
    b"Connection: close\r\n",
    b"Host: localhost\r\n",
    b"Expect: 100-continue\r\n",
    b"X-A: b\r\n",
)
PIECES = st.sampled_from([*ODD, *FIELDS])


@st.composite
def conversation(draw: st.DrawFn, headers: tuple[bytes, ...]) -> list[bytes]:
    """What one connection sends: requests, perhaps mutated, cut at any places."""
    agents = draw(st.lists(st.sampled_from(["echo", "later", "nobody"]), min_size=1, max_size=3))
    data = b"".join(request(agent, None, *headers) for agent in agents)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        until = at + draw(st.integers(0, 8))
        data = data[:at] + draw(PIECES | st.binary(max_size=3)) + data[until:]
    data += LAST
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=4))
    places = [0, *sorted(cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places) if start < end]


@pytest.mark.parametrize(
    "examples", [100, pytest.param(2_000, marks=[pytest.mark.slow, pytest.mark.timeout(1_800)])]
)
def test_whatever_arrives_is_answered_the_same(
    twins: tuple[Twins, tuple[bytes, ...]], examples: int
) -> None:
    servers, headers = twins

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), deadline=None)
    @given(conversation(headers))
    def agree(pieces: list[bytes]) -> None:
        servers.agree(*pieces)

    agree()


class Held:
    """An agent that runs until it is let go, or cancelled."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.cancelled = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._go: asyncio.Event | None = None

    async def held(self, query: str) -> str:
        self._loop, self._go = asyncio.get_running_loop(), asyncio.Event()
        self.begun.release()
        try:
            await self._go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return query

    def let_go(self) -> None:
        assert self._loop is not None
        assert self._go is not None
        self._loop.call_soon_threadsafe(self._go.set)


@pytest.fixture
def agent() -> Held:
    return Held()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with contextlib.ExitStack() as stack:

        def start(*agents: Any, **options: Any) -> Server:
            server = Server(*agents, **options)
            stack.callback(server.close)
            return server

        yield start


def begun(server: Server, agent: Held, behind: bytes = b"") -> socket.socket:
    """Return a connection on which the agent runs, in the lane."""
    client = server.connect()
    before = server.laned
    client.sendall(request("held"))
    assert agent.begun.acquire(timeout=PATIENCE)
    assert server.laned == before + 1
    if behind:
        client.sendall(behind)
    return client


def test_a_client_that_hangs_up_ends_its_run(serve: Callable[..., Server], agent: Held) -> None:
    server = serve(agent.held)
    begun(server, agent).close()
    assert agent.cancelled.wait(PATIENCE)
    assert server.app.runtime.executor.given_up == 1


def test_what_arrives_behind_is_answered_behind(serve: Callable[..., Server], agent: Held) -> None:
    server = serve(agent.held, echo)
    behind = request("echo") + request("echo", {"query": "b" * 200_000}) + LAST
    with begun(server, agent) as client:
        sending = threading.Thread(target=client.sendall, args=(behind,))
        sending.start()
        with server.connect() as other:  # a later connection is served, so the bytes have arrived
            other.sendall(request("echo"))
            answer_on(other)
        agent.let_go()
        answers = neutral(rest_of(client))
        sending.join(PATIENCE)
    assert [answer[0] for answer in answers[1:]] == [b"HTTP/1.1 200 OK"] * 4
    assert [len(answer[2]) > 200_000 for answer in answers[1:]] == [False, False, True, False]


def test_doubtful_bytes_behind_are_refused_behind(
    serve: Callable[..., Server], agent: Held
) -> None:
    server = serve(agent.held)
    with begun(server, agent, b"GET / HTTP/1.1\r\n\r\n" + LAST) as client:
        agent.let_go()
        answers = neutral(rest_of(client))
    statuses = [answer[0] for answer in answers[1:]]
    assert statuses == [b"HTTP/1.1 200 OK", b"HTTP/1.1 400 Bad Request"]


def test_a_run_may_finish_while_the_server_stops(serve: Callable[..., Server], agent: Held) -> None:
    server = serve(agent.held, grace=PATIENCE)
    with begun(server, agent) as client:
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):  # longer than idle connections are left open
            client.recv(1)
        client.settimeout(PATIENCE)
        agent.let_go()
        answer = rest_of(client)
        stopping.join(PATIENCE)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close\r\n" in answer


def test_and_is_answered_503_at_the_end_of_the_grace_period(
    serve: Callable[..., Server], agent: Held
) -> None:
    server = serve(agent.held, grace=0.2)
    with begun(server, agent) as client:
        server.stop()
        answer = rest_of(client)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"urn:kaizen-nexus:problem:shutting-down" in answer
    assert b"connection: close\r\n" in answer
    assert agent.cancelled.wait(PATIENCE)


def test_the_lane_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAIZEN_NEXUS_LANE", "off")
    app = Nexus()
    assert app._lane is None
    app.close()


def test_trusted_proxies_are_asked_by_the_app_alone() -> None:
    app = Nexus(trusted_proxies=["10.0.0.0/8"])
    assert app._lane is None
    app.close()
