from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from kaizen_nexus import CrossChannelSession, Nexus, deploy_multi_channel
from tests.integration.mcp_sdk import latest_version

FIRST_WITHOUT_HANDSHAKE = "2026-07-28"


def echo(query: str, times: int = 1) -> dict[str, str]:
    """Repeat the query."""
    return {"answer": " ".join([query] * times)}


async def echo_later(query: str) -> str:
    return query


def remember(
    fact: str, context: dict[str, Any] | None = None, session: CrossChannelSession | None = None
) -> list[str]:
    """Remember every fact of the conversation."""
    facts = [*(context or {}).get("facts", []), fact]
    if session is not None:
        session.update_state({"facts": facts})
    return facts


def fail(query: str) -> str:
    raise RuntimeError(f"a secret about {query}")


def leave(query: str) -> str:
    raise SystemExit(3)


def confuse(query: str) -> Any:
    return object()


@pytest.fixture
def app() -> Iterator[Nexus]:
    """A running app with one agent of each kind, on a free port."""
    app = Nexus(auto_discovery=False, api_port=0)
    for agent in (echo, echo_later, remember, fail, leave, confuse):
        deploy_multi_channel(agent, app, agent.__name__)
    app.start(blocking=False)
    yield app
    app.close()


@pytest.fixture
def http(app: Nexus) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=app.url, timeout=10) as client:
        yield client


@pytest.fixture
def modern() -> None:
    """For what needs the MCP era without handshakes."""
    if latest_version() < FIRST_WITHOUT_HANDSHAKE:
        pytest.skip(f"the MCP SDK that is installed ends at {latest_version()}")


@pytest.fixture(params=[True, False], ids=["handshake", "modern"])
def handshake(request: pytest.FixtureRequest) -> bool:
    """Whether an MCP client begins with a handshake; each test runs in both eras that there are."""
    if not request.param:
        request.getfixturevalue("modern")
    return request.param
