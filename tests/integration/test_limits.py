"""The limits of one workflow, on a served app."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import anyio
import httpx2
import pytest

from kaizen_nexus import Nexus, deploy_multi_channel

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
