"""Requests on one session run one after the other; those on others do not wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from kaizen_nexus import CrossChannelSession, Nexus, deploy_multi_channel

REQUESTS = 40


async def count(
    number: int, context: dict[str, Any] | None = None, session: CrossChannelSession | None = None
) -> list[int]:
    """Add a number to those of the conversation, giving others every chance to come between."""
    numbers = [*(context or {}).get("numbers", []), number]
    for _ in range(5):
        await asyncio.sleep(0)
    if session is not None:
        session.update_state({"numbers": numbers})
    return numbers


@pytest.fixture
def app() -> Iterator[Nexus]:
    app = Nexus(api_port=0)
    deploy_multi_channel(count, app, "count")
    app.start(blocking=False)
    yield app
    app.close()


async def ask(client: httpx2.AsyncClient, number: int, session: str) -> list[int]:
    headers = {"X-Session-ID": session}
    answer = await client.post(
        "/api/workflows/count/execute", json={"number": number}, headers=headers
    )
    assert answer.status_code == 200, answer.text
    result: list[int] = answer.json()["result"]
    return result


def test_no_turn_of_a_conversation_is_lost(app: Nexus) -> None:
    sessions = [app.session_manager.create_session(user_id="ada").session_id for _ in range(3)]

    async def main() -> None:
        async with httpx2.AsyncClient(base_url=app.url, timeout=30) as client:
            await asyncio.gather(
                *(ask(client, number, each) for number in range(REQUESTS) for each in sessions)
            )

    asyncio.run(main())
    for each in sessions:
        state = app.session_manager.get_session_state(each) or {}
        assert sorted(state["numbers"]) == list(range(REQUESTS))
