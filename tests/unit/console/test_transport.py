"""The HTTP exchange of `nexus run`, against servers that answer byte for byte as told."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_nexus.channels.cli import response
from kaizen_nexus.channels.cli.transport import (
    BadUrlError,
    Reply,
    UnreachableError,
    request,
    split_url,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n"
    b"A;x=y\r\n0123456789\r\n2\r\nhi\r\n0\r\n\r\n"
)


@contextlib.contextmanager
def server(*pieces: bytes, read: bool = True) -> Iterator[tuple[str, bytearray]]:
    """A server that answers one request with `pieces`, and shows what it was sent."""
    received = bytearray()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(10)

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(10)
            while read and b"\r\n\r\n" not in received:
                received.extend(connection.recv(65_536))
            with contextlib.suppress(OSError):
                for piece in pieces:
                    connection.sendall(piece)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", received
    finally:
        thread.join(10)
        listening.close()
        assert not thread.is_alive()


def exchange(*pieces: bytes, clock: Callable[[], float] | None = None) -> Reply:
    with server(*pieces) as (url, _):
        if clock is None:
            return request("GET", url, "/", timeout=10)
        return request("GET", url, "/", timeout=10, clock=clock)


def test_the_request_is_complete_and_asks_for_the_connection_to_end() -> None:
    with server(OK) as (url, received):
        request("POST", f"{url}/pre/fix/", "/cli/run", b"{}", timeout=10)
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    assert first == "POST /pre/fix/cli/run HTTP/1.1"
    assert headers == [
        f"Host: {url.removeprefix('http://')}",
        "Accept: application/json",
        "Content-Type: application/json",
        "Content-Length: 2",
        "Connection: close",
    ]
    assert body == b"{}"


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK, b"hi"),
        (OK + b"and more", b"hi"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: a\r\n\r\n" + OK, b"hi"),
        (CHUNKED, b"0123456789hi"),
    ],
    ids=["length", "excess", "until closed", "interim", "chunked"],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_every_framing_is_understood_however_it_arrives(
    answer: bytes, body: bytes, size: int
) -> None:
    pieces = [answer[start : start + size] for start in range(0, len(answer), size)]
    reply = exchange(*pieces)
    assert (reply.status, reply.body) == (200, body)


def test_status_and_headers_are_read() -> None:
    reply = exchange(
        b"HTTP/1.1 308\r\nLocation:  /there \r\nX: a\r\nx: b\r\nContent-Length:0\r\n\r\n"
    )
    assert reply.status == 308
    assert reply.headers == {"location": "/there", "x": "b", "content-length": "0"}
    assert reply.body == b""


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "closed without an answer"),
        (b"HTT", "closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "does not speak HTTP"),
        (b"HTTP/2 200\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nhi", "closed in the middle"),
        (b"HTTP/1.1 200\r\nContent-Length: 67108865\r\n\r\n", "longer than 67108864 bytes"),
        (b"HTTP/1.1 200\r\nContent-Length: -1\r\n\r\n", "longer than"),
        (b"HTTP/1.1 200\r\nX: " + b"x" * 70_000, "does not speak HTTP"),
        (b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", "closed in the middle"),
        (b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", "longer than"),
    ],
)
def test_an_answer_that_cannot_be_used_says_why(answer: bytes, reason: str) -> None:
    with pytest.raises(UnreachableError, match=reason):
        exchange(answer)


@pytest.mark.parametrize("framing", [b"", b"Transfer-Encoding: chunked\r\n"])
def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch, framing: bytes) -> None:
    monkeypatch.setattr(response, "MAX_BODY", 100_000)
    monkeypatch.setattr(response, "MAX_HEAD", 1_000)
    pieces = itertools.repeat(b"1000\r\n" + b"x" * 0x1000 + b"\r\n", 10_000)
    with pytest.raises(UnreachableError, match="longer than"):
        exchange(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n", *pieces)


def test_the_deadline_covers_the_whole_exchange() -> None:
    seconds = itertools.count(0, 4)
    with pytest.raises(UnreachableError, match="no answer within 10 s"):
        exchange(*(OK[i : i + 1] for i in range(len(OK))), clock=lambda: float(next(seconds)))


def test_silence_ends_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(UnreachableError, match=r"no answer within 0\.05 s"):
            request("GET", url, "/", timeout=0.05)


def test_nobody_there_is_said_as_the_system_says_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(UnreachableError, match="Connection refused"):
        request("GET", f"http://127.0.0.1:{port}", "/", timeout=5)


def test_a_host_without_an_address_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UnreachableError, match="Name or service not known"):
        request("GET", "http://host.invalid", "/", timeout=5)


def test_every_address_of_a_host_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        refusing = unused.getsockname()
    with server(OK) as (url, _):
        port = int(url.rpartition(":")[2])
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        addresses = [(*kind, refusing), (*kind, ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        assert request("GET", url, "/", timeout=5).body == b"hi"


def test_a_refusal_is_read_although_the_request_was_not_taken_whole() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
    outcome: object = None
    with server(refusal, read=False) as (url, _):
        try:
            outcome = request("POST", url, "/", b"x" * 2_000_000, timeout=10).status
        except UnreachableError as error:
            outcome = str(error)
    # The system may throw the answer away together with the connection.
    assert outcome in {413, "Connection reset by peer"}


def test_tls_is_verified() -> None:
    with server(b"not tls at all\r\n", read=False) as (url, _), pytest.raises(UnreachableError):
        request("GET", url.replace("http", "https"), "/", timeout=5)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://host", ("http", "host", 80, "")),
        ("https://host/", ("https", "host", 443, "")),
        ("HTTP://host:1/a/b/", ("http", "host", 1, "/a/b")),
        ("localhost:8000", ("http", "localhost", 8000, "")),
        ("http://[::1]:8000/x", ("http", "::1", 8000, "/x")),
        ("http://[::1]", ("http", "::1", 80, "")),
        ("http://host:65535", ("http", "host", 65_535, "")),
    ],
)
def test_a_url_is_taken_apart(url: str, parts: tuple[str, str, int, str]) -> None:
    assert split_url(url) == parts


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "http:///x",
        "ftp://host",
        "http://host:0",
        "http://host:65536",
        "http://host:port",
        "http://host:8000000000000",
        "http://user:password@host",
        "http://host?x",
        "http://host/#x",
        "http://ho st",
        "http://host\r\nX: y",
        "http://[::1",
        "http://[::1]8000",
        "http://höst",
        "http://host:٣",
    ],
)
def test_a_url_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(BadUrlError):
        split_url(url)


@given(st.text())
def test_no_url_can_break_out_of_its_line(text: str) -> None:
    with contextlib.suppress(BadUrlError):
        _, host, port, prefix = split_url(text)
        assert 0 < port < 65_536
        assert f"{host}{prefix}".isascii()
        assert not set("\r\n ").intersection(host + prefix)
