from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest
from typing_extensions import NotRequired

from kaizen_nexus.agents.base import BaseAgent
from kaizen_nexus.agents.errors import InvalidInputsError
from kaizen_nexus.agents.workflow import Workflow


@dataclass
class AsDataclass:
    query: str
    tags: list[str] = field(default_factory=lambda: ["any"])


class AsTypedDict(TypedDict):
    query: str
    tags: NotRequired[list[str]]


class AsStruct(msgspec.Struct):
    query: str
    tags: list[str] = []


class AsModel(pydantic.BaseModel):
    query: str = pydantic.Field(min_length=2, description="What to ask")
    tags: list[str] = pydantic.Field(default_factory=list, max_length=1)


class AsAnnotations:
    query: str
    tags: list[str] | None = None


SIGNATURES = [AsDataclass, AsTypedDict, AsStruct, AsModel, AsAnnotations]


class Agent(BaseAgent):
    def run(self, **inputs: Any) -> dict[str, Any]:
        return inputs


def workflow(signature: type) -> Workflow:
    return Agent(signature=signature).to_workflow().build()


@pytest.mark.parametrize("signature", SIGNATURES)
def test_the_class_declares_what_is_required_and_what_is_known(signature: type) -> None:
    it = workflow(signature)
    assert it.input_schema["required"] == ["query"]
    assert set(it.input_schema["properties"]) == {"query", "tags"}
    assert it.input_schema["additionalProperties"] is False
    assert it(query="what", tags=["a"]) == {"query": "what", "tags": ["a"]}
    for inputs, pointer in (({}, "/query"), ({"query": "what", "other": 1}, "/other")):
        with pytest.raises(InvalidInputsError) as caught:
            it.validate(inputs)
        assert [error.pointer for error in caught.value.errors] == [pointer]


def test_the_class_s_own_defaults_are_filled_in() -> None:
    assert workflow(AsDataclass)(query="what")["tags"] == ["any"]
    assert workflow(AsStruct)(query="what")["tags"] == []
    assert "tags" not in workflow(AsTypedDict)(query="what")


def test_a_model_s_constraints_hold_and_are_published() -> None:
    it = workflow(AsModel)
    assert it.input_schema["properties"]["query"]["minLength"] == 2
    assert it.input_schema["properties"]["query"]["description"] == "What to ask"
    with pytest.raises(InvalidInputsError) as caught:
        it.validate({"query": "x", "tags": ["a", "b"]})
    assert [error.pointer for error in caught.value.errors] == ["/query", "/tags"]


def test_an_agent_need_not_call_the_base_class() -> None:
    class Independent(BaseAgent):
        def __init__(self) -> None:
            self.answers = 42

        def process(self, query: str) -> int:
            return self.answers

    assert Independent().to_workflow().build()(query="x") == 42


def test_a_signature_that_is_no_class_is_refused() -> None:
    with pytest.raises(TypeError, match="signature must be a class"):
        Agent(signature="query -> answer")  # type: ignore[arg-type]
