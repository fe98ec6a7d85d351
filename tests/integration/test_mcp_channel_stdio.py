"""MCP over standard input and output: a real server process, the SDK's client and plain pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

import kaizen_nexus
from tests.integration.mcp_sdk import StdioCommand, connect

pytestmark = pytest.mark.anyio

ROOT = str(Path(kaizen_nexus.__file__).parents[1])
MODERN, LEGACY = "2026-07-28", "2025-11-25"
INITIALIZE = {
    "protocolVersion": LEGACY,
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}
SERVER = """
import asyncio, os, subprocess, sys
from typing import Any

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.channels.mcp.http import McpEndpoint
from kaizen_nexus.runtime.service import Runtime

runtime = Runtime()
endpoint = McpEndpoint(runtime, 1_000_000)

def chatty(text: str) -> str:
    print("from print", flush=True)
    print("from the buffer")
    os.write(1, b"from the descriptor\\n")
    child = "import sys; print('from a child', repr(sys.stdin.read()))"
    subprocess.run([sys.executable, "-c", child], check=True)
    return text

def count(session: Any) -> int:
    number = session.get_state().get("number", 0) + 1
    session.update_state({"number": number}, channel="mcp")
    return number

async def wait() -> str:
    print("waiting", flush=True)
    try:
        await asyncio.sleep(60)
    finally:
        print("cancelled", flush=True)
    return "too late"

async def resist() -> str:
    print("waiting", flush=True)
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            pass

def deploy(agent: Any, name: str) -> None:
    workflow = as_workflow(agent, name)
    runtime.registry.deploy(workflow, ("mcp",), prefix="/api/workflows", sessions=False)

def grow() -> None:
    deploy(chatty, "grown")

for agent in (chatty, count, wait, resist, grow):
    deploy(agent, agent.__name__)
endpoint.run_stdio(lambda: None)
runtime.sessions.close()
print("ended cleanly", file=sys.stderr)
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "server.py"
    path.write_text(SERVER)
    return str(path)


def command(script: str) -> StdioCommand:
    inherited = os.environ.get("PYTHONPATH", "")
    return StdioCommand(
        command=sys.executable,
        args=["-W", "error", script],
        env={"PYTHONPATH": os.pathsep.join(filter(None, [ROOT, inherited]))},
    )


