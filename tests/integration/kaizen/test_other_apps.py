"""What an app of another kind gets of a Kaizen agent is built from the agent as it is now."""

from __future__ import annotations

from typing import Any

import pytest

from kaizen_nexus import deploy_as_api, get_deployment_cache


class OtherApp:
    """Takes registrations, as an app of kailash-nexus does."""

    def __init__(self) -> None:
        self.registered: dict[str, Any] = {}

    def register(self, name: str, workflow: Any) -> None:
        self.registered[name] = workflow

    def deregister(self, name: str) -> None:
        self.registered.pop(name, None)


def deployed(agent: Any) -> Any:
    """Return the configuration of the node that deploying `agent` registers."""
    app = OtherApp()
    deploy_as_api(agent, app, "it")
    return app.registered["it"].nodes["agent"].config


def test_equal_agents_share_what_was_built(real: Any) -> None:
    app, builds = OtherApp(), get_deployment_cache().stats()["builds"]
    for _ in range(3):
        deploy_as_api(real.make(), app, "it")
    assert get_deployment_cache().stats()["builds"] == builds + 1
    assert get_deployment_cache().entries()[-1]["kind"] == "built"


def test_no_stale_provider_prompt_model_or_tool_is_served(
    real: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = real.make(llm_provider=None, model="first")
    first = deployed(agent)
    assert (first["provider"], first["model"]) == (None, "first")

    agent.config.model = "second"
    assert deployed(agent)["model"] == "second"

    monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
    assert deployed(agent)["provider"] == "anthropic"

    agent.config.temperature = 0.9
    assert deployed(agent)["generation_config"]["temperature"] == 0.9

    tool = {"name": "mcp__files__read", "description": "Read a file", "inputSchema": {}}
    agent._discovered_mcp_tools = {"files": [tool]}
    assert "Read a file" in deployed(agent)["system_prompt"]
    agent._discovered_mcp_tools = {}
    assert "Read a file" not in deployed(agent)["system_prompt"]

    agent.signature = agent.signature.with_instructions("Be brief.")
    assert deployed(agent)["system_prompt"].startswith("Be brief.")


def test_an_agent_that_builds_its_own_workflow_counts_by_all_that_it_holds(real: Any) -> None:
    class Custom(real.agent_class):  # type: ignore[misc]
        def __init__(self, note: Any) -> None:
            config = real.config_class(llm_provider="mock", model="m")
            super().__init__(config=config, signature=real.signature(), mcp_servers=[])
            self.note = note

        def to_workflow(self) -> Any:
            self._workflow = None
            builder = super().to_workflow()
            builder.update_node("agent", {"system_prompt": str(self.note)})
            return builder

    assert deployed(Custom("one"))["system_prompt"] == "one"
    assert deployed(Custom("two"))["system_prompt"] == "two"
    size = get_deployment_cache().stats()["size"]
    deployed(Custom("two"))
    assert get_deployment_cache().stats()["size"] == size
    # What has no description is built anew each time.
    for _ in range(2):
        assert "lambda" in deployed(Custom(lambda: None))["system_prompt"]
    assert get_deployment_cache().stats()["size"] == size
