"""The limits of one workflow, and the quarantine of its agent, on a served app."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import anyio
import httpx2
import pytest

from kaizen_nexus import Nexus, Quarantine, deploy_multi_channel
from kaizen_nexus.channels.cli.protocol import EXIT_REFUSED

PATIENCE = 30


async def slow(query: str) -> str:
    await anyio.sleep_forever()
    return query


async def quick(query: str) -> str:
    return query


def test_a_limited_workflow_leaves_the_others_all_the_rest() -> None:
    app = Nexus(api_port=0, max_pending=3)
    app.limit("slow", max_running=1, max_waiting=4, timeout=0.4)
    for agent in (slow, quick):
        deploy_multi_channel(agent, app, agent.__name__)
    app.start(blocking=False)

    def ask(name: str) -> httpx2.Response:
        url = f"{app.url}/api/workflows/{name}/execute"
        return httpx2.post(url, json={"query": "x"}, timeout=PATIENCE)

    try:
        with ThreadPoolExecutor(8) as pool:
            slow_ones = [pool.submit(ask, "slow") for _ in range(8)]
            assert {ask("quick").status_code for _ in range(10)} == {200}
            answers = [each.result() for each in slow_ones]
        refused = [each for each in answers if each.status_code == 503]
        assert [each.status_code for each in answers].count(504) == 8 - len(refused) > 0
        for each in refused:
            assert each.json()["type"] == "urn:kaizen-nexus:problem:overloaded"
            assert each.json()["detail"].startswith("5 invocations of 'slow' are in progress")
            assert each.headers["Retry-After"] == "1"
        numbers = httpx2.get(f"{app.url}/metrics.json", timeout=PATIENCE).json()
        assert numbers["limits"] == {
            "slow": {
                "max_running": 1,
                "max_waiting": 4,
                "timeout": 0.4,
                "running": 0,
                "waiting": 0,
                "refused": len(refused),
            }
        }
        assert numbers["executor"]["refused"] == 0
        deploy_multi_channel(quick, app, "slow")  # the limits stay
        assert ask("slow").json()["result"] == "x"
        assert app.runtime.limits.of("slow") is not None
        app.limit("slow")
        assert app.runtime.limits.of("slow") is None
    finally:
        app.close()


def test_a_name_that_nothing_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="name"):
        Nexus().limit("no such name", max_running=1)


def poison(query: str) -> str:
    raise RuntimeError(query)


@pytest.fixture
def quarantined() -> Iterator[Nexus]:
    """An app whose only agent has just been quarantined, and is not tried again in this test."""
    app = Nexus(api_port=0, quarantine=Quarantine(failures=2, pause=100))
    deploy_multi_channel(poison, app, "poison")
    app.start(blocking=False)
    for _ in range(2):
        assert execute(app, "poison").status_code == 500
    yield app
    app.close()


def execute(app: Nexus, name: str) -> httpx2.Response:
    url = f"{app.url}/api/workflows/{name}/execute"
    return httpx2.post(url, json={"query": "x"}, timeout=PATIENCE)


def test_http_says_that_an_agent_is_quarantined_until_it_is_redeployed(quarantined: Nexus) -> None:
    answer = execute(quarantined, "poison")
    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:kaizen-nexus:problem:quarantined"
    assert answer.json()["detail"].startswith("the agent behind 'poison' has failed too often")
    assert answer.headers["Retry-After"] == "100"
    assert (
        httpx2.post(f"{quarantined.url}/api/workflows/poison/execute", json={}).status_code == 422
    )
    described = httpx2.get(f"{quarantined.url}/api/workflows/poison", timeout=PATIENCE).json()
    assert described["circuit"] == "open"
    numbers = httpx2.get(f"{quarantined.url}/metrics.json", timeout=PATIENCE).json()
    assert numbers["quarantine"] == {
        "poison": [
            {
                "version": 1,
                "circuit": "open",
                "recent_failures": 2,
                "opened": 1,
                "refused": 1,
                "abandoned": 0,
                "blocked": 0,
                "isolated": False,
            }
        ]
    }
    deploy_multi_channel(quick, quarantined, "poison")
    assert execute(quarantined, "poison").json()["result"] == "x"


def test_the_command_line_says_so(quarantined: Nexus) -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "kaizen_nexus", "run", "poison", "--query", "x"],
        env={**os.environ, "NEXUS_URL": quarantined.url},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert completed.returncode == EXIT_REFUSED
    assert "Error: the agent behind 'poison' has failed too often" in completed.stderr
    assert "try again in 100 s" in completed.stderr


def test_a_tool_call_says_so(quarantined: Nexus) -> None:
    call = {"name": "poison", "arguments": {"query": "x"}}
    answer = httpx2.post(
        f"{quarantined.url}/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call},
        headers={
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2025-11-25",
        },
        timeout=PATIENCE,
    )
    result = answer.json()["result"]
    assert result["isError"] is True
    assert "try again in 100 s" in result["content"][0]["text"]
    assert result["content"][0]["text"].endswith("Other tools are not affected.")


@pytest.mark.parametrize("max_body", ["1MB", -5, 0, True, None])
def test_a_bound_of_bodies_that_is_no_number_is_refused(max_body: object) -> None:
    with pytest.raises(ValueError, match="max_body must be a whole number of at least 1"):
        Nexus(max_body=max_body)
