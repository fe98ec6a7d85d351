"""Agents that take too long, and clients that do not wait, on a served app."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import httpx2
import pytest

from kaizen_nexus import Nexus, deploy_multi_channel
from kaizen_nexus.channels.cli.protocol import EXIT_REFUSED
from tests.integration.mcp_sdk import latest_version

PATIENCE = 30


class Waiting:
    """An agent that waits until it is told to go on, and tells whether it got that far."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.ended = threading.Event()

    async def run(self, query: str) -> str:
        self.begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.ended.set()
        return query


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


@pytest.fixture
def impatient(waiting: Waiting) -> Iterator[Nexus]:
    app = Nexus(api_port=0, timeout=0.2)
    deploy_multi_channel(waiting, app, "waiting")
    app.start(blocking=False)
    yield app
    app.close()


def test_http_answers_504_and_the_agent_is_cancelled(impatient: Nexus, waiting: Waiting) -> None:
    url = f"{impatient.url}/api/workflows/waiting/execute"
    answer = httpx2.post(url, json={"query": "x"}, timeout=PATIENCE)
    assert answer.status_code == 504
    assert answer.json()["type"] == "urn:kaizen-nexus:problem:deadline-exceeded"
    assert "no result within 0.2 s" in answer.json()["detail"]
    assert waiting.ended.wait(PATIENCE)
    numbers = httpx2.get(f"{impatient.url}/metrics.json", timeout=PATIENCE).json()
    assert numbers["executor"]["timed_out"] == 1
    assert (numbers["operations"]["api"]["count"], numbers["executor"]["pending"]) == (1, 0)


def test_the_command_line_says_so(impatient: Nexus) -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "kaizen_nexus", "run", "waiting", "--query", "x"],
        env={**os.environ, "NEXUS_URL": impatient.url},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert completed.returncode == EXIT_REFUSED
    assert "Error: no result within 0.2 s" in completed.stderr


def test_a_tool_call_says_so(impatient: Nexus) -> None:
    call = {"name": "waiting", "arguments": {"query": "x"}}
    answer = httpx2.post(
        f"{impatient.url}/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call},
        headers={
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2025-11-25",
        },
        timeout=PATIENCE,
    )
    result = answer.json()["result"]
    assert result["isError"] is True
    assert "no result within 0.2 s" in result["content"][0]["text"]


PROTOCOL = "2026-07-28"
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": PROTOCOL,
    "io.modelcontextprotocol/clientCapabilities": {},
}
TOOL_CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "waiting", "arguments": {"query": "x"}, "_meta": ENVELOPE},
}
TOOL_HEADERS = (
    f"Accept: application/json\r\nMCP-Protocol-Version: {PROTOCOL}\r\n"
    "Mcp-Method: tools/call\r\nMcp-Name: waiting\r\n"
)


@pytest.mark.parametrize(
    ("path", "inputs", "headers"),
    [
        ("/api/workflows/waiting/execute", {"query": "x"}, ""),
        ("/cli/run", {"argv": ["waiting", "--query", "x"]}, ""),
        pytest.param(
            "/mcp",
            TOOL_CALL,
            TOOL_HEADERS,
            marks=pytest.mark.skipif(latest_version() < PROTOCOL, reason="SDK 1 does not know it"),
        ),
    ],
)
def test_a_client_that_hangs_up_cancels_the_agent(
    waiting: Waiting, path: str, inputs: dict[str, Any], headers: str
) -> None:
    app = Nexus(api_port=0)
    deploy_multi_channel(waiting, app, "waiting")
    app.start(blocking=False)
    body = json.dumps(inputs).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"{headers}Content-Length: {len(body)}\r\n\r\n"
    )
    try:
        with socket.create_connection(("127.0.0.1", app.api_port), timeout=PATIENCE) as client:
            client.sendall(head.encode() + body)
            assert waiting.begun.wait(PATIENCE)
        assert waiting.ended.wait(PATIENCE)
        # Answered on the same event loop, after what the disconnection had to set off.
        numbers = httpx2.get(f"{app.url}/metrics.json", timeout=PATIENCE).json()
        assert numbers["executor"]["given_up"] == 1
    finally:
        app.close()
