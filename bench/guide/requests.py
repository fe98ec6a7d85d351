"""One request on each channel, against a server on a real socket."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from bench.guide.assistant import Assistant, Config, check
from bench.guide.figures import milliseconds
from bench.report import Row
from bench.timing import Sample, alternate
from kaizen_nexus import Nexus, deploy_multi_channel

__all__ = ["execution", "serving", "whole_process"]


def execution(rounds: int) -> list[Row]:
    """One request on each channel, against a server on a real socket."""
    with serving() as app, http_request(app) as over_http:
        api = alternate({"api": over_http}, rounds * 4)["api"]
        processes = whole_process(app, max(5, rounds // 2))
        mcp = asyncio.run(over_mcp(app, rounds * 2))
    cli = processes["cli"]
    ratio = cli.median / processes["python"].median
    return [
        Row("API overhead", milliseconds(api), "50 ms", api.median < 0.050),
        Row(
            "CLI overhead, whole process",
            f"{milliseconds(cli)}, {ratio:.1f}x `python -c pass`",
            "500 ms",
            cli.median < 0.500,
        ),
        Row("MCP overhead", milliseconds(mcp), "50 ms", mcp.median < 0.050),
    ]


def whole_process(app: Nexus, rounds: int) -> dict[str, Sample]:
    """Time ``nexus run`` as a whole process, beside an interpreter that does nothing."""
    command = [*nexus_program(), "run", "assistant", "--query", "x", "-o", "json"]
    environment = {**os.environ, "NEXUS_URL": app.url}

    def over_cli() -> None:
        completed = subprocess.run(
            command, env=environment, capture_output=True, check=True, timeout=60
        )
        check(json.loads(completed.stdout)["result"])

    def interpreter() -> None:
        subprocess.run([sys.executable, "-c", "pass"], check=True, timeout=60)

    return alternate({"cli": over_cli, "python": interpreter}, rounds)


async def over_mcp(app: Nexus, rounds: int) -> Sample:
    """Time tool calls on one connection of the protocol's own client."""
    from kaizen_nexus.channels.mcp.client import connect

    async with connect(f"{app.url}/mcp") as client:

        async def call() -> None:
            result = await client.call_tool("assistant", {"query": "x"})
            check(result["structuredContent"]["result"])

        return await timed(call, rounds)


async def timed(call: Callable[[], Awaitable[None]], rounds: int) -> Sample:
    """Time an asynchronous call, after one that does not count."""
    loop = asyncio.get_running_loop()
    await call()
    seconds = []
    for _ in range(rounds):
        started = loop.time()
        await call()
        seconds.append(loop.time() - started)
    return Sample(tuple(seconds))


@contextmanager
def serving() -> Iterator[Nexus]:
    """Serve the assistant on a free port."""
    app = Nexus(api_port=0)
    deploy_multi_channel(Assistant(Config()), app, "assistant")
    app.start(blocking=False)
    try:
        yield app
    finally:
        app.close()


@contextmanager
def http_request(app: Nexus) -> Iterator[Callable[[], None]]:
    """Give a function that makes one request, all on one connection."""
    connection = HTTPConnection("127.0.0.1", app.api_port, timeout=30)
    body = json.dumps({"query": "x"})

    def request() -> None:
        connection.request("POST", "/api/workflows/assistant/execute", body)
        check(json.load(connection.getresponse())["result"])

    try:
        yield request
    finally:
        connection.close()


def nexus_program() -> list[str]:
    """Return how to start the installed program."""
    script = Path(sysconfig.get_path("scripts")) / "nexus"
    return [str(script)] if script.exists() else [sys.executable, "-m", "kaizen_nexus"]
