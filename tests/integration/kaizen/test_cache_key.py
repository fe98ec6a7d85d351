"""The cache's key covers all that shapes a Kaizen agent's workflow, and nothing else."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest

from kaizen_nexus import DeploymentCache

key = DeploymentCache.create_cache_key

OTHER_VALUES: dict[str, Any] = {
    "llm_provider": "openai",
    "model": "other-model",
    "temperature": 0.3,
    "max_tokens": 7,
    "provider_config": {"api_version": "2"},
    "response_format": {"type": "json_object"},
    "structured_output_mode": "off",
    "api_key": "sk-first-of-all-secrets",
    "base_url": "http://localhost:1",
    "strategy_type": "multi_cycle",
    "max_cycles": 6,
    "budget_limit_usd": 1.5,
    "allowed_tools": {"read_file"},
    "denied_tools": {"bash"},
    "permission_rules": ["a rule"],
    "hook_timeout": 6.0,
    "builtin_hooks": ["audit"],
    "hooks_directory": "hooks",
    "posture": "supervised",
}
"""Another value of each field of Kaizen's configuration; those that are flags are turned over."""


def other_value(field: dataclasses.Field[Any], current: Any) -> Any:
    if isinstance(current, bool):
        return not current
    if field.name == "permission_mode":
        return next(mode for mode in type(current) if mode is not current)
    return OTHER_VALUES[field.name]


def why(a: Any, b: Any) -> list[str]:
    """Return what a cache says of the difference between two agents."""
    cache = DeploymentCache()
    keys = [key(agent, "it") for agent in (a, b)]
    for cached in keys:
        cache.set(cached, object())
    return [str(difference) for difference in cache.why(*keys).differences]


def test_equal_agents_that_were_built_separately_share_a_key(real: Any) -> None:
    assert key(real.make(), "it") == key(real.make(), "it")
    assert key(real.make(), "it") != key(real.make(), "other")


def test_any_field_of_the_configuration_separates(real: Any) -> None:
    agent = real.make()
    original, keys = key(agent, "it"), set()
    fields = dataclasses.fields(agent.config)
    assert len(fields) > 30
    for field in fields:
        changed = real.make()
        value = other_value(field, getattr(changed.config, field.name))
        # Past the guard that the class puts before some of its fields.
        object.__setattr__(changed.config, field.name, value)
        assert any(line.startswith(f"config.{field.name}") for line in why(agent, changed))
        keys.add(key(changed, "it"))
    assert len(keys | {original}) == len(fields) + 1


def test_what_was_set_on_a_configuration_besides_its_fields_separates(real: Any) -> None:
    changed = real.make()
    changed.config.persona = "pirate"
    assert why(real.make(), changed) == ["config.persona: (absent) -> 'pirate'"]


def test_the_provider_counts_as_it_is_resolved(real: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    agents = [real.make(llm_provider=None) for _ in range(2)]
    keyless = key(agents[0], "it")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
    anthropic = key(agents[0], "it")
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    openai = key(agents[0], "it")
    assert len({keyless, anthropic, openai}) == 3
    assert key(agents[1], "it") == openai
    assert "x" not in {part for line in why(*agents) for part in line.split()}


def test_the_model_counts_as_it_is_resolved(real: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = real.make(model=None)
    without = key(agent, "it")
    monkeypatch.setenv("DEFAULT_LLM_MODEL", "from-the-environment")
    assert key(agent, "it") != without


def change_type(fields: dict[str, Any]) -> None:
    fields["question"]["type"] = bytes


def change_description(fields: dict[str, Any]) -> None:
    fields["question"]["desc"] = "Something else"


def change_default(fields: dict[str, Any]) -> None:
    fields["depth"]["default"] = 4


def change_kind_of_default(fields: dict[str, Any]) -> None:
    fields["depth"]["default"] = 3.0


def change_requirement(fields: dict[str, Any]) -> None:
    fields["topics"]["required"] = True


def change_metadata(fields: dict[str, Any]) -> None:
    fields["question"]["metadata"] = {"max_length": 3}


def rename(fields: dict[str, Any]) -> None:
    fields["query"] = fields.pop("question")


def reorder(fields: dict[str, Any]) -> None:
    fields["question"] = fields.pop("question")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (change_type, "signature.inputs.question.type: str -> bytes"),
        (change_description, "signature.inputs.question.desc: "),
        (change_default, "signature.inputs.depth.default: 3 -> 4"),
        (change_kind_of_default, "signature.inputs.depth.default: 3 -> 3.0"),
        (change_requirement, "signature.inputs.topics.required: False -> True"),
        (change_metadata, "signature.inputs.question.metadata.max_length: (absent) -> 3"),
        (rename, "signature.inputs.query.type: (absent) -> str"),
        (reorder, "signature.order[0]: 'question' -> 'depth'"),
    ],
)
def test_any_change_of_an_input_separates(real: Any, change: Any, line: str) -> None:
    agent, changed = real.make(), real.make()
    fields = copy.deepcopy(changed.signature.input_fields)
    change(fields)
    changed.signature._input_fields_dict = fields
    assert any(found.startswith(line) for found in why(agent, changed))


