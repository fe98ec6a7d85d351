"""Agents that stream, on a served app: what comes when, and how each stream ends."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anyio import to_thread
from starlette.applications import Starlette
from starlette.routing import Route

from kaizen_nexus import Auth, Nexus, deploy_as_api, deploy_multi_channel
from kaizen_nexus.access import keys
from kaizen_nexus.access.authenticator import Authenticator
from kaizen_nexus.access.keyfile import create_key, revoke_key
from kaizen_nexus.access.policy import Access
from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.channels.api.execute import Execution
from kaizen_nexus.channels.api.stream import Streaming
from kaizen_nexus.http.authentication import Authentication
from kaizen_nexus.http.server.serving import HttpServer, listen
from kaizen_nexus.http.streams import Streams
from kaizen_nexus.runtime.service import Runtime

PATIENCE = 30
AT_ONCE = 20


class Paced:
    """An agent that yields a word each time it is told to go on, and notes how it ends."""

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)
        self.ends = 0
        self.made = 0

    def note_end(self) -> None:
        self.ends += 1
        self.ended.release()

    def has_ended(self) -> bool:
        return self.ended.acquire(timeout=PATIENCE)


class Sync(Paced):
    def run(self, query: str) -> Iterator[str]:
        try:
            for word in query.split():
                if word == "boom":
                    raise RuntimeError("a secret")
                self.made += 1
                yield word
                self.go.acquire(timeout=PATIENCE)
        finally:
            self.note_end()


class Async(Paced):
    async def run(self, query: str) -> AsyncIterator[str]:
        try:
            for word in query.split():
                if word == "boom":
                    raise RuntimeError("a secret")
                self.made += 1
                yield word
                await to_thread.run_sync(self.go.acquire, True, PATIENCE, abandon_on_cancel=True)
        finally:
            self.note_end()


def plain(query: str) -> dict[str, str]:
    return {"answer": query}


def numbers(count: int = 3) -> Iterator[int]:
    yield from range(count)


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def paced(request: pytest.FixtureRequest) -> Iterator[Paced]:
    agent: Paced = request.param()
    yield agent
    agent.go.release(10_000)


@contextlib.contextmanager
def serving(*agents: object, **options: Any) -> Iterator[Nexus]:
    app = Nexus(api_port=0, **options)
    for agent in (plain, numbers):
        deploy_multi_channel(agent, app, agent.__name__)
    for agent in agents:
        deploy_multi_channel(agent, app, "paced")
    app.start(blocking=False)
    try:
        yield app
    finally:
        app.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Nexus]:
    with serving() as app:
        yield app


@pytest.fixture
def app(shared: Nexus, paced: Paced) -> Iterator[Nexus]:
    """An app that serves `paced`, and where nothing runs at the end."""
    deploy_multi_channel(paced, shared, "paced")
    yield shared
    paced.go.release(10_000)
    settle(shared)


@contextlib.contextmanager
def streaming(
    app: Nexus, name: str = "paced", query: str = "a b c", **headers: str
) -> Iterator[httpx2.Response]:
    url = f"{app.url}/api/workflows/{name}/stream"
    with httpx2.stream(
        "POST", url, json={"query": query}, headers=headers, timeout=PATIENCE
    ) as answer:
        yield answer


def events(answer: httpx2.Response) -> Iterator[tuple[int, str, Any]]:
    """Yield number, kind and data of each event, as soon as it has come."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if line.startswith(":"):
            continue
        if line:
            fields[name] = value
        elif fields:
            yield int(fields["id"]), fields["event"], json.loads(fields["data"])
            fields = {}


