"""MCP over streamable HTTP, message by message; starting, stopping and subscribing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
import uvicorn

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.channels.mcp.http import McpEndpoint
from kaizen_nexus.runtime.service import Runtime

pytestmark = pytest.mark.anyio

MAX_BODY = 64 * 1024
INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}
MODERN = "2026-07-28"
MODERN_HEADERS = {
    "Content-Type": "application/json",
    "MCP-Protocol-Version": MODERN,
    "Mcp-Method": "tools/call",
    "Mcp-Name": "echo",
}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}
LEGACY_HEADERS = {
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2025-06-18",
}


def double(number: int) -> int:
    return 2 * number


def deploy(runtime: Runtime, agent: Any, name: str) -> None:
    workflow = as_workflow(agent, name)
    runtime.registry.deploy(workflow, ("mcp",), prefix="/api/workflows", sessions=False)


def message(method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = Runtime()
    deploy(runtime, double, "double")
    yield runtime
    runtime.sessions.close()


@pytest.fixture
def endpoint(runtime: Runtime) -> McpEndpoint:
    return McpEndpoint(runtime, MAX_BODY)


@contextlib.asynccontextmanager
async def served(endpoint: McpEndpoint) -> AsyncIterator[str]:
    """Serve the endpoint by itself on this loop, as a host that forwards no lifespan would."""
    # The socket listens already: what arrives before the server runs waits in its backlog.
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(endpoint, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        await endpoint.stop()
        server.should_exit = True
        await task
        listening.close()


@pytest.fixture
async def url(endpoint: McpEndpoint) -> AsyncIterator[str]:
    async with served(endpoint) as address:
        yield address


@pytest.fixture
async def wire(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=url, headers=LEGACY_HEADERS, timeout=30) as client:
        yield client


async def in_process(endpoint: McpEndpoint, body: Any) -> httpx2.Response:
    """Send one request without a server; the caller's event loop serves it."""
    transport = httpx2.ASGITransport(endpoint)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.post("/", json=body, headers=LEGACY_HEADERS)


async def test_a_handshake_client_needs_no_transport_session(wire: httpx2.AsyncClient) -> None:
    hello = await wire.post("/", json=message("initialize", INITIALIZE))
    assert hello.status_code == 200
    assert hello.json()["result"]["protocolVersion"] == "2025-06-18"
    assert hello.json()["result"]["capabilities"]["tools"] == {"listChanged": False}
    assert "mcp-session-id" not in hello.headers
    notice = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert (await wire.post("/", json=notice)).status_code == 202
    listed = await wire.post("/", json=message("tools/list"))
    assert [tool["name"] for tool in listed.json()["result"]["tools"]] == ["double"]
    call = message("tools/call", {"name": "double", "arguments": {"number": 4}})
    answer = (await wire.post("/", json=call)).json()["result"]
    assert answer["structuredContent"]["result"] == 8


