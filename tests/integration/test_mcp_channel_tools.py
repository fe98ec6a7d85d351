"""Tools without a transport: what is published, what is refused, and what is imported."""

from __future__ import annotations

import contextlib
import gc
import subprocess
import sys
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import kaizen_nexus
from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.channels.mcp.changes import ToolChanges
from kaizen_nexus.channels.mcp.client import Client, ProtocolError, connect
from kaizen_nexus.channels.mcp.server import build_server
from kaizen_nexus.channels.mcp.tools import ToolCatalogue
from kaizen_nexus.runtime.service import Runtime
from kaizen_nexus.sessions import NexusSessionManager

pytestmark = pytest.mark.anyio


def echo(value: Any) -> Any:
    return value


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = Runtime(NexusSessionManager(max_sessions=1))
    deploy(runtime, echo, "echo")
    yield runtime
    runtime.sessions.close()


@contextlib.asynccontextmanager
async def in_memory(runtime: Runtime) -> AsyncIterator[tuple[Any, Any]]:
    """Serve one client in this process; yields its streams."""
    requests, incoming = anyio.create_memory_object_stream[Any](1)
    outgoing, replies = anyio.create_memory_object_stream[Any](1)
    async with requests, replies, anyio.create_task_group() as tasks:
        tasks.start_soon(build_server(runtime, ToolChanges()).serve, (incoming, outgoing))
        yield replies, requests


@pytest.fixture
async def client(runtime: Runtime, handshake: bool) -> AsyncIterator[Client]:
    async with connect(in_memory(runtime), handshake=handshake) as connected:
        yield connected


def deploy(runtime: Runtime, agent: Any, name: str) -> None:
    workflow = as_workflow(agent, name)
    runtime.registry.deploy(workflow, ("mcp",), prefix="/api/workflows", sessions=False)


@pytest.mark.parametrize(
    "value", [None, True, -1, 2**70, 0.1, "\0\u2028\U0001f600", [[], {}], {"": {"a/b": [None]}}]
)
async def test_every_json_value_comes_back_as_it_was(client: Client, value: Any) -> None:
    result = await client.call_tool("echo", {"value": value})
    assert result["structuredContent"]["result"] == value


async def test_a_full_session_table_is_an_error_result(client: Client) -> None:
    assert not (await client.call_tool("echo", {"value": 1, "session_id": "new"}))["isError"]
    refused = await client.call_tool("echo", {"value": 1, "session_id": "new"})
    assert refused["isError"]
    assert "Call again without session_id, or later." in refused["content"][0]["text"]


async def test_an_unforeseen_failure_says_nothing_of_itself(
    client: Client, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(_: Any) -> None:
        raise ZeroDivisionError("hunter2")

    monkeypatch.setattr(runtime, "execute", crash)
    with pytest.raises(ProtocolError, match="The server failed; its log says why") as caught:
        await client.call_tool("echo", {"value": 1})
    assert caught.value.code == -32603


def test_a_tool_is_described_once_for_each_deployment(runtime: Runtime) -> None:
    catalogue = ToolCatalogue(runtime.registry)
    before = catalogue.find("echo")
    (listed,), _ = catalogue.page(None)
    assert listed is before.tool
    assert catalogue.find("echo") is before
    replaced = weakref.ref(runtime.registry.find("echo", "mcp"))
    deploy(runtime, echo, "echo")
    assert catalogue.find("echo") is not before
    gc.collect()
    assert replaced() is None


def test_the_session_argument_avoids_every_input(runtime: Runtime) -> None:
    def taken(session_id: str, nexus_session_id: str) -> None: ...

    deploy(runtime, taken, "taken")
    published = ToolCatalogue(runtime.registry).find("taken")
    assert published.session_argument == "nexus_nexus_session_id"
    assert published.session_argument in published.tool["inputSchema"]["properties"]


@pytest.mark.parametrize("version", ["1.22.5", "3.0.0"])
def test_another_sdk_is_as_good_as_none(version: str) -> None:
    program = f"""
from importlib import metadata
metadata.version = lambda name: {version!r}
try:
    import kaizen_nexus.channels.mcp.sdk
except ImportError as error:
    assert "needs mcp>=1.23,<3" in str(error), error
    assert {version!r} in str(error.__cause__), error.__cause__
else:
    raise AssertionError("no error")
"""
    root = Path(kaizen_nexus.__file__).parents[1]
    completed = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert completed.returncode == 0, completed.stderr


def test_the_sdk_is_imported_only_when_it_is_needed() -> None:
    program = """
import sys
import kaizen_nexus.channels.mcp
import kaizen_nexus.channels.mcp.mount
assert "mcp" not in sys.modules
sys.modules["mcp"] = None
try:
    import kaizen_nexus.channels.mcp.http
except ImportError as error:
    assert "pip install 'kaizen-nexus[serve]'" in str(error), error
else:
    raise AssertionError("no error")
"""
    root = Path(kaizen_nexus.__file__).parents[1]
    completed = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert completed.returncode == 0, completed.stderr
