"""The performance guide's tests, with its names and targets, against the real thing.

Requests go through real sockets, the command is a real process, the MCP client is the protocol's
own SDK. A duration is the median of several, so that one hiccup of the machine decides nothing.
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx2
import pytest

from kaizen_nexus import (
    IMPLEMENTATION,
    BaseAgent,
    Nexus,
    NexusSessionManager,
    clear_deployment_cache,
    deploy_as_api,
    deploy_as_cli,
    deploy_as_mcp,
    deploy_multi_channel,
    get_deployment_cache,
)
from tests.integration.mcp_sdk import connect


@dataclass(frozen=True)
class Config:
    model: str = "none"
    temperature: float = 0.0


@dataclass(frozen=True)
class Filter:
    field: str
    values: list[str]


@dataclass(frozen=True)
class Answer:
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
        return Answer(f"{query} ({depth})", [], 1.0)


@pytest.fixture
def agent() -> Assistant:
    clear_deployment_cache()
    return Assistant(Config())


@pytest.fixture
def app() -> Iterator[Nexus]:
    app = Nexus(auto_discovery=False, api_port=0)
    yield app
    app.close()


@pytest.fixture
def running(app: Nexus, agent: Assistant) -> Nexus:
    deploy_multi_channel(agent, app, "assistant")
    app.start(blocking=False)
    return app


def seconds(operation: Callable[[], object]) -> float:
    started = time.perf_counter()
    operation()
    return time.perf_counter() - started


def nexus_program() -> list[str]:
    """Return how the installed command is started, by the interpreter that runs these tests."""
    script = Path(sysconfig.get_path("scripts")) / "nexus"
    if script.exists():
        return [str(script)]
    return [
        sys.executable,
        "-c",
        "from kaizen_nexus.console.main import main; raise SystemExit(main())",
    ]


class TestDeploymentPerformance:
    @pytest.mark.skipif(IMPLEMENTATION == "py", reason="the figures are those of the compiled core")
    def test_deployment_performance(self, app: Nexus, agent: Assistant) -> None:
        """Three channels under 20 ms (the guide: 2 s), 95 % less from the cache (the guide: 90)."""
        first = []
        for _ in range(25):
            clear_deployment_cache()
            first.append(seconds(lambda: deploy_multi_channel(agent, app, "assistant")))
        deploy_multi_channel(agent, app, "assistant")
        hits = get_deployment_cache().stats()["hits"]
        cached = [
            seconds(lambda: deploy_multi_channel(agent, app, "assistant")) for _ in range(101)
        ]
        assert get_deployment_cache().stats()["hits"] == hits + 101
        assert statistics.median(first) < 0.020
        assert statistics.median(cached) < 0.05 * statistics.median(first)
        for deploy in (deploy_as_api, deploy_as_cli, deploy_as_mcp):
            clear_deployment_cache()
            assert seconds(lambda deploy=deploy: deploy(agent, app, "single")) < 0.5


class TestExecutionPerformance:
    def test_api_response_latency(self, running: Nexus) -> None:
        """Under 50 ms over a real connection (the guide: 500)."""
        with httpx2.Client(base_url=running.url) as client:

            def request() -> None:
                response = client.post(
                    "/api/workflows/assistant/execute", json={"query": "x", "depth": 2}
                )
                assert response.json()["result"]["answer"] == "x (2)"

            request()
            assert statistics.median(seconds(request) for _ in range(50)) < 0.050
        assert running.metrics.get_summary()["api"]["count"] == 51

    def test_cli_execution_latency(self, running: Nexus, tmp_path: Path) -> None:
        """Under 500 ms as a whole process (the guide: 500)."""
        command = [*nexus_program(), "run", "assistant", "--query", "x", "--depth", "3"]
        environment = {**os.environ, "NEXUS_URL": running.url}

        def run() -> None:
            completed = subprocess.run(
                command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=30
            )
            assert completed.returncode == 0, completed.stderr
            assert '"answer": "x (3)"' in completed.stdout

        assert statistics.median(seconds(run) for _ in range(7)) < 0.500
        assert running.metrics.get_summary()["cli"]["count"] == 7

    def test_mcp_tool_latency(self, running: Nexus) -> None:
        """Under 50 ms through the protocol's own client (the guide: 500)."""

        async def calls() -> list[float]:
            durations = []
            async with connect(f"{running.url}/mcp") as client:
                for _ in range(21):
                    started = time.perf_counter()
                    result = await client.call_tool("assistant", {"query": "x", "depth": 4})
                    durations.append(time.perf_counter() - started)
                    assert result["structuredContent"]["result"]["answer"] == "x (4)"
            return durations[1:]

        assert statistics.median(asyncio.run(calls())) < 0.050
        assert running.metrics.get_summary()["mcp"]["count"] == 21