async def test_a_handshake_client_survives_a_restart(
    wire: httpx2.AsyncClient, endpoint: McpEndpoint
) -> None:
    await wire.post("/", json=message("initialize", INITIALIZE))
    await endpoint.stop()
    assert (await wire.post("/", json=message("tools/list"))).status_code == 503
    await endpoint.start()
    assert (await wire.post("/", json=message("tools/list"))).status_code == 200


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("NaN", "NaN is not JSON"),
        ("[-1e999]", "a number is out of range"),
        (r'{"\ud800": 1}', "a string holds a lone surrogate"),
        ('{"a": 1, "a": 2}', "duplicate key"),
        pytest.param("[" * 1_000 + "]" * 1_000, "nested more than 100 levels", id="deep"),
        pytest.param("[" * 101 + "]" * 101, "nested more than 100 levels", id="just too deep"),
    ],
)
async def test_what_is_not_strict_json_never_reaches_an_agent(
    wire: httpx2.AsyncClient, runtime: Runtime, handshake: bool, value: str, problem: str
) -> None:
    called: list[Any] = []

    def echo(value: Any) -> None:
        called.append(value)

    deploy(runtime, echo, "echo")
    meta, headers = ({}, LEGACY_HEADERS) if handshake else (ENVELOPE, MODERN_HEADERS)
    call = message("tools/call", {"name": "echo", "arguments": {"value": 0}, "_meta": meta})
    content = json.dumps(call).replace('"value": 0', f'"value": {value}')
    headers = {"Content-Type": "application/json", **headers}
    response = await wire.post("/", content=content, headers=headers)
    assert not called
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, -32700)
    assert problem in error["message"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ('{"jsonrpc": "2.0", "id": 1, "method": "foo/bar"}', 200, -32601),
        ('{"jsonrpc": "2.0", "id": 1, "method": "server/discover"}', 200, -32601),
        ('{"jsonrpc": "2.0", "id": 1, "method": "tools/call"}', 200, -32602),
        (
            '{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": 3}}',
            200,
            -32602,
        ),
        ('{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}', 200, -32602),
        ('{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}', 400, -32600),
        ('{"id": 1, "method": "ping"}', 400, -32600),
        ('[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', 400, -32600),
        ("{", 400, -32700),
        ("", 400, -32700),
    ],
)
async def test_a_bad_request_is_refused(
    wire: httpx2.AsyncClient, body: str, status: int, code: int
) -> None:
    headers = {"Content-Type": "application/json"}
    response = await wire.post("/", content=body, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Accept": "*/*"}, 200),
        ({"Accept": "application/*"}, 200),
        ({"Accept": "text/event-stream, Application/JSON;q=0.5"}, 200),
        ({"Accept": "text/event-stream"}, 406),
        ({"Accept": "text/html"}, 406),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/json-seq"}, 415),
    ],
)
async def test_media_types_are_negotiated(
    wire: httpx2.AsyncClient, headers: dict[str, str], status: int
) -> None:
    content = json.dumps(message("tools/list"))
    headers = {"Content-Type": "application/json", **headers}
    response = await wire.post("/", content=content, headers=headers)
    assert response.status_code == status


@pytest.mark.parametrize(
    ("requested", "agreed"),
    [("2024-11-05", "2024-11-05"), ("2025-11-25", "2025-11-25"), (MODERN, "2025-11-25")],
)
async def test_a_handshake_agrees_on_a_version(
    wire: httpx2.AsyncClient, requested: str, agreed: str
) -> None:
    hello = message("initialize", {**INITIALIZE, "protocolVersion": requested})
    result = (await wire.post("/", json=hello)).json()["result"]
    assert result["protocolVersion"] == agreed


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_other_methods_are_refused(wire: httpx2.AsyncClient, method: str) -> None:
    response = await wire.request(method, "/")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_a_body_over_the_limit_is_413_declared_or_not(wire: httpx2.AsyncClient) -> None:
    async def undeclared() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * (MAX_BODY // 2)

    headers = {"Content-Type": "application/json"}
    long = b" " * (MAX_BODY + 1)
    assert (await wire.post("/", content=long, headers=headers)).status_code == 413
    assert (await wire.post("/", content=undeclared(), headers=headers)).status_code == 413
    padded = message("tools/list", {"_meta": {"padding": "x" * (MAX_BODY - 200)}})
    assert (await wire.post("/", json=padded)).status_code == 200


@pytest.mark.usefixtures("modern")
async def test_subscribers_are_told_from_any_thread(url: str, endpoint: McpEndpoint) -> None:
    from mcp import Client
    from mcp.client.subscriptions import ToolsListChanged

    def announce() -> None:
        for _ in range(100):
            endpoint.notify_tools_changed()

    async with Client(url) as client, client.listen(tools_list_changed=True) as subscription:
        for _ in range(2):
            # Many changes at once may be told as one, but never as none.
            notifier = threading.Thread(target=announce)
            notifier.start()
            assert isinstance(await anext(subscription), ToolsListChanged)
            await asyncio.to_thread(notifier.join)


@pytest.mark.usefixtures("modern")
@pytest.mark.parametrize("altogether", [True, False])
async def test_subscriptions_end_with_a_farewell(
    url: str, endpoint: McpEndpoint, *, altogether: bool
) -> None:
    from mcp import Client

    async with Client(url) as client, client.listen(tools_list_changed=True) as subscription:
        if altogether:
            await endpoint.stop()
        else:
            endpoint.end_subscriptions()
        # An abrupt end would raise.
        with pytest.raises(StopAsyncIteration):
            await anext(subscription)
        endpoint.notify_tools_changed()


async def test_starting_and_stopping_twice_changes_nothing(endpoint: McpEndpoint) -> None:
    await endpoint.start()
    await endpoint.start()
    assert (await in_process(endpoint, message("tools/list"))).status_code == 200
    await endpoint.stop()
    await endpoint.stop()
    assert (await in_process(endpoint, message("tools/list"))).status_code == 503


async def test_simultaneous_first_requests_start_it_once(endpoint: McpEndpoint) -> None:
    requests = [in_process(endpoint, message("tools/list")) for _ in range(20)]
    assert {response.status_code for response in await asyncio.gather(*requests)} == {200}
    await endpoint.stop()


def test_event_loops_can_follow_one_another(endpoint: McpEndpoint) -> None:
    async def once(*, orderly: bool) -> int:
        if orderly:
            await endpoint.start()
        response = await in_process(endpoint, message("tools/list"))
        if orderly:
            await endpoint.stop()
        return response.status_code

    for orderly in (True, False, False, True):
        assert asyncio.run(once(orderly=orderly)) == 200


async def test_two_event_loops_at_once_are_refused(endpoint: McpEndpoint) -> None:
    await endpoint.start()
    with pytest.raises(RuntimeError, match="another event loop"):
        await asyncio.to_thread(asyncio.run, endpoint.start())
    with pytest.raises(RuntimeError, match="on the event loop that is served"):
        await asyncio.to_thread(asyncio.run, endpoint.stop())
    await endpoint.stop()


async def test_stopping_does_not_wait_for_agents(runtime: Runtime, endpoint: McpEndpoint) -> None:
    running, finish = asyncio.Event(), asyncio.Event()

    async def stubborn() -> str:
        running.set()
        while not finish.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await finish.wait()
        return "at last"

    deploy(runtime, stubborn, "stubborn")
    call = asyncio.create_task(
        in_process(endpoint, message("tools/call", {"name": "stubborn", "arguments": {}}))
    )
    await running.wait()
    await asyncio.wait_for(endpoint.stop(), 5)
    finish.set()
    assert (await call).status_code == 503
