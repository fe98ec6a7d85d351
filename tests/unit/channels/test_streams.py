"""Streams whose readers do not read: what they hold is given back in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.channels.api.execute import Execution
from kaizen_nexus.channels.api.stream import Streaming
from kaizen_nexus.channels.cli import streaming as cli_streaming
from kaizen_nexus.channels.cli.endpoint import CliEndpoint
from kaizen_nexus.http.streams import Streams
from kaizen_nexus.runtime.executor import Executor
from kaizen_nexus.runtime.service import Runtime

SOON = 0.02
PATIENCE = 10.0


async def silent(words: int) -> AsyncIterator[str]:
    for _ in range(words):
        yield "word"
    await asyncio.Event().wait()


class Deaf:
    """A client that has sent its request, stays, and takes so many messages of the answer."""

    def __init__(self, takes: int, body: bytes) -> None:
        self.takes = takes
        self.body = body
        self.told = False
        self.stuck = asyncio.Event()

    async def receive(self) -> Any:
        if not self.told:
            self.told = True
            return {"type": "http.request", "body": self.body}
        await asyncio.Event().wait()
        return None

    async def send(self, message: Any) -> None:
        if self.takes == 0:
            self.stuck.set()
            await asyncio.Event().wait()
        self.takes -= 1


def runtime_of(agent: Any, timeout: float | None) -> Runtime:
    runtime = Runtime(executor=Executor(timeout=timeout))
    workflow = as_workflow(agent, "silent")
    runtime.registry.deploy(workflow, ["api", "cli"], prefix="/p", sessions=False)
    return runtime


def scope(**headers: str) -> Any:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "path": "/", "headers": raw}


def test_a_sign_of_life_that_nobody_takes_does_not_hold_the_stream_open() -> None:
    async def main() -> None:
        runtime, streams = runtime_of(silent, 0.1), Streams()
        endpoint = Streaming(
            runtime, Execution(runtime, 1_000), streams, heartbeat=SOON, farewell=SOON
        )
        client = Deaf(2, b'{"words": 0}')
        await asyncio.wait_for(
            endpoint.answer("silent", scope(), client.receive, client.send), PATIENCE
        )
        assert (len(streams), runtime.executor.timed_out) == (0, 1)
        runtime.sessions.close()

    asyncio.run(main())


@pytest.mark.parametrize("channel", ["api", "cli"])
def test_a_run_that_goes_on_without_its_reader_does_not_hold_the_stream_open(
    channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One with an idempotency key is not given up, and its next chunk waits to be taken."""
    monkeypatch.setattr(cli_streaming, "FAREWELL_TIMEOUT", SOON)

    async def main() -> None:
        runtime, streams = runtime_of(silent, None), Streams()
        inputs = {"words": 5}
        if channel == "api":
            endpoint = Streaming(runtime, Execution(runtime, 1_000), streams, farewell=SOON)
            client = Deaf(2, msgspec.json.encode(inputs))
            answered = endpoint.answer(
                "silent", scope(idempotency_key="a"), client.receive, client.send
            )
        else:
            line = ["silent", "--words", "5", "--stream", "--idempotency-key", "a"]
            client = Deaf(2, msgspec.json.encode({"argv": line, "streams": True}))
            answered = CliEndpoint(runtime, 1_000, streams)(
                scope(content_type="application/json"), client.receive, client.send
            )
        answering = asyncio.ensure_future(answered)
        await client.stuck.wait()
        streams.close()
        await asyncio.wait_for(answering, PATIENCE)
        assert len(streams) == 0
        runtime.sessions.close()

    asyncio.run(main())