class TestSessionPerformance:
    def test_session_sync_latency(self, running: Nexus) -> None:
        """What one channel writes, the next request on another reads, under 50 ms later."""
        with httpx2.Client(base_url=running.url) as client:
            path = client.post("/api/sessions", json={"user_id": "u"}).headers["location"]
            session_id = path.rpartition("/")[2]
            durations = []
            for i in range(50):
                running.session_manager.update_session_state(session_id, {"turn": i}, channel="mcp")
                started = time.perf_counter()
                document = client.get(path).json()
                durations.append(time.perf_counter() - started)
                assert document["state"] == {"turn": i}
                assert set(document["channel_activity"]) == {"api", "mcp"}
        assert statistics.median(durations) < 0.050

    def test_session_cleanup_performance(self) -> None:
        """1,000 expired sessions in under 10 ms (the guide: 1 s)."""
        now = [0]
        durations = []
        with NexusSessionManager(
            cleanup_interval=None, session_ttl=60, clock=lambda: now[0]
        ) as manager:
            for _ in range(9):
                for i in range(1_000):
                    manager.create_session(user_id=f"user_{i}")
                now[0] += 61 * 10**9
                started = time.perf_counter()
                assert manager.cleanup_expired_sessions() == 1_000
                durations.append(time.perf_counter() - started)
                assert manager.get_session_metrics()["total_sessions"] == 0
        assert statistics.median(durations) < 0.010


class TestConcurrentPerformance:
    def test_concurrent_deployments(self, running: Nexus) -> None:
        """20 at the same time, while sessions and requests go on; nothing is lost or left over."""
        with ThreadPoolExecutor(max_workers=20) as executor:
            futures = {
                executor.submit(
                    deploy_multi_channel, Assistant(Config(temperature=i)), running, f"agent_{i}"
                ): f"agent_{i}"
                for i in range(20)
            }
            for future in as_completed(futures, timeout=30):
                assert future.result()["mcp"] == futures[future]
        with httpx2.Client(base_url=running.url) as client:
            for name in futures.values():
                answer = client.post(f"/api/workflows/{name}/execute", json={"query": name})
                assert answer.json()["result"]["answer"] == f"{name} (1)"
        _five_thousand_sessions(running.session_manager)
        _hundred_deployments_leave_nothing(running)


def _five_thousand_sessions(manager: NexusSessionManager) -> None:
    def worker(thread: int) -> list[str]:
        ids = []
        for i in range(250):
            session_id = manager.create_session(user_id=f"{thread}-{i}").session_id
            for channel in ("api", "cli", "mcp"):
                assert manager.update_session_state(session_id, {channel: i}, channel=channel)
            ids.append(session_id)
        return ids

    with ThreadPoolExecutor(max_workers=20) as executor:
        created = [i for ids in executor.map(worker, range(20)) for i in ids]
    assert len(set(created)) == 5_000
    states: list[Any] = [manager.get_session_state(session_id) for session_id in created]
    assert states == [{"api": i, "cli": i, "mcp": i} for _ in range(20) for i in range(250)]


def _hundred_deployments_leave_nothing(app: Nexus) -> None:
    def cycle() -> None:
        for i in range(100):
            deploy_multi_channel(Assistant(Config()), app, f"passing_{i}")
        for i in range(100):
            assert app.deregister(f"passing_{i}")

    cycle()
    gc.collect()
    before = len(gc.get_objects())
    cycle()
    gc.collect()
    assert len(gc.get_objects()) - before < 1_000
