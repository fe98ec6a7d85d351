"""Redeploying under load: nothing fails, nothing is answered by two versions, nothing is left."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from kaizen_nexus import Nexus, deploy_multi_channel

if TYPE_CHECKING:
    from tests.proofs.conftest import Server

pytestmark = pytest.mark.slow

SERVICE = """\
import asyncio
import gc
import weakref

from kaizen_nexus import BaseAgent, Nexus, deploy_multi_channel

seen = []


class Answer:
    def __init__(self, number: int) -> None:
        self.number = number
        seen.append(weakref.ref(self))

    async def run(self, query: str) -> list:
        numbers = [self.number]
        for _ in range(3):
            await asyncio.sleep(0.005)
            numbers.append(self.number)
        return [query, *numbers]


class Count:
    def __init__(self, number: int) -> None:
        self.number = number
        seen.append(weakref.ref(self))

    async def run(self):
        for _ in range(10):
            yield self.number
            await asyncio.sleep(0.03)


def redeploy(number: int, keep: int = 1) -> None:
    deploy_multi_channel(Answer(number), app, "answer", keep=keep)
    deploy_multi_channel(Count(number), app, "count", keep=keep)


def left() -> list[int]:
    gc.collect()
    return sorted(agent.number for reference in seen if (agent := reference()) is not None)


app = Nexus()
deploy_multi_channel(redeploy, app, "redeploy")
deploy_multi_channel(left, app, "left")
redeploy(1)
"""
EVENT = re.compile(rb"event: (\w+)\ndata: (.*)\n")
HEADER = re.compile(rb"(?i)\r\nx-workflow-version: (\d+)\r\n")


async def post(port: int, path: str, inputs: dict[str, Any]) -> bytes:
    """Return the whole answer to a request on a connection of its own."""
    body = json.dumps(inputs).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
        )
        writer.write(body)
        return await reader.read()
    finally:
        writer.close()


async def run(port: int, name: str, **inputs: Any) -> tuple[Any, int]:
    """Return the result of a workflow, and the version that gave it."""
    answer = await post(port, f"/api/workflows/{name}/execute", inputs)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), answer
    version = HEADER.search(head + b"\r\n")
    assert version
    return json.loads(body)["result"], int(version[1])


class Load:
    """Requests and streams, at a steady rate, until it is told to stop."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.versions: set[int] = set()
        self.requests = 0
        self.streams = 0
        self.over = False

    async def ask(self, name: str, interval: float) -> None:
        while not self.over:
            self.requests += 1
            query = f"{name}-{self.requests}"
            (echo, *numbers), version = await run(self.port, "answer", query=query)
            assert echo == query
            assert numbers == [version] * 4
            self.versions.add(version)
            await asyncio.sleep(interval)

    async def listen(self) -> None:
        while not self.over:
            self.streams += 1
            events = EVENT.findall(await post(self.port, "/api/workflows/count/stream", {}))
            assert [kind for kind, _ in events] == [b"chunk"] * 10 + [b"result"]
            assert len({number for _, number in events[:-1]}) == 1, events


def test_nothing_fails_and_nothing_is_mixed_while_agents_are_redeployed(
    serve: Callable[..., Server], full: bool
) -> None:
    server = serve(SERVICE)
    redeployments, askers, listeners = (100, 20, 20) if full else (20, 5, 5)

    async def prove() -> Load:
        load = Load(server.port)
        tasks = [asyncio.ensure_future(load.ask(f"asker{n}", 0.08)) for n in range(askers)]
        tasks += [asyncio.ensure_future(load.listen()) for _ in range(listeners)]
        for number in range(2, redeployments + 2):
            await run(server.port, "redeploy", number=number)
            await asyncio.sleep(0.1)
        load.over = True
        await asyncio.gather(*tasks)
        last = redeployments + 1
        assert (await run(server.port, "left"))[0] == [last - 1, last - 1, last, last]
        await run(server.port, "redeploy", number=last + 1, keep=0)
        assert (await run(server.port, "left"))[0] == [last + 1, last + 1]
        return load

    load = asyncio.run(asyncio.wait_for(prove(), 100))
    # That there was load, on any machine.
    assert len(load.versions) > redeployments / 2
    assert load.requests > redeployments * askers / 4
    assert load.streams > redeployments * listeners / 20


class Builder:
    """An agent whose build takes until the test says so."""

    def __init__(self, label: str) -> None:
        self.label = label

    def to_workflow(self) -> Builder:
        return self

    def build(self) -> Callable[..., str]:
        return build(self.label)


def build(label: str) -> Callable[..., str]:
    raise AssertionError(label)


@pytest.mark.parametrize("cancelled", ["the caller", "the build"])
def test_a_thousand_simultaneous_deployments_are_one_build(
    monkeypatch: pytest.MonkeyPatch, cancelled: str
) -> None:
    callers = 1_000
    builds: list[str] = []
    building, finish = threading.Event(), threading.Event()

    def slow(label: str) -> Callable[..., str]:
        first = not builds and not building.is_set()
        building.set()
        assert finish.wait(60)
        if first and cancelled == "the build":
            raise asyncio.CancelledError
        builds.append(label)
        return lambda query: f"{label} {query}"

    monkeypatch.setitem(globals(), "build", slow)

    async def prove(app: Nexus) -> list[Any]:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(callers) as pool:
            label = f"built once, {cancelled} cancelled"
            tasks = [
                loop.run_in_executor(pool, deploy_multi_channel, Builder(label), app, "faq")
                for _ in range(callers)
            ]
            await asyncio.to_thread(building.wait, 60)
            if cancelled == "the caller":
                for task in tasks[: callers // 2]:
                    task.cancel()
            finish.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    with closing(Nexus()) as app:
        outcomes = asyncio.run(prove(app))
        version = app.runtime.registry.history_of("faq").current.version
    failed = [o for o in outcomes if not isinstance(o, dict)]
    expected = {"the caller": callers // 2, "the build": 1}[cancelled]
    assert [type(o) for o in failed] == [asyncio.CancelledError] * expected
    assert len(builds) == 1
    assert version == 1
