"""Whoever sent a request is who the runtime is told of, on every channel."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from kaizen_nexus import CrossChannelSession, Nexus, deploy_multi_channel
from kaizen_nexus.access.callers import ANONYMOUS, Caller
from kaizen_nexus.http.credentials import caller_of, sent_by

ADA = Caller("ada", frozenset({"whose"}), authenticated=True)


def whose(session: CrossChannelSession) -> str:
    return session.user_id


class SentByAda:
    def __init__(self, app: Nexus) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(sent_by(ADA, scope), receive, send)


def execute(client: TestClient) -> str:
    answer = client.post("/api/workflows/whose/execute", headers={"X-Session-ID": "new"})
    return answer.json()["result"]


def run(client: TestClient) -> str:
    answer = client.post("/cli/run", json={"argv": ["whose", "--session", "new"]})
    return answer.json()["stdout"].strip()


def call_tool(client: TestClient) -> str:
    answer = client.post(
        "/mcp",
        headers={"Accept": "application/json, text/event-stream"},
        json={
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "whose", "arguments": {"session_id": "new"}},
        },
    )
    return answer.json()["result"]["structuredContent"]["result"]


@pytest.mark.parametrize("ask", [execute, run, call_tool])
def test_a_session_belongs_to_who_sent_the_request(ask: Callable[[TestClient], str]) -> None:
    app = Nexus()
    deploy_multi_channel(whose, app, "whose")
    with TestClient(app, base_url="http://localhost") as client:
        assert ask(client) == "anonymous"
    with TestClient(SentByAda(app), base_url="http://localhost") as client:
        assert ask(client) == "ada"
    app.close()


def test_a_scope_says_who_sent_the_request() -> None:
    scope = {"type": "http"}
    assert caller_of(scope) is ANONYMOUS
    assert caller_of(sent_by(ADA, scope)) is ADA
    assert scope == {"type": "http"}
