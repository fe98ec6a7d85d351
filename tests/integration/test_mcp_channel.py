"""MCP over streamable HTTP: a real server, the SDK's client in both eras, and plain requests."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import jsonschema
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.channels.mcp.http import McpEndpoint
from kaizen_nexus.runtime.executor import Executor
from kaizen_nexus.runtime.service import Runtime
from tests.integration.mcp_sdk import Client, ProtocolError, connect

pytestmark = pytest.mark.anyio

MODERN, LEGACY = "2026-07-28", "2025-11-25"


@dataclass
class Service:
    runtime: Runtime
    url: str

    def deploy(self, agent: Any, name: str, *, sessions: bool = False) -> None:
        workflow = as_workflow(agent, name)
        self.runtime.registry.deploy(workflow, ("mcp",), prefix="/api/workflows", sessions=sessions)


@contextlib.contextmanager
def serving(runtime: Runtime) -> Iterator[Service]:
    """Serve `runtime` under /ai/mcp from a uvicorn in a thread."""
    endpoint = McpEndpoint(runtime, 1_000_000)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await endpoint.start()
        yield
        await endpoint.stop()

    inner = Starlette(routes=[Route("/mcp", endpoint)])
    app = Starlette(routes=[Mount("/ai", inner)], lifespan=lifespan)
    # The socket listens already: what arrives before the server runs waits in its backlog.
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield Service(runtime, f"http://127.0.0.1:{listening.getsockname()[1]}/ai/mcp")
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
        runtime.sessions.close()
    assert not thread.is_alive()


@pytest.fixture
def service() -> Iterator[Service]:
    with serving(Runtime()) as running:
        yield running


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def client(service: Service, handshake: bool) -> AsyncIterator[Client]:
    async with connect(service.url, handshake=handshake) as connected:
        yield connected


def repeat(text: str, times: int = 1) -> str:
    """Say it again."""
    return text * times


def remember(session: Any, word: str = "") -> list[str]:
    words = [*session.get_state().get("words", []), word]
    session.update_state({"words": words}, channel="mcp")
    return words


def fail() -> str:
    raise LookupError("the password is hunter2")


@dataclasses.dataclass
class Leaf:
    weight: float


@dataclasses.dataclass
class Tree:
    leaves: list[Leaf]
    branches: list[Tree]


def grow(depth: int) -> Tree:
    return Tree([Leaf(0.5)], [grow(depth - 1)] if depth else [])


def text_of(result: Any) -> str:
    (block,) = result["content"]
    return str(block["text"])


async def test_each_era_is_told_the_truth_about_list_changes(
    client: Client, handshake: bool
) -> None:
    told = (client.protocol_version, client.capabilities["tools"]["listChanged"])
    assert told == ((LEGACY, False) if handshake else (MODERN, True))


async def test_a_tool_publishes_its_schemas_and_the_session_argument(
    client: Client, service: Service
) -> None:
    service.deploy(repeat, "repeat")
    (tool,) = (await client.list_tools())["tools"]
    assert (tool["name"], tool["description"]) == ("repeat", "Say it again.")
    properties = tool["inputSchema"]["properties"]
    assert list(properties) == ["text", "times", "session_id"]
    assert tool["inputSchema"]["required"] == ["text"]
    assert tool["inputSchema"]["additionalProperties"] is False
    assert properties["session_id"]["type"] == "string"
    assert tool["outputSchema"]["properties"]["result"] == {"type": "string"}


async def test_an_answer_is_structured_and_the_same_as_text(
    client: Client, service: Service
) -> None:
    service.deploy(repeat, "repeat")
    result = await client.call_tool("repeat", {"text": "é\n", "times": 2})
    assert not result["isError"]
    assert json.loads(text_of(result)) == result["structuredContent"]
    assert result["structuredContent"]["result"] == "é\né\n"
    assert result["structuredContent"]["session_id"] is None
    assert result["structuredContent"]["duration_ms"] > 0
    assert service.runtime.metrics.get_summary()["mcp"]["count"] == 1


async def test_nested_and_recursive_results_match_the_published_schema(
    client: Client, service: Service
) -> None:
    service.deploy(grow, "grow")
    (tool,) = (await client.list_tools())["tools"]
    result = await client.call_tool("grow", {"depth": 2})
    validator = jsonschema.Draft202012Validator(tool["outputSchema"])
    validator.validate(result["structuredContent"])
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**result["structuredContent"], "result": {"leaves": [{"weight": "x"}]}})


async def test_a_session_continues_through_its_argument(client: Client, service: Service) -> None:
    service.deploy(remember, "remember")
    first = await client.call_tool("remember", {"word": "a", "session_id": "new"})
    session_id = first["structuredContent"]["session_id"]
    second = await client.call_tool("remember", {"word": "b", "session_id": session_id})
    assert second["structuredContent"]["result"] == ["a", "b"]
    assert second["structuredContent"]["session_id"] == session_id
    session = service.runtime.sessions.get_session(session_id)
    assert session is not None
    assert (session.user_id, list(session.channel_activity)) == ("anonymous", ["mcp"])


async def test_a_tool_deployed_with_sessions_starts_one_by_itself(
    client: Client, service: Service
) -> None:
    service.deploy(remember, "remember", sessions=True)
    first = await client.call_tool("remember", {"word": "a"})
    second = await client.call_tool(
        "remember", {"word": "b", "session_id": first["structuredContent"]["session_id"]}
    )
    assert second["structuredContent"]["result"] == ["a", "b"]


async def test_an_input_called_session_id_stays_the_agents(
    client: Client, service: Service
) -> None:
    def lookup(session_id: str, session: Any) -> str:
        return f"{session_id} in {session.session_id}"

    service.deploy(lookup, "lookup")
    result = await client.call_tool("lookup", {"session_id": "42", "nexus_session_id": "new"})
    content = result["structuredContent"]
    assert content["result"] == f"42 in {content['session_id']}"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"text": 1}, "- /text: Expected `str`, got `int`"),
        ({}, "- /text: "),
        (None, "- /text: "),
        ({"text": "a", "tmies": 2}, "- /tmies: "),
        ({"text": "a", "session_id": 4}, "- /session_id: Expected `str`"),
        ({"text": "a", "session_id": "gone"}, 'Call again with session_id "new"'),
    ],
)
async def test_a_refusal_says_what_to_change(
    client: Client, service: Service, arguments: dict[str, Any] | None, expected: str
) -> None:
    service.deploy(repeat, "repeat")
    result = await client.call_tool("repeat", arguments)
    assert result["isError"]
    assert expected in text_of(result)
    assert "structuredContent" not in result


async def test_a_failing_agent_is_an_error_result_without_its_secrets(
    client: Client, service: Service
) -> None:
    service.deploy(fail, "fail")
    result = await client.call_tool("fail")
    assert result["isError"]
    assert "'fail' failed" in text_of(result)
    assert "hunter2" not in json.dumps(result)
    assert "Traceback" not in json.dumps(result)


async def test_an_unknown_tool_is_a_protocol_error(client: Client) -> None:
    with pytest.raises(ProtocolError, match="Unknown tool: nothing") as caught:
        await client.call_tool("nothing", {"a": 1})
    assert caught.value.code == -32602


async def test_overload_is_an_error_result_that_says_when_to_try_again(handshake: bool) -> None:
    running, finish = threading.Event(), threading.Event()

    def wait() -> None:
        running.set()
        assert finish.wait(30)

    with serving(Runtime(executor=Executor(max_pending=1))) as service:
        service.deploy(wait, "wait")
        async with connect(service.url, handshake=handshake) as client:
            first = asyncio.create_task(client.call_tool("wait"))
            assert await asyncio.to_thread(running.wait, 30)
            try:
                refused = await client.call_tool("wait")
            finally:
                finish.set()
            assert refused["isError"]
            assert "Call again after 1 second" in text_of(refused)
            assert not (await first)["isError"]


async def test_a_replaced_tool_answers_the_next_call(client: Client, service: Service) -> None:
    def shout(phrase: str) -> str:
        return phrase.upper()

    service.deploy(repeat, "speak")
    assert (await client.call_tool("speak", {"text": "a"}))["structuredContent"]["result"] == "a"
    service.deploy(shout, "speak")
    (tool,) = (await client.list_tools())["tools"]
    assert list(tool["inputSchema"]["properties"]) == ["phrase", "session_id"]
    result = await client.call_tool("speak", {"phrase": "a"})
    assert result["structuredContent"]["result"] == "A"
    service.runtime.registry.remove("speak")
    assert not (await client.list_tools())["tools"]


async def test_a_long_list_comes_in_pages_that_fit_together(
    client: Client, service: Service
) -> None:
    for number in range(1_005):
        service.deploy(repeat, f"tool{number:04}")
    first = await client.list_tools()
    assert "nextCursor" in first
    # What leaves or comes between two pages neither shifts nor repeats the rest.
    service.runtime.registry.remove("tool0000")
    service.runtime.registry.remove("tool0999")
    second = await client.list_tools(cursor=first["nextCursor"])
    names = [tool["name"] for tool in [*first["tools"], *second["tools"]]]
    assert names == [f"tool{number:04}" for number in range(1_005)]
    assert "nextCursor" not in second
    assert (await client.call_tool("tool1004", {"text": "a"}))["structuredContent"]["result"] == "a"
    with pytest.raises(ProtocolError, match="Invalid cursor"):
        await client.list_tools(cursor="not a cursor")
