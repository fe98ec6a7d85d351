"""The MCP client of the check: against our server, and against servers that misbehave."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import pytest

from kaizen_nexus import Nexus, deploy_multi_channel
from kaizen_nexus.channels.cli.response import UnreachableError
from kaizen_nexus.testing.mcp_client import (
    HANDSHAKE,
    MODERN,
    McpClient,
    McpError,
    connect_http,
    connect_stdio,
)

TIMEOUT = 30.0


def double(number: int) -> int:
    return 2 * number


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    app = Nexus(api_port=0)
    deploy_multi_channel(double, app, "double")
    app.start(blocking=False)
    yield f"{app.url}/mcp"
    app.close()


@pytest.mark.parametrize("modern", [False, True])
def test_tools_are_listed_and_called(endpoint: str, modern: bool) -> None:
    with closing(connect_http(endpoint, modern=modern, timeout=TIMEOUT)) as client:
        assert client.version == (MODERN if modern else HANDSHAKE)
        assert list(client.tools()) == ["double"]
        assert client.call("double", {"number": 2})["structuredContent"]["result"] == 4
        with pytest.raises(McpError, match="Unknown tool: triple") as caught:
            client.call("triple", {})
        assert caught.value.code == -32602


EVENTS = """: hello

data: {"jsonrpc": "2.0", "method": "notifications/progress"}\r
\r
event: message
data: {"jsonrpc": "2.0",
data: "id": ID, "result": {"content": []}}

"""


class Scripted(BaseHTTPRequestHandler):
    """Answers requests with what the server's script has for their method."""

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server: Any = self.server
        server.seen.append((message["method"], self.headers))
        status, kind, body = server.script[message["method"]]
        content = body.replace("ID", str(message.get("id"))).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Mcp-Session-Id", "a-session")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def scripted() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    server.script = {
        "initialize": (
            200,
            "application/json",
            '{"jsonrpc": "2.0", "id": ID, "result": {"protocolVersion": "2025-06-18"}}',
        ),
        "notifications/initialized": (202, "application/json", ""),
    }
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def connected(server: Any) -> McpClient:
    host, port = server.server_address
    return connect_http(f"http://{host}:{port}/mcp", modern=False, timeout=TIMEOUT)


def test_an_answer_may_be_a_stream_of_events_in_a_session(scripted: Any) -> None:
    scripted.script["tools/call"] = (
        200,
        "text/event-stream",
        EVENTS,
    )
    client = connected(scripted)
    assert client.version == "2025-06-18"
    assert client.call("x", {}) == {"content": []}
    method, headers = scripted.seen[-1]
    assert (method, headers["MCP-Protocol-Version"]) == ("tools/call", "2025-06-18")
    assert headers["Mcp-Session-Id"] == "a-session"


def test_pages_are_followed(scripted: Any) -> None:
    page = '{"jsonrpc": "2.0", "id": ID, "result": {"tools": [{"name": "tID"}]NEXT}}'
    pages = iter([page.replace("NEXT", ', "nextCursor": "2"'), page.replace("NEXT", "")])

    class Script(dict[str, Any]):
        def __getitem__(self, method: str) -> Any:
            if method == "tools/list":
                return 200, "application/json", next(pages)
            return super().__getitem__(method)

    scripted.script = Script(scripted.script)
    assert list(connected(scripted).tools()) == ["t2", "t3"]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, '{"detail": "Not Found"}', "HTTP 404 without a JSON-RPC answer"),
        (200, "[", "HTTP 200 without a JSON-RPC answer"),
        (202, "", "HTTP 202 without a JSON-RPC answer"),
        (200, '{"jsonrpc": "2.0", "id": ID, "result": 1}', "neither a result nor an error"),
    ],
)
def test_what_is_no_answer(scripted: Any, status: int, body: str, expected: str) -> None:
    scripted.script["tools/call"] = (status, "application/json", body)
    with pytest.raises(UnreachableError, match=expected):
        connected(scripted).call("x", {})


def test_an_error_with_another_status_is_the_servers(scripted: Any) -> None:
    body = '{"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": "no"}}'
    scripted.script["tools/call"] = (400, "application/json", body)
    with pytest.raises(McpError, match="JSON-RPC error -32600: no"):
        connected(scripted).call("x", {})


DISCOVER = (
    "print(json.dumps({'id': 1, 'result': {'supportedVersions': ['2026-07-28']}}), flush=True)"
)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[IO[bytes]]:
    with (tmp_path / "log").open("wb") as file:
        yield file


def over_stdio(code: str, log: IO[bytes], timeout: float = TIMEOUT) -> McpClient:
    command = [sys.executable, "-c", f"import json, sys, time, threading\n{code}"]
    return connect_stdio(command, env=dict(os.environ), log=log, timeout=timeout)


def test_over_stdio_only_the_answer_counts(log: IO[bytes]) -> None:
    code = f"""
sys.stdin.readline()
print("not JSON")
print(json.dumps({{"method": "notifications/message"}}))
{DISCOVER}
for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({{"id": 99, "result": {{}}}}))
    print(json.dumps({{"id": request["id"], "result": request["params"]["arguments"]}}), flush=True)
"""
    with closing(over_stdio(code, log)) as client:
        assert client.call("x", {"a": "ä" * 100_000}) == {"a": "ä" * 100_000}
        assert client.call("x", {"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("sys.stdin.readline()", "the server closed the connection"),
        ("threading.Event().wait(60)", r"no answer within 0\.3 s"),
    ],
)
def test_a_server_over_stdio_that_does_not_answer(
    log: IO[bytes], code: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "wait" in code:
        monkeypatch.setattr("kaizen_nexus.testing.mcp_client.START_TIMEOUT", 0.3)
    monkeypatch.setattr("kaizen_nexus.testing.mcp_client.CLOSE_TIMEOUT", 0.1)
    with pytest.raises(UnreachableError, match=expected):
        over_stdio(code, log)


def test_a_server_over_stdio_that_does_not_read(
    log: IO[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kaizen_nexus.testing.mcp_client.CLOSE_TIMEOUT", 0.1)
    client = over_stdio(f"sys.stdin.readline(); {DISCOVER}; threading.Event().wait(60)", log, 2.0)
    with closing(client), pytest.raises(UnreachableError):
        client.call("x", {"a": "x" * 1_000_000})
