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
from mcp import Client, StdioServerParameters

import kaizen_nexus
from kaizen_nexus.channels.mcp.stdin import InterruptibleInput

pytestmark = pytest.mark.anyio

ROOT = str(Path(kaizen_nexus.__file__).parents[1])
MODERN, LEGACY = "2026-07-28", "2025-11-25"
SERVER = """
import asyncio, os, subprocess, sys
from typing import Any

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.channels.mcp.changes import ToolChanges
from kaizen_nexus.channels.mcp.stdio import run_stdio
from kaizen_nexus.runtime.service import Runtime

runtime, changes = Runtime(), ToolChanges()

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

def deploy(agent: Any, name: str) -> None:
    workflow = as_workflow(agent, name)
    runtime.registry.deploy(workflow, ("mcp",), prefix="/api/workflows", sessions=False)
    changes.notify()

def grow() -> None:
    deploy(chatty, "grown")

for agent in (chatty, count, wait, grow):
    deploy(agent, agent.__name__)
run_stdio(runtime, changes)
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


def parameters(script: str) -> StdioServerParameters:
    inherited = os.environ.get("PYTHONPATH", "")
    return StdioServerParameters(
        command=sys.executable,
        args=["-W", "error", script],
        env={"PYTHONPATH": os.pathsep.join(filter(None, [ROOT, inherited]))},
    )


@pytest.fixture
def process(script: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server that has answered one request, and so is serving."""
    settings = parameters(script)
    with subprocess.Popen(
        [settings.command, *settings.args],
        env={**os.environ, **(settings.env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        try:
            send(running, "tools/list")
            assert len(receive(running)["result"]["tools"]) == 4
            yield running
        finally:
            running.kill()


def pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def send(process: subprocess.Popen[bytes], method: str, **params: Any) -> None:
    envelope = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": envelope}}
    pipe(process.stdin).write(json.dumps(body).encode() + b"\n")
    pipe(process.stdin).flush()


def receive(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(pipe(process.stdout).readline())
    return message


@pytest.mark.parametrize(("mode", "version"), [("auto", MODERN), ("legacy", LEGACY)])
async def test_nothing_but_the_protocol_is_on_standard_output(
    script: str, mode: str, version: str
) -> None:
    async with Client(parameters(script), mode=mode) as client:
        assert client.protocol_version == version
        for _ in range(3):
            result = await client.call_tool("chatty", {"text": "é"})
            assert result.structured_content["result"] == "é"


async def test_a_session_continues_through_its_argument(script: str) -> None:
    async with Client(parameters(script)) as client:
        first = await client.call_tool("count", {"session_id": "new"})
        session_id = first.structured_content["session_id"]
        second = await client.call_tool("count", {"session_id": session_id})
        assert second.structured_content["result"] == 2


async def test_subscribers_are_told_of_a_new_tool(script: str) -> None:
    async with Client(parameters(script)) as client:
        async with client.listen(tools_list_changed=True) as subscription:
            await client.call_tool("grow")
            await anext(subscription)
        assert "grown" in [tool.name for tool in (await client.list_tools()).tools]


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


def test_input_ends_when_it_is_interrupted_and_stays_ended() -> None:
    reader, writer = os.pipe()
    try:
        with InterruptibleInput(reader) as source:
            os.write(writer, b"first\n")
            assert source.read(100) == b"first\n"
            source.interrupt()
            os.write(writer, b"second\n")
            assert source.read(100) == b""
            assert source.read(100) == b""
    finally:
        os.close(reader)
        os.close(writer)