def test_outputs_and_instructions_separate(real: Any) -> None:
    agent, typed, told = (real.make() for _ in range(3))
    outputs = copy.deepcopy(typed.signature.output_fields)
    outputs["confidence"]["type"] = int
    typed.signature._output_fields_dict = outputs
    told.signature = told.signature.with_instructions("Be brief.")
    assert "signature.outputs.confidence.type: float -> int" in why(agent, typed)
    assert any(line.startswith("prompt: ") for line in why(agent, told))
    assert len({key(one, "it") for one in (agent, typed, told)}) == 3


def test_an_edited_type_of_the_same_name_separates(real: Any) -> None:
    def make(kind: type) -> Any:
        filter_class = dataclasses.make_dataclass("Filter", [("value", kind)])
        fields = {"__doc__": "Find.", "__annotations__": {"where": filter_class, "answer": str}}
        fields.update(where=real.input(desc="x"), answer=real.output(desc="y"))
        return real.make(
            signature=type(real.signature_base)("Find", (real.signature_base,), fields)()
        )

    one, other = make(int), make(str)
    assert key(one, "it") == key(make(int), "it") != key(other, "it")
    (line,) = why(one, other)
    assert line.startswith("signature.inputs.where.type: Filter [")


def test_tools_that_are_discovered_later_separate(real: Any) -> None:
    agent = real.make()
    before = key(agent, "it")
    tool = {"name": "mcp__files__read", "description": "Read a file", "inputSchema": {}}
    agent._discovered_mcp_tools = {"files": [tool]}
    with_tool = key(agent, "it")
    agent._discovered_mcp_tools["files"][0]["description"] = "Read any file"
    assert len({before, with_tool, key(agent, "it")}) == 3


def test_a_prompt_of_its_own_separates(real: Any) -> None:
    class Prompted(real.agent_class):  # type: ignore[misc]
        prompt_text = "Be kind."

        def _generate_system_prompt(self) -> str:
            return self.prompt_text

    def make() -> Any:
        return Prompted(config=real.config_class(), signature=real.signature(), mcp_servers=[])

    agent, changed = make(), make()
    assert key(agent, "it") == key(changed, "it")
    changed.prompt_text = "Be brief."
    assert why(agent, changed) == ["prompt: 'Be kind.' -> 'Be brief.'"]


def test_secrets_are_compared_and_never_shown(real: Any) -> None:
    secret = "-".join(["sk", "the", "one", "that", "nobody", "may", "see"])
    agent = real.make()
    with_secrets = real.make(
        api_key=secret,
        base_url=f"https://user:{secret}@example.com",
        provider_config={"headers": {"X-Any": secret}, "note": f"use {secret}"},
    )
    with_secrets._mcp_servers = [{"name": "x", "env": {"ANY": secret}, "args": ["--with", secret]}]
    cache = DeploymentCache()
    for one in (agent, with_secrets):
        cache.set(key(one, "it"), object())
    text = str(why(agent, with_secrets)) + str(cache.entries())
    assert secret not in text
    assert text.count("(secret ") >= 5
    other = real.make(api_key=secret + "!")
    (line,) = why(real.make(api_key=secret), other)
    assert line.startswith("config.api_key: (secret ")


def test_what_cannot_be_described_has_no_key(real: Any) -> None:
    agent = real.make(provider_config={"callback": lambda: None})
    with pytest.raises(TypeError, match="cannot encode"):
        key(agent, "it")

    class Unprompted(real.agent_class):  # type: ignore[misc]
        def _generate_system_prompt(self) -> str:
            raise LookupError("no template")

    agent = Unprompted(config=real.config_class(), signature=real.signature(), mcp_servers=[])
    with pytest.raises(TypeError, match=r"system prompt cannot be computed.*no template"):
        key(agent, "it")
