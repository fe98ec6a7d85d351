"""Messages whose end two readers could see at different places, over raw sockets."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kaizen_nexus import Nexus, deploy_multi_channel
from kaizen_nexus.http.server.limits import HttpLimits
from kaizen_nexus.http.server.serving import HttpServer, listen

pytestmark = pytest.mark.slow

HEAD = b"POST /api/workflows/echo/execute HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"

Ask = Callable[[bytes], bytes]


def echo(query: str = "") -> str:
    """Repeat the query."""
    return query


@pytest.fixture(scope="module")
def reached() -> list[str]:
    """The paths that the app was asked for."""
    return []


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "general"])
def port(request: pytest.FixtureRequest, reached: list[str]) -> Iterator[int]:
    app = Nexus()
    deploy_multi_channel(echo, app, "echo")

    async def recording(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            reached.append(scope["path"])
        await app(scope, receive, send)

    listening = listen("127.0.0.1", 0, "port")
    port = listening.getsockname()[1]
    limits = HttpLimits(head_timeout=0.5, body_interval=0.5, linger=0.5)
    lane = app._lane if request.param else None
    server = HttpServer(recording, [listening], 1, lambda: None, limits, lane=lane)
    server.start()
    yield port
    server.stop()
    app.close()


@pytest.fixture
def ask(port: int, reached: list[str]) -> Ask:
    """Send bytes, perhaps in pieces, and return all that comes back until the server hangs up."""
    reached.clear()

    def ask(*pieces: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                client.sendall(piece)
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while data := client.recv(65536):
                    received += data
            return received

    return ask


def statuses(answers: bytes) -> list[int]:
    """Return the status codes of the answers, none of which has one in its body."""
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


MALFORMED = {
    "a length and chunks": CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunks and a length": HEAD
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}" + SMUGGLED,
    "one length twice": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + SMUGGLED,
    "a list of lengths": HEAD + b"Content-Length: 2, 2\r\n\r\n{}" + SMUGGLED,
    "a length with a sign": HEAD + b"Content-Length: +2\r\n\r\n{}" + SMUGGLED,
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
    "a hexadecimal length": HEAD + b"Content-Length: 0x2\r\n\r\n{}" + SMUGGLED,
    "a length of 70 bits": HEAD + b"Content-Length: 1180591620717411303424\r\n\r\n" + SMUGGLED,
    "an empty length": HEAD + b"Content-Length: \r\n\r\n" + SMUGGLED,
    "another coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "identity": HEAD + b"Transfer-Encoding: identity\r\n\r\n" + SMUGGLED,
    "a coding before chunked": HEAD
    + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "a coding after chunked": HEAD
    + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "chunked twice": CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "nearly chunked": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked after a control character": HEAD
    + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "chunks in HTTP/1.0": CHUNKED.replace(b"1.1", b"1.0") + b"\r\n0\r\n\r\n" + SMUGGLED,
    "two hosts": GET + b"Host: localhost\r\n\r\n" + SMUGGLED,
    "two different hosts": GET + b"Host: 127.0.0.1\r\n\r\n" + SMUGGLED,
    "no host": b"GET /health/live HTTP/1.1\r\n\r\n" + SMUGGLED,
    "no host in HTTP/1.0": b"GET /health/live HTTP/1.0\r\n\r\n" + SMUGGLED,
    "a target of another host": b"GET http://else/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    + SMUGGLED,
    "a target with a user": b"GET http://u@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
    + SMUGGLED,
    "a target without a path": b"GET http://localhost HTTP/1.1\r\nHost: localhost\r\n\r\n"
    + SMUGGLED,
    "a target with a fragment": GET.replace(b"live", b"live#x") + b"\r\n" + SMUGGLED,
    "a target with a space": GET.replace(b"live", b"live x") + b"\r\n" + SMUGGLED,
    "a target with a control character": GET.replace(b"live", b"li\x00ve") + b"\r\n" + SMUGGLED,
    "a target beyond ASCII": GET.replace(b"live", b"li\xffve") + b"\r\n" + SMUGGLED,
    "a tunnel": b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n" + SMUGGLED,
    "a body and another protocol": HEAD
    + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}"
    + SMUGGLED,
    "HTTP/0.9": b"GET /health/live\r\n\r\n" + SMUGGLED,
    "HTTP/0.9 by its number": GET.replace(b"1.1", b"0.9") + b"\r\n" + SMUGGLED,
    "HTTP/1.2": GET.replace(b"1.1", b"1.2") + b"\r\n" + SMUGGLED,
    "HTTP/2.0": GET.replace(b"1.1", b"2.0") + b"\r\n" + SMUGGLED,
    "HTTP/2 itself": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED,
    "a method in lower case": b"get" + GET[3:] + b"\r\n" + SMUGGLED,
    "a method of nobody": b"FETCH" + GET[3:] + b"\r\n" + SMUGGLED,
    "no request at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + SMUGGLED,
    "a space before the colon": GET + b"X-A : b\r\n\r\n" + SMUGGLED,
    "a tab before the colon": CHUNKED.replace(b"g:", b"g\t:") + b"\r\n0\r\n\r\n" + SMUGGLED,
    "a space before the first header": GET.replace(b"Host", b" Host") + b"\r\n" + SMUGGLED,
    "a folded header": GET + b"X-A: b\r\n c\r\n\r\n" + SMUGGLED,
    "a folded coding": CHUNKED.replace(b": c", b":\r\n c") + b"\r\n0\r\n\r\n" + SMUGGLED,
    "a header without a colon": GET + b"X-A\r\n\r\n" + SMUGGLED,
    "a header without a name": GET + b": a\r\n\r\n" + SMUGGLED,
    "a NUL in a header": GET + b"X-A: b\x00c\r\n\r\n" + SMUGGLED,
    "a bare CR in a header": GET + b"X-A: b\rX-B: c\r\n\r\n" + SMUGGLED,
    "a bare LF after a header": GET + b"X-A: b\nX-B: c\r\n\r\n" + SMUGGLED,
    "bare LFs": GET.replace(b"\r\n", b"\n") + b"\n" + SMUGGLED,
    "a chunk size in C": CHUNKED + b"\r\n0x2\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "a chunk size with a sign": CHUNKED + b"\r\n+2\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "a chunk size with a space": CHUNKED + b"\r\n2 \r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "a negative chunk size": CHUNKED + b"\r\n-2\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "a chunk size of 68 bits": CHUNKED + b"\r\n20000000000000002\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "a chunk size after LF": CHUNKED + b"\r\n2\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "an extension that ends with LF": CHUNKED + b"\r\n2;x\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "an extension with a NUL": CHUNKED + b"\r\n2;x=\x00\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "an endless extension": CHUNKED + b"\r\n2;" + b"x" * 70_000,
    "a chunk longer than its size": CHUNKED + b"\r\n2\r\n{}}\r\n0\r\n\r\n" + SMUGGLED,
    "a chunk without an end": CHUNKED + b"\r\n2\r\n{}0\r\n\r\n" + SMUGGLED,
    "chunks that end half": CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\rGET" + SMUGGLED,
    "a length in the trailers": CHUNKED + b"\r\n0\r\nContent-Length: 9\r\n\r\n" + SMUGGLED,
}


@pytest.mark.parametrize("probe", MALFORMED)
def test_doubtful_messages_get_one_refusal_and_nothing_behind_them_is_heard(
    ask: Ask, reached: list[str], probe: str
) -> None:
    answers = ask(MALFORMED[probe])
    assert statuses(answers) == [400], answers
    assert b"connection: close\r\n" in answers
    assert b"content-type: application/problem+json\r\n" in answers
    assert "/smuggled" not in reached
    if "chunk" not in probe and "exten" not in probe and "trailers" not in probe:
        assert "/health/live" not in reached


@pytest.mark.parametrize("probe", [p for p in MALFORMED if MALFORMED[p].endswith(SMUGGLED)])
def test_nor_when_they_come_in_small_pieces(ask: Ask, reached: list[str], probe: str) -> None:
    message = MALFORMED[probe]
    answers = ask(*[message[start : start + 7] for start in range(0, len(message), 7)])
    assert statuses(answers) == [400], answers
    assert "/smuggled" not in reached


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (GET.replace(b"live", b"live?" + b"x" * 8192) + b"\r\n", 414),
        (GET.replace(b"live", b"live?" + b"x" * 100_000), 414),
        (GET + b"X-A: b\r\n" * 98 + b"\r\n", 200),
        (GET + b"X-A: b\r\n" * 100 + b"\r\n", 431),
        (GET + b"X-A: " + b"b" * 30_000 + b"\r\n\r\n", 200),
        (GET + b"X-A: " + b"b" * 33_000 + b"\r\n\r\n", 431),
        (GET + b"X-A: " + b"b" * 200_000, 431),
        (GET + b"X" * 200_000, 431),
        (b"\r\n" * 100_000, 431),
        (CHUNKED + b"\r\n0\r\nX-A: " + b"b" * 33_000 + b"\r\n\r\n", 431),
        (CHUNKED + b"\r\n0\r\n" + b"X-A: b\r\n" * 5_000 + b"\r\n", 431),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else value[60:72].decode(),
)
def test_heads_are_bounded(ask: Ask, message: bytes, status: int) -> None:
    answers = ask(message.replace(b"Host", b"Connection: close\r\nHost", int(status == 200)))
    assert statuses(answers) == [status]


def test_requests_in_order_before_a_doubtful_one_are_answered(ask: Ask, reached: list[str]) -> None:
    answers = ask((GET + b"\r\n") * 3 + MALFORMED["two lengths"])
    assert statuses(answers) == [200, 200, 200]
    assert (reached.count("/health/live"), "/smuggled" in reached) == (3, False)


def test_and_before_one_whose_body_is_doubtful(ask: Ask, reached: list[str]) -> None:
    answers = ask((GET + b"\r\n") * 3 + MALFORMED["a chunk without an end"])
    assert statuses(answers) == [200, 200, 200]
    assert (reached.count("/health/live"), "/smuggled" in reached) == (3, False)


def test_pipelines_are_bounded(ask: Ask, reached: list[str]) -> None:
    answers = ask((GET + b"\r\n") * 5_000)
    assert set(statuses(answers)) == {200}
    assert len(reached) < 100


def test_trailers_are_no_headers(ask: Ask) -> None:
    body = b'12\r\n{"query": "hello"}\r\n0\r\nX-Session-ID: new\r\nConnection: close\r\n\r\n'
    answers = ask(CHUNKED + b"Connection: close\r\n\r\n" + body)
    assert statuses(answers) == [200]
    assert b"x-session-id" not in answers


def test_another_protocol_is_not_spoken_but_the_request_answered(
    ask: Ask, reached: list[str]
) -> None:
    answers = ask(GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + SMUGGLED)
    assert statuses(answers) == [200]
    assert (reached.count("/health/live"), "/smuggled" in reached) == (1, False)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_nothing_is_read_after_the_last_request(
    ask: Ask, reached: list[str], version: bytes
) -> None:
    last = GET.replace(b"1.1", version) + b"Connection: close\r\n\r\n"
    assert statuses(ask(last + SMUGGLED)) == [200]
    assert (reached.count("/health/live"), "/smuggled" in reached) == (1, False)


def test_absolute_targets_of_the_host_itself_are_answered(ask: Ask) -> None:
    message = GET.replace(b"/health", b"http://LOCALHOST/health") + b"Connection: close\r\n\r\n"
    assert statuses(ask(message)) == [200]


def test_chunks_of_one_byte_are_fine(ask: Ask) -> None:
    text = b'{"query": "' + b"x" * 50_000 + b'"}'
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in text)
    answers = ask(CHUNKED + b"Connection: close\r\n\r\n" + chunks + b"0\r\n\r\n")
    assert statuses(answers) == [200]
