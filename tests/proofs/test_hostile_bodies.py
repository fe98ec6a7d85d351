"""Bodies that want more of a server than they are worth, on every route that takes one."""

from __future__ import annotations

import http.client
import itertools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SERVICE = """\
from kaizen_nexus import Nexus, deploy_multi_channel

def take(value=None) -> int:
    return 1

app = Nexus(max_body=4 * 1024 * 1024)
deploy_multi_channel(take, app, "take")
"""
LIMIT = 4 * 1024 * 1024
ALLOWED_GROWTH = 128 * 1024
"""KiB beyond the idle server, at the worst moment: 32 times the largest body."""

ROUTES = {
    "api": ("/api/workflows/take/execute", b'{"value":%b}'),
    "inputs": ("/api/workflows/take/execute", b'{"inputs":{"value":%b}}'),
    "sessions": ("/api/sessions", b'{"state":{"value":%b}}'),
    "cli": ("/cli/run", b'{"argv":["take","--value",%b]}'),
    "mcp": (
        "/mcp",
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%b}'
        % b'{"name":"take","arguments":{"value":%b}}',
    ),
}
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2025-11-25",
}


def filled(begin: bytes, unit: bytes, end: bytes, size: int = LIMIT - 200) -> bytes:
    """Return `unit` repeated to fill `size` bytes, its last separator left out."""
    return begin + (unit * ((size - len(begin + end)) // len(unit))).rstrip(b",") + end


HOSTILE = {
    "deep arrays": b"[" * 101 + b"]" * 101,
    "deep objects": b'{"a":' * 101 + b"1" + b"}" * 101,
    "arrays that never close": b"[" * (LIMIT - 200),
    "objects that never close": b'{"a":' * 800_000,
    "small integers": filled(b"[", b"0,", b"]"),
    "empty arrays": filled(b"[", b"[],", b"]"),
    "empty objects": filled(b"[", b"{},", b"]"),
    "short strings": filled(b"[", b'"ab",', b"]"),
    "short keys": b"{" + b",".join(b'"%x":0' % key for key in range(400_000)) + b"}",
    "an integer of many digits": b"1" * 100_000,
    "a float out of range": b"1e999",
    "NaN": b"NaN",
    "an infinity": b"-Infinity",
    "a lone surrogate": b'"\\ud800"',
    "a lone surrogate as a key": b'{"\\udfff":1}',
    "a NUL that is not escaped": b'"\x00"',
    "no UTF-8": b'"\xff"',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "a key twice": b'{"a":1,"a":2}',
    "a key twice among many": b'{"a":1,"b":"' + b":" * 70_000 + b'","a":2}',
    "half of it": b'{"a":',
}


def post(port: int, path: str, body: Any, **headers: str) -> tuple[int, bytes]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        client.request("POST", path, body, {**HEADERS, **headers})
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()


def send_chunked(port: int, path: str, body: Any, *, is_encoded: bool) -> None:
    """Send a body that is said to come in chunks, whether or not it does."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {**HEADERS, "Transfer-Encoding": "chunked"}
    try:
        client.request("POST", path, body, headers, encode_chunked=is_encoded)
    finally:
        client.close()


def memory(pid: int) -> int:
    """Return the most that a process ever had in memory, since `reset`, in KiB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


def reset(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def test_they_are_refused_everywhere_and_cost_little(serve: Callable[..., Any]) -> None:
    server = serve(SERVICE)
    measured = sys.platform == "linux"
    for path, template in ROUTES.values():
        for _ in range(5):
            assert post(server.port, path, template % b'"1"')[0] in {200, 201}
    wrong = []
    for name, value in HOSTILE.items():
        for route, (path, template) in ROUTES.items():
            if measured:
                reset(server.pid)
                before = memory(server.pid)
            status, answer = post(server.port, path, template % value)
            grown = memory(server.pid) - before if measured else 0
            is_error = b'"isError":true' in answer or b'"error":' in answer
            if route == "mcp" and status == 200 and is_error:
                status = 422
            if status not in {400, 413, 422} or grown > ALLOWED_GROWTH or b"Traceback" in answer:
                wrong.append((name, route, status, grown, answer[:200]))
    assert wrong == []
    assert "Traceback" not in "".join(server.log)


def test_nor_do_they_where_the_end_is_not_in_sight(serve: Callable[..., Any], full: bool) -> None:
    server = serve(SERVICE)
    routes = {route: ROUTES[route] for route in (ROUTES if full else ("api", "mcp"))}
    for path, template in routes.values():
        post(server.port, path, template % b'"1"')

    def endless() -> Any:
        while True:
            yield b" " * 65536

    for route, (path, _) in routes.items():
        if sys.platform == "linux":
            reset(server.pid)
            before = memory(server.pid)
        declared = str(10**12)
        assert post(server.port, path, None, **{"Content-Length": declared})[0] == 413, route
        for is_encoded in (False, True):
            # It hangs up while this one is still sending.
            with pytest.raises(ConnectionError):
                send_chunked(server.port, path, endless(), is_encoded=is_encoded)
        status, _ = post(server.port, path, b"\x1f\x8b", **{"Content-Encoding": "gzip"})
        assert status == 415
        if sys.platform == "linux":
            assert memory(server.pid) - before < ALLOWED_GROWTH, route


SENT = {
    "ASCII": b'"' + b"x" * 4_190_000 + b'"',
    "brackets": b'"' + b",[{:" * 1_000_000 + b'"',
    "Chinese": b'"' + "\u4e2d".encode() * 1_390_000 + b'"',
    "emoji": b'"' + "\U0001f600".encode() * 1_040_000 + b'"',
    "escapes": b'"' + b"\\u4e2d" * 690_000 + b'"',
    "one emoji among ASCII": b'"' + b"x" * 1_000_000 + "\U0001f600".encode() + b'"',
    "paragraphs": filled(b"[", b'"%b",' % (b"x" * 2_000), b"]"),
    "small objects": b"[" + b",".join([b'{"a":[],"b":1.5}'] * 13_000) + b"]",
    "one emoji among 4 MiB of ASCII": b'"' + b"x" * 4_000_000 + "\U0001f600".encode() + b'"',
    "short strings with an emoji": filled(b"[", b'"%b\\ud83d\\ude00",' % (b"x" * 80), b"]"),
    "keys that are all different": b"{%b}" % b",".join(b'"%060x":0' % n for n in range(60_000)),
}


def test_what_is_taken_costs_little_too(serve: Callable[..., Any], full: bool) -> None:
    server = serve(SERVICE)
    turns = itertools.cycle(ROUTES)
    for path, template in ROUTES.values():
        post(server.port, path, template % b'"1"')
    wrong = []
    for name, value in SENT.items():
        for route in ROUTES if full else {"api", next(turns)}:
            path, template = ROUTES[route]
            if route == "cli" and not value.startswith(b'"'):
                continue  # an argument is a text
            if sys.platform == "linux":
                reset(server.pid)
                before = memory(server.pid)
            status, answer = post(server.port, path, template % value)
            grown = memory(server.pid) - before if sys.platform == "linux" else 0
            if status not in {200, 201} or b'"isError":true' in answer or grown > ALLOWED_GROWTH:
                wrong.append((name, route, status, grown, answer[:200]))
    assert wrong == []


def test_larger_bodies_than_the_default_are_refused_everywhere(serve: Callable[..., Any]) -> None:
    server = serve(SERVICE.replace("max_body=4 * 1024 * 1024", ""))
    for path, _ in ROUTES.values():
        assert post(server.port, path, None, **{"Content-Length": str(LIMIT // 4 + 1)})[0] == 413
