"""The lane recognises nothing that the parser would understand differently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaizen_nexus.access.callers import ANONYMOUS, Caller
from kaizen_nexus.http.server.heads import check_head
from kaizen_nexus.http.server.lane import Lane, LaneRequest, LaneRoute, Respond
from kaizen_nexus.http.server.limits import DEFAULT_LIMITS, HttpLimits

LINES = (
    b"POST /run/echo/now HTTP/1.1",
    b"Host: localhost:8000",
    b"User-Agent: a client/1.0 (of some kind)",
    b"Accept: */*",
    b"Content-Type: application/json",
    b"X-Session-ID: 0123456789abcdef",
    b"Content-Length: 12",
)
BODY = b'{"a": "b c"}'


class Handler:
    def begin(self, request: LaneRequest, respond: Respond) -> None:
        raise AssertionError


HANDLER = Handler()


def lane(**options: Any) -> Lane:
    routes = [LaneRoute("POST", "/run/", "/now", HANDLER), LaneRoute("GET", "/seen/", "", HANDLER)]
    return Lane(routes, {b"localhost:8000"}, **options)


def message(*lines: bytes, body: bytes = BODY) -> bytes:
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def without(name: bytes) -> tuple[bytes, ...]:
    return tuple(line for line in LINES if not line.startswith(name))


class Parsed:
    """What llhttp makes of bytes."""

    def __init__(self, data: bytes) -> None:
        self.url = self.body = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.completed = 0
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)
        check_head(
            self.parser.get_http_version(),
            self.parser.get_method(),
            self.url,
            self.headers,
            upgrades=self.parser.should_upgrade(),
        )

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.completed += 1


def agrees(data: bytes, into: Lane) -> bool:
    """Return whether `data` is for the lane; then the parser has to understand the same."""
    found = into.recognise(data, DEFAULT_LIMITS)
    if found is None:
        return False
    request, _ = found
    parsed = Parsed(data)
    assert parsed.completed == 1
    assert parsed.parser.should_keep_alive()
    assert request.method.encode() == parsed.parser.get_method()
    assert request.path.encode() == parsed.url
    assert list(request.headers.items()) == parsed.headers
    assert request.body == parsed.body
    return True


def test_the_ordinary_is_recognised() -> None:
    own = lane()
    assert agrees(message(*LINES), own)
    assert agrees(message(*LINES), own)
    assert agrees(message(*without(b"Content-Length"), body=b""), own)
    assert agrees(message(*LINES, b"Connection: keep-alive"), own)
    assert agrees(message(b"GET /seen/1 HTTP/1.1", LINES[1], body=b""), own)


DECLINED = {
    "another host": message(*without(b"Host"), b"Host: elsewhere"),
    "no host": message(*without(b"Host")),
    "two hosts": message(*LINES, LINES[1]),
    "two hosts, one remembered": message(*LINES, b"host: localhost:8000"),
    "a length too short": message(*LINES, body=BODY + b" "),
    "a length too long": message(*LINES, body=BODY[1:]),
    "a length with a zero": message(*without(b"Content-Length"), b"Content-Length: 012"),
    "a length with a sign": message(*without(b"Content-Length"), b"Content-Length: +12"),
    "no length": message(*without(b"Content-Length")),
    "chunks": message(*LINES, b"Transfer-Encoding: chunked"),
    "an expectation": message(*LINES, b"Expect: 100-continue"),
    "an upgrade": message(*LINES, b"Connection: upgrade", b"Upgrade: h2c"),
    "the last request": message(*LINES, b"Connection: close"),
    "an encoding": message(*LINES, b"Content-Encoding: identity"),
    "an origin": message(*LINES, b"Origin: http://localhost"),
    "a condition": message(*LINES, b'If-Match: "1"'),
    "a proxy's word": message(*LINES, b"X-Forwarded-For: 1.1.1.1"),
    "another proxy's word": message(*LINES, b"Forwarded: for=1.1.1.1"),
    "another method by header": message(*LINES, b"X-HTTP-Method-Override: GET"),
    "an idempotency key": message(*LINES, b"Idempotency-Key: 1"),
    "a cookie": message(*LINES, b"Cookie: a=b"),
    "a header of its own": message(*LINES, b"Strange: 1"),
    "a header twice": message(*LINES, b"Accept: */*"),
    "no space after the colon": message(*LINES, b"X-A:b"),
    "two spaces after the colon": message(*LINES, b"X-A:  b"),
    "a space before the colon": message(*LINES, b"X-A : b"),
    "a space at the end": message(*LINES, b"X-A: b "),
    "a tab": message(*LINES, b"X-A: b\tc"),
    "an empty value": message(*LINES, b"X-A: "),
    "a folded value": message(*LINES, b"X-A: b", b" c"),
    "a bare CR": message(*LINES, b"X-A: b\rX-B: c"),
    "a bare LF": message(*LINES, b"X-A: b\nX-B: c"),
    "a NUL": message(*LINES, b"X-A: b\x00c"),
    "a byte beyond ASCII": message(*LINES, b"X-A: \xe9"),
    "a query": message(b"POST /run/echo/now?a=b HTTP/1.1", *LINES[1:]),
    "an escape": message(b"POST /run/ec%68o/now HTTP/1.1", *LINES[1:]),
    "another path": message(b"POST /run/echo/later HTTP/1.1", *LINES[1:]),
    "a path that is all prefix": message(b"POST /run/now HTTP/1.1", *LINES[1:]),
    "an absolute target": message(b"POST http://localhost:8000/run/echo/now HTTP/1.1", *LINES[1:]),
    "another method": message(b"PUT /run/echo/now HTTP/1.1", *LINES[1:]),
    "HTTP/1.0": message(b"POST /run/echo/now HTTP/1.0", *LINES[1:]),
    "two spaces": message(b"POST  /run/echo/now HTTP/1.1", *LINES[1:]),
    "an empty line first": b"\r\n" + message(*LINES),
    "half a head": message(*LINES)[:40],
    "a long head": message(*LINES, b"X-A: " + b"b" * 9_000),
    "two requests": message(*LINES) * 2,
}


@pytest.mark.parametrize("probe", DECLINED)
def test_all_else_goes_the_general_way(probe: str) -> None:
    own = lane()
    assert own.recognise(message(*LINES), DEFAULT_LIMITS) is not None
    assert own.recognise(DECLINED[probe], DEFAULT_LIMITS) is None


@pytest.mark.parametrize(
    "limits", [HttpLimits(head_size=100), HttpLimits(request_line=20), HttpLimits(header_count=3)]
)
def test_the_servers_limits_hold(limits: HttpLimits) -> None:
    assert lane().recognise(message(*LINES), limits) is None


def test_callers_are_those_that_the_headers_name() -> None:
    def identify(headers: Mapping[bytes, bytes]) -> Caller | None:
        return Caller("ada") if headers.get(b"x-api-key") == b"her-key" else None

    own = lane(identify=identify)
    found = own.recognise(message(*LINES, b"X-API-Key: her-key"), DEFAULT_LIMITS)
    assert found is not None
    assert found[0].caller.id == "ada"
    assert own.recognise(message(*LINES, b"X-API-Key: another"), DEFAULT_LIMITS) is None
    assert own.recognise(message(*LINES), DEFAULT_LIMITS) is None
    anonymous = lane().recognise(message(*LINES, b"X-API-Key: another"), DEFAULT_LIMITS)
    assert anonymous is not None
    assert anonymous[0].caller is ANONYMOUS


def test_what_is_remembered_is_bounded() -> None:
    own = lane()
    for number in range(2_000):
        lines = (b"POST /run/%d/now HTTP/1.1" % number, LINES[1], b"User-Agent: %d" % number)
        assert own.recognise(message(*lines, body=b""), DEFAULT_LIMITS) is not None
    assert max(len(own._requests), len(own._headers)) <= 512


PIECES = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b":",
        b"\x00",
        b"\xff",
        b"0",
        b"x",
        b"%",
        b"Host: localhost:8000\r\n",
    ]
    + [line + b"\r\n" for line in LINES]
    + [b"Transfer-Encoding: chunked\r\n", b"Content-Length: 12\r\n", b"Connection: close\r\n"]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A message that was ordinary, with some places changed."""
    lines = [LINES[0], *draw(st.permutations(LINES[1:]))]
    data = message(*lines)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        until = at + draw(st.integers(0, 12))
        data = data[:at] + draw(PIECES | st.binary(max_size=3)) + data[until:]
    return data


SHARED = lane()


@given(mutated())
def test_whatever_is_recognised_is_what_the_parser_would_see(data: bytes) -> None:
    agrees(data, SHARED)


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(max_examples=5_000)
@given(mutated())
def test_the_same_at_length(data: bytes) -> None:
    agrees(data, SHARED)
