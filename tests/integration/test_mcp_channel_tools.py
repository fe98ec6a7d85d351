"""Tools without a transport: what is published, what is refused, and what is imported."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kaizen_nexus
from kaizen_nexus.access.callers import LOCAL
from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.channels.mcp.messages import HANDSHAKE, CallParams, Reply
from kaizen_nexus.channels.mcp.server import McpServer
from kaizen_nexus.channels.mcp.tools import PublishedTool, ToolCatalogue
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


class Client:
    """Calls tools without a transport."""

    def __init__(self, runtime: Runtime) -> None:
        self._server = McpServer(runtime)

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        params = CallParams(name=name, arguments=arguments)
        reply = self._server.call(HANDSHAKE, 1, params, LOCAL)
        if not isinstance(reply, Reply):
            call, ended = reply, asyncio.get_running_loop().create_future()
            self._server.runtime.start(call.invocation, ended.set_result)
            reply = self._server.outcome(call, (await ended).outcome)
        answer: dict[str, Any] = json.loads(reply.body)
        return answer


@pytest.fixture
def client(runtime: Runtime) -> Client:
    return Client(runtime)


def deploy(runtime: Runtime, agent: Any, name: str) -> None:
    workflow = as_workflow(agent, name)
    runtime.registry.deploy(workflow, ("mcp",), prefix="/api/workflows", sessions=False)


@pytest.mark.parametrize(
    "value", [None, True, -1, 2**70, 0.1, "\0\u2028\U0001f600", [[], {}], {"": {"a/b": [None]}}]
)
async def test_every_json_value_comes_back_as_it_was(client: Client, value: Any) -> None:
    result = await client.call_tool("echo", {"value": value})
    assert result["result"]["structuredContent"]["result"] == value


async def test_a_full_session_table_is_an_error_result(client: Client) -> None:
    arguments = {"value": 1, "session_id": "new"}
    assert not (await client.call_tool("echo", dict(arguments)))["result"]["isError"]
    refused = (await client.call_tool("echo", dict(arguments)))["result"]
    assert refused["isError"]
    assert "Call again without session_id, or later." in refused["content"][0]["text"]


async def test_an_unforeseen_failure_says_nothing_of_itself(
    client: Client, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any) -> None:
        raise ZeroDivisionError("hunter2")

    monkeypatch.setattr(runtime, "find", crash)
    error = (await client.call_tool("echo", {"value": 1}))["error"]
    assert error == {"code": -32603, "message": "The server failed; its log says why"}


def test_a_tool_is_described_once_for_each_deployment(runtime: Runtime) -> None:
    catalogue = ToolCatalogue(runtime.registry)

    def find() -> PublishedTool:
        return catalogue.publish(runtime.registry.find("echo", "mcp"))

    before = find()
    (listed,), _ = catalogue.page(None)
    assert listed is before.tool
    assert find() is before
    replaced = weakref.ref(runtime.registry.find("echo", "mcp"))
    deploy(runtime, echo, "echo")
    assert find() is not before
    gc.collect()
    assert replaced() is None


def test_the_session_argument_avoids_every_input(runtime: Runtime) -> None:
    def taken(session_id: str, nexus_session_id: str) -> None: ...

    deploy(runtime, taken, "taken")
    published = ToolCatalogue(runtime.registry).publish(runtime.registry.find("taken", "mcp"))
    assert published.session_argument == "nexus_nexus_session_id"
    assert published.session_argument in published.tool["inputSchema"]["properties"]


def test_the_sdk_is_not_imported() -> None:
    program = """
import sys
import kaizen_nexus.nexus
import kaizen_nexus.channels.mcp.stdio
assert not {"mcp", "mcp_types", "pydantic"} & set(sys.modules)
"""
    root = Path(kaizen_nexus.__file__).parents[1]
    completed = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert completed.returncode == 0, completed.stderr
