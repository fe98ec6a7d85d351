"""Many calls at once over two pipes: cancelled, left waiting, not taken, and at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.channels.mcp import conversation
from kaizen_nexus.runtime.service import Runtime
from tests.integration.piped import ENVELOPE, HANDSHAKE, MODERN, Piped, call

pytestmark = pytest.mark.anyio

TOKEN = {"progressToken": "p"}
TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
HUNG_UP = {"code": -32000, "message": "Connection closed"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "GRACE", 0.0)


class Agents:
    """Agents that the test lets go on."""

    def __init__(self) -> None:
        self.started: asyncio.Queue[int] = asyncio.Queue()
        self.cancelled: asyncio.Queue[int] = asyncio.Queue()
        self.go_on = asyncio.Event()

    async def wait(self, number: int = 0) -> int:
        self.started.put_nowait(number)
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.put_nowait(number)
            raise
        return number

    async def resist(self) -> str:
        self.started.put_nowait(0)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await self.go_on.wait()
        return "nevertheless"

    async def repeat(self, text: str, times: int = 1) -> str:
        self.started.put_nowait(times)
        return text * times


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = Runtime()
    yield runtime
    runtime.sessions.close()


@pytest.fixture
def agents(runtime: Runtime) -> Agents:
    agents = Agents()
    for agent in (agents.wait, agents.resist, agents.repeat):
        workflow = as_workflow(agent, agent.__name__)
        runtime.registry.deploy(workflow, ("mcp",), prefix="/", sessions=False)
    return agents


@asynccontextmanager
async def conversing(runtime: Runtime, version: str = HANDSHAKE) -> AsyncIterator[Piped]:
    client = Piped(runtime, version)
    await client.begin()
    yield client
    await client.close()


def with_meta(request: dict[str, Any], meta: dict[str, Any]) -> dict[str, Any]:
    return {**request, "params": {**request["params"], "_meta": meta}}


@pytest.mark.parametrize("request_id", [7, "7", "seven"])
async def test_what_a_client_cancels_is_not_answered(
    runtime: Runtime, agents: Agents, request_id: Any
) -> None:
    async with conversing(runtime) as client:
        client.send(with_meta(call("wait", id=request_id), TOKEN))
        await agents.started.get()
        client.cancel("unknown")
        client.cancel(7 if request_id == "7" else request_id)
        await agents.cancelled.get()
        client.request(2, "ping")
        assert await client.receive() == {"jsonrpc": "2.0", "id": 2, "result": {}}


async def test_a_call_may_be_cancelled_before_it_has_begun(
    runtime: Runtime, agents: Agents
) -> None:
    notice = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    async with conversing(runtime) as client:
        client.send(call("repeat", {"text": "a"}), notice, call("repeat", {"text": "b"}, id=2))
        messages = [await client.receive()]
        if messages[0]["id"] == 1:  # it was faster
            messages.append(await client.receive())
        assert messages[-1]["result"]["structuredContent"]["result"] == "b"


async def test_an_agent_that_resists_its_cancellation_is_not_answered_either(
    runtime: Runtime, agents: Agents
) -> None:
    async with conversing(runtime) as client:
        client.send(call("resist"))
        await agents.started.get()
        client.cancel(1)
        agents.go_on.set()
        client.send(call("wait", id=2))
        assert (await client.receive())["id"] == 2


async def test_who_waits_keeps_nobody_waiting(runtime: Runtime, agents: Agents) -> None:
    async with conversing(runtime) as client:
        client.send(*(call("wait", {"number": n}, id=n) for n in range(1, 11)))
        client.send(call("repeat", {"text": "a"}, id=11))
        assert (await client.receive())["id"] == 11
        client.send(with_meta(call("repeat", {"text": "a"}, id=12), TRACE))
        assert (await client.receive())["id"] == 12
        agents.go_on.set()
        messages = [await client.receive() for _ in range(10)]
        results = {m["id"]: m["result"]["structuredContent"]["result"] for m in messages}
        assert results == {number: number for number in range(1, 11)}


async def test_a_client_need_not_wait_for_the_handshake(runtime: Runtime, agents: Agents) -> None:
    client = Piped(runtime)
    info = {"name": "test", "version": "1"}
    params = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": info}
    client.send(
        call("repeat", {"text": "a"}, id=1),
        {"jsonrpc": "2.0", "id": 2, "method": "initialize", "params": params},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        call("repeat", {"text": "b"}, id=3),
    )
    answers = {message["id"]: message for message in [await client.receive() for _ in range(3)]}
    assert answers[1]["error"]["code"] == -32602
    assert answers[2]["result"]["protocolVersion"] == HANDSHAKE
    assert answers[3]["result"]["structuredContent"]["result"] == "b"
    client.send(call("repeat", {"text": "c"}))
    assert (await client.receive())["result"]["structuredContent"]["result"] == "c"
    await client.close()


async def test_answers_are_whole_lines_however_slowly_they_are_read(
    runtime: Runtime, agents: Agents
) -> None:
    async with conversing(runtime) as client:
        for number in range(40):
            text = {"text": f"{number:03}", "times": 10_000}
            client.send(with_meta(call("repeat", text, id=number), TOKEN))
        found = [await client.receive() for _ in range(40)]
        for message in found:
            result = message["result"]["structuredContent"]["result"]
            assert result == f"{message['id']:03}" * 10_000
        assert sorted(message["id"] for message in found) == list(range(40))


async def test_a_client_that_takes_no_answers_is_asked_for_no_more_requests(
    runtime: Runtime, agents: Agents
) -> None:
    async with conversing(runtime) as client:
        for number in range(60):
            text = {"text": "x", "times": 200_000}
            client.send(with_meta(call("repeat", text, id=number), TOKEN))
        started = -1
        while agents.started.qsize() > started:
            started = agents.started.qsize()
            await asyncio.sleep(0.05)
        assert started < 50
        assert {(await client.receive())["id"] for _ in range(60)} == set(range(60))


@pytest.mark.usefixtures("no_grace")
async def test_two_calls_with_one_id_are_both_cancelled_at_the_end(
    runtime: Runtime, agents: Agents
) -> None:
    client = Piped(runtime)
    await client.begin()
    client.send(call("wait"), call("wait"))
    for _ in range(2):
        await agents.started.get()
    assert await client.close() == [{"jsonrpc": "2.0", "id": 1, "error": HUNG_UP}] * 2
    assert agents.cancelled.qsize() == 2


async def test_at_the_end_calls_have_a_moment_to_come_to_theirs(
    runtime: Runtime, agents: Agents
) -> None:
    client = Piped(runtime)
    await client.begin()
    client.send(*(with_meta(call("wait", {"number": n}, id=n), TOKEN) for n in (1, 2, 3)))
    for _ in range(3):
        await agents.started.get()
    client.cancel(3)
    closing = asyncio.create_task(client.close())
    await agents.cancelled.get()
    agents.go_on.set()
    answers = {m["id"]: m["result"]["structuredContent"]["result"] for m in await closing}
    assert answers == {1: 1, 2: 2}


@pytest.mark.usefixtures("no_grace")
@pytest.mark.parametrize("version", [HANDSHAKE, MODERN])
async def test_at_the_end_what_is_done_is_answered_and_the_rest_is_cancelled(
    runtime: Runtime, agents: Agents, version: str
) -> None:
    client = Piped(runtime, version)
    await client.begin()
    meta = ENVELOPE if version == MODERN else {}
    client.send(
        with_meta(call("wait", id=1), meta), with_meta(call("repeat", {"text": "a"}, id=2), meta)
    )
    for _ in range(2):
        await asyncio.wait_for(agents.started.get(), 30)
    done, *rest = sorted(await client.close(), key=lambda message: "error" in message)
    assert (done["id"], done["result"]["structuredContent"]["result"]) == (2, "a")
    assert rest == [{"jsonrpc": "2.0", "id": 1, "error": HUNG_UP}]
    assert agents.cancelled.qsize() == 1


async def test_when_the_client_stops_reading_for_good_the_conversation_ends(
    runtime: Runtime, agents: Agents
) -> None:
    client = Piped(runtime)
    await client.begin()
    client.send(call("wait"))
    await agents.started.get()
    client.stop_reading()
    client.send(call("repeat", {"text": "a"}, id=2))
    await asyncio.wait_for(client.task, 30)
    assert agents.cancelled.qsize() == 1
    client.hang_up()


@pytest.mark.usefixtures("no_grace")
async def test_an_agent_that_resists_the_end_does_not_hold_it_up(
    runtime: Runtime, agents: Agents
) -> None:
    client = Piped(runtime)
    await client.begin()
    client.send(call("resist"))
    await agents.started.get()
    assert "result" not in str(await client.close())
    agents.go_on.set()
