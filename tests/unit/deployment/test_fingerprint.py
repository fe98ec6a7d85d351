from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kaizen_nexus.agents.base import BaseAgent
from kaizen_nexus.deployment.cache import DeploymentCache

key = DeploymentCache.create_cache_key


@dataclass(frozen=True)
class Config:
    model: str = "small"
    temperature: float = 0.0
    stop: tuple[str, ...] = ()


class Agent(BaseAgent):
    system_prompt = "Be kind."

    def __init__(self, config: Any, tools: tuple[Any, ...] = ()) -> None:
        super().__init__(config)
        self.tools = tools

    def process(self, query: str) -> str:
        return query


def tool(query: str) -> str:
    return query


def other_tool(query: int) -> str:
    return str(query)


def test_equal_agents_share_a_key() -> None:
    assert key(Agent(Config(), (tool,)), "it") == key(Agent(Config(), (tool,)), "it")


def test_any_difference_separates() -> None:
    base = Config()
    prompted = Agent(base)
    prompted.system_prompt = "Be brief."

    class Subclass(Agent):
        pass

    class Resigned(Agent):
        def process(self, query: str, depth: int = 1) -> str:  # type: ignore[override]
            return query

    agents = [
        (Agent(base), "it"),
        (Agent(base), "other"),
        (Agent(replace(base, model="large")), "it"),
        (Agent(replace(base, temperature=-0.0)), "it"),
        (Agent(replace(base, temperature=0.5)), "it"),
        (Agent(replace(base, stop=("a",))), "it"),
        (Agent({"model": "small"}), "it"),
        (Agent(None), "it"),
        (Agent(base, (tool,)), "it"),
        (Agent(base, (other_tool,)), "it"),
        (prompted, "it"),
        (Subclass(base), "it"),
        (Resigned(base), "it"),
    ]
    keys = {key(agent, name) for agent, name in agents}
    assert len(keys) == len(agents)


def test_a_type_that_was_edited_under_the_same_name_separates() -> None:
    def agent_over(fields: list[tuple[str, type]]) -> Any:
        question = make_dataclass("Question", fields)

        def agent(question: Any) -> str:
            return ""

        agent.__annotations__["question"] = question
        return agent

    assert key(agent_over([("a", int)]), "it") != key(agent_over([("a", str)]), "it")
    assert key(agent_over([("a", int)]), "it") == key(agent_over([("a", int)]), "it")


def test_a_plain_configuration_object_counts_by_its_attributes() -> None:
    class Plain:
        def __init__(self, model: str) -> None:
            self.model = model

    assert key(Agent(Plain("a")), "it") == key(Agent(Plain("a")), "it")
    assert key(Agent(Plain("a")), "it") != key(Agent(Plain("b")), "it")


def test_what_has_no_canonical_form_has_no_key() -> None:
    with pytest.raises(TypeError, match="cannot"):
        key(Agent({"callback": lambda: None}), "it")


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_another_process_computes_the_same_key(seed: str, tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        from dataclasses import dataclass
        from kaizen_nexus.agents.base import BaseAgent
        from kaizen_nexus.deployment.cache import DeploymentCache
        @dataclass
        class Config:
            options: frozenset = frozenset({"a", "b", "c", "d"})
            table: dict = None
        class Agent(BaseAgent):
            def process(self, query: str, depth: int | None = None) -> dict[str, list[int]]: ...
        config = Config(table={"x": 1, "y": {"z": 2.5}})
        print(DeploymentCache.create_cache_key(Agent(config), "it"))
        """
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": s},
            cwd=tmp_path,  # the checkout would shadow the installed package
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for s in (seed, "7")
    }
    assert len(keys) == 1