def connected(app: Nexus, query: str, receive_buffer: int = 0) -> socket.socket:
    """Return a connection on which a stream has been asked for."""
    body = json.dumps({"query": query}).encode()
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(PATIENCE)
    client.connect(("127.0.0.1", app.api_port))
    client.sendall(
        b"POST /api/workflows/paced/stream HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    return client


def read_until(client: socket.socket, end: bytes) -> bytes:
    received = b""
    while end not in received:
        data = client.recv(65_536)
        assert data, received
        received += data
    return received


def until(condition: Callable[[], bool]) -> None:
    """Return when `condition` holds; the test's time limits it."""
    never = threading.Event()
    while not condition():
        never.wait(0.001)


def settle(app: Nexus) -> None:
    """Return when nothing runs any more."""
    executor = app.runtime.executor
    until(lambda: executor.pending == 0 and executor.abandoned_threads == 0)


def test_each_chunk_comes_before_the_next_is_made(app: Nexus, paced: Paced) -> None:
    with streaming(app) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        received = events(answer)
        for number, word in enumerate("abc", 1):
            assert next(received) == (number, "chunk", word)
            assert paced.made == number
            paced.go.release()
        ((number, kind, last),) = received
    assert (number, kind) == (4, "result")
    assert last.pop("duration_ms") > 0
    assert last == {"status": "success", "session_id": None, "chunks": 3}
    assert paced.has_ended()
    assert paced.ends == 1


def version(app: Nexus, name: str) -> str:
    return str(httpx2.get(f"{app.url}/api/workflows/{name}").json()["version"])


def test_a_new_sessions_id_is_there_before_the_first_chunk(app: Nexus, paced: Paced) -> None:
    with streaming(app, **{"X-Session-ID": "new"}) as answer:
        assert answer.headers["x-workflow-version"] == version(app, "paced")
        session_id = answer.headers["x-session-id"]
        assert session_id in app.session_manager.sessions
        paced.go.release(3)
        *_, (_, _, last) = events(answer)
    assert last["session_id"] == session_id


def test_the_other_ways_to_run_it_give_the_whole(app: Nexus, paced: Paced) -> None:
    paced.go.release(3)
    url = f"{app.url}/api/workflows/paced/execute"
    answer = httpx2.post(url, json={"query": "a b c"}, timeout=PATIENCE)
    assert answer.json()["result"] == "abc"


def test_what_does_not_stream_is_one_event(app: Nexus) -> None:
    with streaming(app, "plain") as answer:
        ((number, kind, last),) = events(answer)
        assert answer.headers["x-workflow-version"] == version(app, "plain")
    assert (number, kind, last["chunks"]) == (1, "result", 0)
    assert last["result"] == {"answer": "a b c"}


def test_a_prefix_of_its_own_has_a_stream_too(app: Nexus) -> None:
    deploy_as_api(numbers, app, "counted", prefix="/v2")
    answer = httpx2.post(f"{app.url}/v2/counted/stream", json={"count": 2}, timeout=PATIENCE)
    assert [(kind, data) for _, kind, data in events(answer)][:2] == [("chunk", 0), ("chunk", 1)]
    assert httpx2.get(f"{app.url}/v2/counted/stream").status_code == 405
    assert httpx2.post(f"{app.url}/v3/counted/stream").status_code == 404


@pytest.mark.parametrize(
    ("name", "body", "status", "problem"),
    [
        ("nobody", {}, 404, "workflow-not-found"),
        ("paced", {"query": 3}, 422, "invalid-inputs"),
        ("paced", [], 400, "malformed-json"),
        ("paced", {"query": "boom"}, 500, "agent-failed"),
    ],
)
def test_what_fails_before_the_first_chunk_is_an_ordinary_answer(
    app: Nexus, name: str, body: Any, status: int, problem: str
) -> None:
    answer = httpx2.post(f"{app.url}/api/workflows/{name}/stream", json=body, timeout=PATIENCE)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:kaizen-nexus:problem:{problem}"


def test_what_fails_later_is_the_last_event(app: Nexus, paced: Paced) -> None:
    paced.go.release()
    with streaming(app, query="a boom") as answer:
        first, (number, kind, problem) = events(answer)
    assert (first, number, kind) == ((1, "chunk", "a"), 2, "error")
    assert problem["type"] == "urn:kaizen-nexus:problem:agent-failed"
    assert (problem["status"], "secret" in problem["detail"]) == (500, False)
    assert paced.ends == 1


def test_a_run_that_takes_too_long_ends_with_an_event(paced: Paced) -> None:
    with serving(paced, timeout=0.5) as app, streaming(app) as answer:
        *_, (_, kind, problem) = events(answer)
        assert (kind, problem["status"]) == ("error", 504)
        paced.go.release()
        assert paced.has_ended()
        settle(app)
    assert paced.ends == 1


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_reader_that_goes_away_stops_the_agent(app: Nexus, paced: Paced, how: str) -> None:
    before = app.runtime.executor.given_up
    client = connected(app, "a b c")
    read_until(client, b'data: "a"\n\n')
    if how == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    until(lambda: app.runtime.executor.given_up == before + 1)
    paced.go.release()
    assert paced.has_ended()
    settle(app)
    # A thread that is in the middle of a step goes on to its end.
    assert (paced.ends, paced.made) == (1, 2 if isinstance(paced, Sync) else 1)


def test_a_slow_reader_holds_the_agent_back() -> None:
    class Endless(Paced):
        async def run(self, query: str) -> AsyncIterator[str]:
            try:
                while True:
                    self.made += 1
                    yield "x" * 10_000
            finally:
                self.note_end()

    agent = Endless()
    with serving(agent, timeout=1.0) as app:
        client = connected(app, "go", receive_buffer=4096)
        assert agent.has_ended()
        # Were it not held back, it would be over the limit of 16 MiB long before its deadline.
        assert app.runtime.executor.timed_out == 1
        assert agent.made < 1_600
        client.close()
    assert agent.ends == 1


def test_twenty_streams_at_once(app: Nexus, paced: Paced) -> None:
    everyone = threading.Barrier(AT_ONCE + 1)

    def follow(number: int) -> list[Any]:
        with streaming(app, query=f"{number} of many") as answer:
            received = events(answer)
            first = next(received)
            everyone.wait(PATIENCE)
            return [data for _, kind, data in (first, *received) if kind == "chunk"]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        followers = [pool.submit(follow, number) for number in range(AT_ONCE)]
        everyone.wait(PATIENCE)
        paced.go.release(AT_ONCE * 3)
        for number, follower in enumerate(followers):
            assert follower.result(PATIENCE) == [str(number), "of", "many"]
    settle(app)
    assert paced.ends == AT_ONCE


def test_so_many_streams_may_be_open_and_no_more(paced: Paced) -> None:
    with serving(paced, max_streams=1) as app:
        with streaming(app) as answer:
            with streaming(app) as refused:
                refused.read()
                assert refused.status_code == 503
                assert refused.headers["retry-after"] == "1"
                assert "1 streams are open" in refused.json()["detail"]
                figures = httpx2.get(f"{app.url}/metrics.json").json()["streams"]
                assert figures == {"open": 1, "max_open": 1, "refused": 1}
            paced.go.release(3)
            *_, (_, kind, _) = events(answer)
            assert kind == "result"
        answer = httpx2.post(f"{app.url}/api/workflows/numbers/stream", timeout=PATIENCE)
        assert answer.status_code == 200


def test_a_server_that_stops_says_so_to_its_readers(paced: Paced) -> None:
    with serving(paced, shutdown_grace=1.0) as app, streaming(app) as answer:
        received = events(answer)
        next(received)
        stopping = threading.Thread(target=app.stop)
        stopping.start()
        ((_, kind, problem),) = received
        assert kind == "error"
        assert problem["type"] == "urn:kaizen-nexus:problem:shutting-down"
        paced.go.release(3)
        stopping.join(PATIENCE)
        assert paced.has_ended()
    assert paced.ends == 1


@contextlib.contextmanager
def beating(paced: Paced, auth: Auth | None = None) -> Iterator[str]:
    """Serve an agent whose streams have heartbeats, and checks, each hundredth of a second."""
    runtime = Runtime(access=Access(enforced=auth is not None))
    runtime.registry.deploy(as_workflow(paced, "paced"), ["api"], prefix="/p", sessions=False)
    endpoint = Streaming(runtime, Execution(runtime, 1_000), Streams(), heartbeat=0.01)
    app: Any = Starlette(routes=[Route("/{name}", endpoint, methods=["POST"])])
    if auth is not None:
        app = Authentication(app, Authenticator(auth))
    listening = listen("127.0.0.1", 0, "port")
    server = HttpServer(app, [listening], 1.0, lambda: None)
    server.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/paced"
    finally:
        server.stop()
        runtime.sessions.close()


def test_a_silent_stream_gives_signs_of_life(paced: Paced) -> None:
    with (
        beating(paced) as url,
        httpx2.stream("POST", url, json={"query": "a b"}, timeout=PATIENCE) as answer,
    ):
        lines = answer.iter_lines()
        for expected in ('data: "a"', ":", 'data: "b"', ":"):
            while next(lines) != expected:
                pass
            if expected == ":":
                paced.go.release()
        assert "event: result" in lines


def test_a_stream_ends_whose_reader_is_let_in_no_more(
    paced: Paced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "CHECK_SECONDS", 0.0)
    file = tmp_path / "keys.json"
    key, record = create_key(file, "ada", ["paced"])
    with (
        beating(paced, Auth(api_keys=file)) as url,
        httpx2.stream(
            "POST", url, json={"query": "a b"}, headers={"X-API-Key": key}, timeout=PATIENCE
        ) as answer,
    ):
        received = events(answer)
        assert next(received)[2] == "a"
        revoke_key(file, record.id)
        ((_, kind, last),) = received
        assert (kind, last["type"]) == ("error", "urn:kaizen-nexus:problem:unauthenticated")
        paced.go.release()
        assert paced.has_ended()


def test_what_is_deployed_says_whether_it_streams(app: Nexus) -> None:
    shown = httpx2.get(f"{app.url}/api/workflows/paced").json()
    assert (shown["streaming"], shown["stream"]) == (True, "/api/workflows/paced/stream")
    listed = httpx2.get(f"{app.url}/api/workflows").json()["workflows"]
    streaming = {each["name"]: each["streaming"] for each in listed}
    assert (streaming["plain"], streaming["numbers"]) == (False, True)
    document = httpx2.get(f"{app.url}/openapi.json").json()
    operation = document["paths"]["/api/workflows/numbers/stream"]["post"]
    assert list(operation["responses"]["200"]["content"]) == ["text/event-stream"]
    assert document["components"]["schemas"]["numbers.chunk"] == {"type": "integer"}


def test_a_retry_is_answered_with_the_whole(app: Nexus, paced: Paced) -> None:
    with streaming(app, **{"Idempotency-Key": f"{id(paced)}"}) as answer:
        first = next(events(answer))
    # The reader has gone, and the run goes on: somebody may ask again.
    paced.go.release(3)
    with streaming(app, **{"Idempotency-Key": f"{id(paced)}"}) as answer:
        ((_, kind, last),) = events(answer)
        assert answer.headers["idempotency-replayed"] == "true"
        assert answer.headers["x-workflow-version"] == version(app, "paced")
    assert (first[2], kind, last["result"], paced.ends) == ("a", "result", "abc", 1)
