"""The deployment cache with Kaizen agents in it: never stale, and the same in every process."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import kaizen_nexus
from kaizen_nexus import Nexus, deploy_multi_channel, get_deployment_cache


def test_a_change_after_the_first_deployment_is_never_served_stale(real: Any) -> None:
    app = Nexus()
    agent = real.make()
    deploy_multi_channel(agent, app, "it")
    fields = copy.deepcopy(agent.signature.input_fields)
    fields["depth"]["default"] = 9
    agent.signature._input_fields_dict = fields
    deploy_multi_channel(agent, app, "it")
    schema = app.runtime.registry.find("it", "api").workflow.input_schema
    assert schema["properties"]["depth"]["default"] == 9
    agent.signature._input_fields_dict = real.signature().input_fields
    hits = get_deployment_cache().stats()["hits"]
    deploy_multi_channel(agent, app, "it")
    assert get_deployment_cache().stats()["hits"] == hits + 1


def test_a_cached_plan_runs_the_agent_that_is_deployed(real: Any) -> None:
    app = Nexus()
    first, second = real.make(), real.make()
    deploy_multi_channel(first, app, "it")
    builds = get_deployment_cache().stats()["builds"]
    deploy_multi_channel(second, app, "it")
    assert get_deployment_cache().stats()["builds"] == builds
    assert app.runtime.registry.find("it", "api").workflow.target == second.run


@pytest.mark.parametrize("seed", ["1", "4242"])
def test_another_process_computes_the_same_key(seed: str, tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import logging, warnings
        warnings.simplefilter("ignore")
        logging.disable()
        from typing import Literal, Optional
        from kaizen.core.base_agent import BaseAgent, BaseAgentConfig
        from kaizen.signatures import InputField, OutputField, Signature
        from kaizen_nexus import DeploymentCache
        class Support(Signature):
            "Answer."
            question: str = InputField(desc="a")
            tone: Literal["kind", "brief"] = InputField(desc="b", default="kind")
            depth: Optional[int] = InputField(desc="c", required=False)
            answer: dict[str, list[int]] = OutputField(desc="d")
        config = BaseAgentConfig(
            llm_provider="mock", model="m", allowed_tools={"a", "b", "c", "d", "e"},
            provider_config={"x": 1, "y": {"z": 2.5}},
        )
        agent = BaseAgent(config=config, signature=Support(), mcp_servers=[])
        print(DeploymentCache.create_cache_key(agent, "it"))
        """
    )
    source = str(Path(kaizen_nexus.__file__).resolve().parent.parent)
    keys = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": s, "PYTHONPATH": source},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        ).stdout.strip()
        for s in (seed, "7")
    }
    assert len(keys) == 1
    assert len(keys.pop()) == 32


def test_the_command_line_says_what_is_cached_and_why(
    real: Any, app: Nexus, capsys: pytest.CaptureFixture[str]
) -> None:
    from kaizen_nexus.console.main import main

    deploy_multi_channel(real.make(), app, "warm")
    deploy_multi_channel(real.make(temperature=0.3), app, "cold")
    assert main(["cache", "why", "warm", "cold", "--json", "--url", app.url]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["differences"] == [
        {"field": "config.temperature", "a": "0.1", "b": "0.3"},
        {"field": "name", "a": "'warm'", "b": "'cold'"},
    ]