@pytest.fixture
def started(script: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server that nobody has talked to yet."""
    settings = command(script)
    with subprocess.Popen(
        [settings.command, *settings.args],
        env={**os.environ, **(settings.env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.fixture
def process(started: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """A server whose client has shaken hands."""
    send(started, "initialize", **INITIALIZE)
    assert receive(started)["result"]["protocolVersion"] == LEGACY
    send(started, "notifications/initialized", request_id=None)
    return started


def pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def send(
    process: subprocess.Popen[bytes], method: str, request_id: int | None = 1, **params: Any
) -> None:
    identity = {} if request_id is None else {"id": request_id}
    body = {"jsonrpc": "2.0", **identity, "method": method, "params": params}
    pipe(process.stdin).write(json.dumps(body).encode() + b"\n")
    pipe(process.stdin).flush()


def receive(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(pipe(process.stdout).readline())
    return message


async def test_nothing_but_the_protocol_is_on_standard_output(script: str, handshake: bool) -> None:
    async with connect(command(script), handshake=handshake) as client:
        assert client.protocol_version == (LEGACY if handshake else MODERN)
        for _ in range(3):
            result = await client.call_tool("chatty", {"text": "é"})
            assert result["structuredContent"]["result"] == "é"


async def test_a_session_continues_through_its_argument(script: str, handshake: bool) -> None:
    async with connect(command(script), handshake=handshake) as client:
        first = await client.call_tool("count", {"session_id": "new"})
        session_id = first["structuredContent"]["session_id"]
        second = await client.call_tool("count", {"session_id": session_id})
        assert second["structuredContent"]["result"] == 2


@pytest.mark.usefixtures("modern")
async def test_subscribers_are_told_of_a_new_tool(script: str) -> None:
    from mcp import Client, StdioServerParameters

    settings = command(script)
    server = StdioServerParameters(
        command=settings.command, args=list(settings.args), env=dict(settings.env or {})
    )
    async with Client(server) as client:
        async with client.listen(tools_list_changed=True) as subscription:
            await client.call_tool("grow")
            await anext(subscription)
        assert "grown" in [tool.name for tool in (await client.list_tools()).tools]


def test_a_client_that_shook_hands_is_told_of_a_new_tool(
    process: subprocess.Popen[bytes],
) -> None:
    send(process, "tools/call", name="grow", arguments={})
    # The notice and the answer are written by tasks of their own.
    messages = [receive(process), receive(process)]
    assert {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"} in messages
    send(process, "tools/list")
    assert "grown" in [tool["name"] for tool in receive(process)["result"]["tools"]]


def test_a_client_may_cancel_what_it_waits_for(process: subprocess.Popen[bytes]) -> None:
    send(process, "tools/call", name="wait", arguments={})
    assert pipe(process.stderr).readline() == b"waiting\n"
    send(process, "notifications/cancelled", request_id=None, requestId=1)
    assert pipe(process.stderr).readline() == b"cancelled\n"
    # What was cancelled is not answered.
    send(process, "ping", request_id=2)
    assert receive(process) == {"jsonrpc": "2.0", "id": 2, "result": {}}


def test_tools_are_not_served_before_the_handshake(started: subprocess.Popen[bytes]) -> None:
    send(started, "ping")
    assert receive(started)["result"] == {}
    send(started, "tools/list")
    assert receive(started)["error"]["code"] == -32602
    send(started, "initialize", **INITIALIZE)
    assert receive(started)["result"]["capabilities"] == {"tools": {"listChanged": True}}
    send(started, "tools/list")
    assert len(receive(started)["result"]["tools"]) == 5


def test_a_connection_keeps_to_the_era_it_began_in(process: subprocess.Popen[bytes]) -> None:
    send(process, "tools/list", _meta=ENVELOPE)
    assert receive(process)["error"]["code"] == -32600


def test_a_message_whose_id_cannot_be_repeated_is_dropped(
    process: subprocess.Popen[bytes],
) -> None:
    line = b'{"jsonrpc": "2.0", "id": "\\ud800", "method": "ping"}\n'
    pipe(process.stdin).write(line)
    send(process, "ping", request_id=7)
    assert receive(process) == {"jsonrpc": "2.0", "id": 7, "result": {}}


def test_what_agents_print_goes_to_standard_error(process: subprocess.Popen[bytes]) -> None:
    send(process, "tools/call", name="chatty", arguments={"text": "a"})
    assert receive(process)["result"]["structuredContent"]["result"] == "a"
    output, errors = process.communicate(timeout=30)
    assert output == b""
    for line in ("from print", "from the buffer", "from the descriptor", "from a child ''"):
        assert line in errors.decode().splitlines()
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_though_the_client_stays(
    process: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    process.send_signal(number)
    assert process.wait(30) == 0
    assert pipe(process.stderr).read() == b"ended cleanly\n"


@pytest.mark.parametrize("by_signal", [True, False])
def test_a_running_agent_is_cancelled_at_the_end(
    process: subprocess.Popen[bytes], *, by_signal: bool
) -> None:
    send(process, "tools/call", name="wait", arguments={})
    assert pipe(process.stderr).readline() == b"waiting\n"
    if by_signal:
        process.send_signal(signal.SIGTERM)
    else:
        pipe(process.stdin).close()
    assert process.wait(30) == 0
    assert pipe(process.stderr).read() == b"cancelled\nended cleanly\n"


@pytest.mark.parametrize("by_signal", [True, False])
def test_an_agent_that_resists_cancellation_is_left_at_the_end(
    process: subprocess.Popen[bytes], *, by_signal: bool
) -> None:
    send(process, "tools/call", name="resist", arguments={})
    assert pipe(process.stderr).readline() == b"waiting\n"
    if by_signal:
        process.send_signal(signal.SIGTERM)
    else:
        pipe(process.stdin).close()
    assert process.wait(10) == 0
    assert b"ended cleanly\n" in pipe(process.stderr).read()


def test_standard_output_is_served_once_at_a_time() -> None:
    program = """
import os
from kaizen_nexus.channels.mcp.claimed import claimed_stdout

with claimed_stdout() as first:
    print("diverted", flush=True)
    try:
        with claimed_stdout():
            raise AssertionError("claimed twice")
    except RuntimeError as error:
        os.write(first, f"{error}\\n".encode())
with claimed_stdout() as second:
    print("diverted, too")
    os.write(second, b"again\\n")
print("restored")
"""
    completed = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, timeout=60
    )
    assert completed.stdout.splitlines() == [
        b"standard output is being served already",
        b"again",
        b"restored",
    ]
    assert completed.stderr == b"diverted\ndiverted, too\n"
