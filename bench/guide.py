"""The performance guide's tables: deployment, execution on each channel, sessions, concurrency."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Annotated, Literal

from bench.report import Row
from bench.timing import Sample, alternate
from kaizen_nexus import (
    BaseAgent,
    Nexus,
    NexusSessionManager,
    clear_deployment_cache,
    deploy_multi_channel,
)

__all__ = ["run"]

SESSIONS = 5_000
THREADS = 20
EXPIRED = 1_000
DEPLOYMENTS = 100


@dataclass(frozen=True)
class Config:
    """A configuration like those the guide shows."""

    model: str = "gpt-4"
    temperature: float = 0.7
    max_tokens: int = 1_000


@dataclass(frozen=True)
class Filter:
    """What to restrict an answer to."""

    field: str
    values: list[str]


@dataclass(frozen=True)
class Answer:
    """What the assistant returns."""

    answer: str
    sources: list[str]
    confidence: float


class Assistant(BaseAgent):
    """Answers at once, so that what is measured is the platform."""

    def process(
        self,
        query: Annotated[str, "What to look for"],
        depth: int = 1,
        filters: list[Filter] | None = None,
        style: Literal["short", "long"] = "short",
    ) -> Answer:
        """Return the query."""
        return Answer(f"{query} ({depth})", [], 1.0)


def smallest(query: str) -> str:
    """Return the query: the agent that is built fastest, and gains least from the cache."""
    return query


def run(rounds: int, say: Callable[[str], None]) -> list[Row]:
    """Measure everything.

    Parameters
    ----------
    rounds
        How often each figure is measured; medians are reported.
    say
        Reports what is being measured.
    """
    rows: list[Row] = []
    for title, measure in (
        ("deployment", deployment),
        ("execution", execution),
        ("sessions", sessions),
        ("concurrency", concurrency),
        ("memory", memory),
    ):
        say(title)
        rows += measure(rounds)
    return rows


def deployment(rounds: int) -> list[Row]:
    """First and cached deployment on three channels."""
    built, found = built_and_found(Assistant(Config()), rounds)
    least_built, least_found = built_and_found(smallest, rounds)
    return [
        Row("multi-channel deploy", milliseconds(built), "20 ms", built.median < 0.02),
        Row(
            "the same from the cache",
            f"{milliseconds(found)}, {saved(built, found):.1%} less",
            "95 % less",
            saved(built, found) >= 0.95,
        ),
        Row(
            "the same for a function of one line",
            f"{milliseconds(least_built)}, then {milliseconds(least_found)}, "
            f"{saved(least_built, least_found):.1%} less",
            "95 % less",
            saved(least_built, least_found) >= 0.95,
        ),
    ]


def built_and_found(agent: object, rounds: int) -> tuple[Sample, Sample]:
    """Time deploying `agent` with the cache empty, and right after that from the cache."""
    app = Nexus()

    def cached() -> None:
        expect(deploy_multi_channel(agent, app, "assistant")["mcp"], "assistant")

    def first() -> None:
        clear_deployment_cache()
        cached()

    samples = alternate({"first": first, "cached": cached}, rounds * 8)
    return samples["first"], samples["cached"]


def saved(built: Sample, found: Sample) -> float:
    """Return which part of the time the cache saves."""
    return 1 - found.median / built.median


def execution(rounds: int) -> list[Row]:
    """One request on each channel, against a server on a real socket."""
    with serving() as app, http_request(app) as over_http:
        command = [*nexus_program(), "run", "assistant", "--query", "x", "-o", "json"]
        environment = {**os.environ, "NEXUS_URL": app.url}

        def over_cli() -> None:
            completed = subprocess.run(
                command, env=environment, capture_output=True, check=True, timeout=60
            )
            check(json.loads(completed.stdout)["result"])

        def interpreter() -> None:
            subprocess.run([sys.executable, "-c", "pass"], check=True, timeout=60)

        api = alternate({"api": over_http}, rounds * 4)["api"]
        processes = alternate({"cli": over_cli, "python": interpreter}, max(5, rounds // 2))
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


async def over_mcp(app: Nexus, rounds: int) -> Sample:
    """Time tool calls on one connection of the protocol's own client."""
    from mcp import Client

    async with Client(f"{app.url}/mcp") as client:

        async def call() -> None:
            result = await client.call_tool("assistant", {"query": "x"})
            check((result.structured_content or {})["result"])

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


