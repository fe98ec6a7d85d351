"""Host and Origin on every route of a served app."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from kaizen_nexus import Nexus, deploy_multi_channel

ROUTES = [
    ("POST", "/api/workflows/echo/execute"),
    ("GET", "/api/workflows"),
    ("POST", "/api/sessions"),
    ("GET", "/health/live"),
    ("GET", "/metrics.json"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("POST", "/cli/run"),
    ("POST", "/mcp"),
    ("GET", "/nowhere"),
]


def echo(query: str) -> str:
    """Repeat the query."""
    return query


@pytest.fixture(scope="module")
def app() -> Iterator[Nexus]:
    app = Nexus(
        api_port=0,
        allowed_hosts=["agents.example.com", "internal.example.com:8443"],
        allowed_origins=["https://pages.example.com"],
    )
    deploy_multi_channel(echo, app, "echo")
    app.start(blocking=False)
    yield app
    app.close()


def ask(app: Nexus, headers: dict[str, str]) -> httpx2.Response:
    url = f"{app.url}/api/workflows/echo/execute"
    return httpx2.post(url, json={"query": "hello"}, headers=headers, timeout=10)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_route_answers_for_a_foreign_host_or_origin(app: Nexus, method: str, path: str) -> None:
    with httpx2.Client(base_url=app.url, timeout=10) as client:
        rebound = client.request(method, path, headers={"Host": "evil.example.com"})
        assert rebound.status_code == 421
        assert rebound.json()["type"] == "urn:kaizen-nexus:problem:misdirected-request"
        foreign = client.request(method, path, headers={"Origin": "https://evil.example.com"})
        assert foreign.status_code == 403
        assert foreign.json()["type"] == "urn:kaizen-nexus:problem:foreign-origin"


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:80",
        "127.0.0.1:1",
        "[::1]:8000",
        "agents.example.com",
        "agents.example.com:81",
        "internal.example.com:8443",
    ],
)
def test_own_hosts_are_answered(app: Nexus, host: str) -> None:
    assert ask(app, {"Host": host}).json()["result"] == "hello"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.com",
        "agents.example.com.evil.example.com",
        "evil.example.com:80@localhost",
        "internal.example.com",
        "internal.example.com:8444",
        "127.0.0.1.evil.example.com",
        "localhost:port",
        "[::1",
    ],
)
def test_other_hosts_are_not(app: Nexus, host: str) -> None:
    assert ask(app, {"Host": host}).status_code == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Origin": "http://[::1]"}, 200),
        ({"Origin": "https://pages.example.com"}, 200),
        ({"Origin": "https://pages.example.com:8443"}, 200),
        ({"Origin": "https://agents.example.com", "Host": "agents.example.com"}, 200),
        ({"Origin": "https://agents.example.com"}, 403),
        ({"Origin": "http://pages.example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "file://localhost"}, 403),
        ({"Origin": ""}, 403),
    ],
)
def test_origins(app: Nexus, headers: dict[str, str], status: int) -> None:
    assert ask(app, headers).status_code == status


@pytest.mark.parametrize("hosts", [[], ["localhost"] * 2, ["localhost", "evil.example.com"]])
def test_a_request_has_one_host(app: Nexus, hosts: list[str]) -> None:
    lines = ["GET /health/live HTTP/1.1", *(f"Host: {host}" for host in hosts), "", ""]
    with socket.create_connection(("127.0.0.1", app.api_port), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode())
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400 ")


def test_the_address_that_was_reached_is_a_host_of_the_server() -> None:
    # No DNS name can stand for it, so no page can have been rebound to it.
    app = Nexus(api_port=0, host="127.0.0.2")
    deploy_multi_channel(echo, app, "echo")
    app.start(blocking=False)
    try:
        assert ask(app, {}).status_code == 200
        assert ask(app, {"Host": "127.0.0.3"}).status_code == 421
    finally:
        app.close()


def test_a_gateway_may_be_trusted_with_the_check() -> None:
    app = Nexus(api_port=0, allowed_hosts=["*"], allowed_origins=["*"])
    deploy_multi_channel(echo, app, "echo")
    app.start(blocking=False)
    try:
        anything = {"Host": "anything.example.com", "Origin": "https://else.example.com"}
        assert ask(app, anything).status_code == 200
    finally:
        app.close()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"allowed_hosts": "example.com"}, TypeError),
        ({"allowed_origins": "https://example.com"}, TypeError),
        ({"allowed_hosts": ["https://example.com"]}, ValueError),
        ({"allowed_hosts": [""]}, ValueError),
        ({"allowed_origins": ["example.com"]}, ValueError),
        ({"allowed_origins": ["https://example.com/path"]}, ValueError),
        ({"allowed_origins": ["https://user@example.com"]}, ValueError),
    ],
)
def test_values_that_could_never_match_are_refused(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"allowed_(hosts|origins)"):
        Nexus(**options)


@pytest.mark.parametrize("host", ["agents.example.com", "localhost:1", "127.0.0.1"])
def test_mcp_answers_for_the_same_hosts(app: Nexus, host: str) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    answer = httpx2.post(f"{app.url}/mcp", json=call, headers={"Host": host}, timeout=10)
    assert answer.json()["result"] == {}


def test_an_app_that_answers_for_any_host_does_so_over_mcp() -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    app = Nexus(api_port=0, allowed_hosts=["*"], allowed_origins=["*"])
    app.start(blocking=False)
    try:
        headers = {"Host": "whatever.example.com", "Origin": "https://pages.example.com"}
        answer = httpx2.post(f"{app.url}/mcp", json=call, headers=headers, timeout=10)
        assert answer.json()["result"] == {}
    finally:
        app.close()
