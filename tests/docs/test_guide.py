"""Every Python block of the performance guide runs, in the order in which a reader meets it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

import kaizen_nexus

if TYPE_CHECKING:
    from tests.docs.conftest import Block

DOCUMENT = "docs/performance-guide.md"


@dataclass
class AssistantConfig:
    model: str = "gpt-4"
    temperature: float = 0.7


class Assistant(kaizen_nexus.BaseAgent):
    def process(self, query: str) -> dict[str, str]:
        return {"answer": f"{self.config.model}: {query}"}


@pytest.fixture(scope="module")
def namespace() -> Iterator[dict[str, Any]]:
    """What the guide takes for granted; each block adds to it for those that follow."""
    app = kaizen_nexus.Nexus(auto_discovery=False)
    manager = kaizen_nexus.NexusSessionManager()
    session = manager.create_session(user_id="reader")
    yield {
        "__name__": "__main__",
        "time": time,
        "agent": Assistant(AssistantConfig()),
        "app": app,
        "create_agent": lambda i: Assistant(AssistantConfig(temperature=i / 10)),
        "AssistantConfig": AssistantConfig,
        "Nexus": kaizen_nexus.Nexus,
        "deploy_as_api": kaizen_nexus.deploy_as_api,
        "session_manager": manager,
        "session": session,
        "queries": ["one", "two"],
        "owned": {"app": app, "session_manager": manager},
    }
    app.close()
    manager.close()


@pytest.fixture(autouse=True)
def closing(namespace: dict[str, Any]) -> Iterator[None]:
    """An app or manager that a block makes is closed; later blocks go on with the reader's own."""
    yield
    for name, own in namespace["owned"].items():
        if namespace[name] is not own:
            namespace[name].close()
            namespace[name] = own


@pytest.mark.usefixtures("installed")
def test_the_block_runs(block: Block, namespace: dict[str, Any]) -> None:
    block.run(namespace)


def test_what_the_blocks_did_is_there(namespace: dict[str, Any]) -> None:
    if "channels" not in namespace:
        pytest.fail("the blocks above did not run first")
    assert namespace["channels"] == {
        "api": "/api/workflows/assistant/execute",
        "cli": "nexus run assistant",
        "mcp": "assistant",
    }
    assert len(namespace["results"]) == 10
    assert namespace["summary"]["deployment"]["count"] >= 1
    state = namespace["session_manager"].get_session_state(namespace["session"].session_id)
    assert state == {f"key_{i}": i for i in range(20)}
    names = {f"agent_{i}" for i in range(100)} | {f"bench_{i}" for i in range(10)} | {"assistant"}
    assert set(namespace["app"].runtime.registry.names()) == names