def sessions(rounds: int) -> list[Row]:
    """Measure cleaning up expired sessions, and many threads on many sessions."""
    now = [0]
    with NexusSessionManager(
        cleanup_interval=None, session_ttl=60, clock=lambda: now[0]
    ) as manager:
        seconds = []
        for _ in range(rounds):
            for i in range(EXPIRED):
                manager.create_session(user_id=f"user_{i}")
            now[0] += 61 * 10**9
            sample = once(lambda: expect(manager.cleanup_expired_sessions(), EXPIRED))
            seconds.append(sample)
    cleanup = Sample(tuple(seconds))
    threads = Sample(tuple(once(many_threads) for _ in range(max(3, rounds // 5))))
    return [
        Row(
            f"cleanup of {EXPIRED:,} expired sessions",
            milliseconds(cleanup),
            "10 ms",
            cleanup.median < 0.010,
        ),
        Row(
            f"{SESSIONS:,} sessions created, updated and read from {THREADS} threads",
            f"{milliseconds(threads)}, none lost",
            "nothing lost",
            True,
        ),
    ]


def many_threads() -> None:
    """Create, update and read sessions from many threads; raise if anything is lost."""

    def worker(thread: int) -> int:
        for i in range(SESSIONS // THREADS):
            session_id = manager.create_session(user_id=f"{thread}-{i}").session_id
            manager.update_session_state(session_id, {"a": thread}, channel="api")
            manager.update_session_state(session_id, {"b": i}, channel="mcp")
            expect(manager.get_session_state(session_id), {"a": thread, "b": i})
        return SESSIONS // THREADS

    with NexusSessionManager(cleanup_interval=None) as manager:
        with ThreadPoolExecutor(THREADS) as pool:
            expect(sum(pool.map(worker, range(THREADS))), SESSIONS)
        expect(manager.get_session_metrics()["active_sessions"], SESSIONS)


def concurrency(rounds: int) -> list[Row]:
    """Many deployments at the same time."""
    app = Nexus()

    def deploy_all() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            names = [
                pool.submit(deploy_multi_channel, Assistant(Config()), app, f"agent_{i}")
                for i in range(THREADS)
            ]
            expect([n.result()["mcp"] for n in names], [f"agent_{i}" for i in range(THREADS)])

    sample = alternate({"deploy": deploy_all}, rounds)["deploy"]
    return [
        Row(f"{THREADS} concurrent deployments", milliseconds(sample), "all succeed", True),
    ]


def memory(_: int) -> list[Row]:
    """Count what is left of deployments that are gone."""
    app = Nexus()

    def cycle() -> None:
        for i in range(DEPLOYMENTS):
            deploy_multi_channel(Assistant(Config()), app, f"agent_{i}")
        for i in range(DEPLOYMENTS):
            expect(app.deregister(f"agent_{i}"), True)

    cycle()
    gc.collect()
    before = len(gc.get_objects())
    cycle()
    gc.collect()
    left = len(gc.get_objects()) - before
    return [
        Row(
            f"objects left by {DEPLOYMENTS} deployments, undeployed",
            f"{left:,}",
            "1,000",
            left < 1_000,
        )
    ]


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


def once(call: Callable[[], object]) -> float:
    """Return the duration, in seconds, of a call that cannot be repeated as it is."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def check(result: object) -> None:
    """Raise unless the assistant gave the right answer."""
    expect(result, {"answer": "x (1)", "sources": [], "confidence": 1.0})


def expect(found: object, expected: object) -> None:
    """Raise unless an answer is the right one: nothing is timed that is wrong."""
    if found != expected:
        raise AssertionError(f"expected {expected!r}, got {found!r}")


def milliseconds(sample: Sample) -> str:
    """Return the median and the quartiles."""
    low, high = sample.spread
    return f"{sample.median * 1e3:.3g} ms ({low * 1e3:.3g} to {high * 1e3:.3g})"
