"""Agents that declare inputs and outputs as Kaizen's do, by duck-typing."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from kaizen_nexus.agents.adapters import as_workflow, describe_agent, foreign_workflow
from kaizen_nexus.agents.errors import InvalidOutputError
from kaizen_nexus.agents.kaizen import declared_entry, kaizen_entry


class Signature:
    """Answer briefly."""

    description = "Answer briefly."

    def __init__(self, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        self.input_fields = inputs
        self.output_fields = outputs


def declares(kind: Any = str, desc: str = "", **more: Any) -> dict[str, Any]:
    return {"type": kind, "desc": desc, "default": None, "required": True, "metadata": {}, **more}


def signature(**inputs: dict[str, Any]) -> Signature:
    return Signature(inputs, {"answer": {"type": str, "desc": "What to say", "metadata": {}}})


class Agent:
    """An agent like Kaizen's."""

    def __init__(self, declared: Any) -> None:
        self.signature = declared

    def run(self, **inputs: Any) -> dict[str, Any]:
        return {"answer": repr(inputs)}


def schema_of(agent: object) -> dict[str, Any]:
    return as_workflow(agent, "it").input_schema


def test_fields_become_inputs_with_types_defaults_and_descriptions() -> None:
    agent = Agent(
        signature(
            question=declares(str, "What to ask"),
            depth=declares(int, default=3, required=False),
            style=declares(str, "How", required=False),
        )
    )
    workflow = as_workflow(agent, "it")
    assert workflow.input_schema == {
        "type": "object",
        "properties": {
            "question": {"type": "string", "description": "What to ask"},
            "depth": {"type": "integer", "default": 3},
            "style": {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "How"},
        },
        "required": ["question"],
        "additionalProperties": False,
    }
    assert workflow.description == "Answer briefly."
    assert workflow(question="q") == {"answer": "{'question': 'q', 'depth': 3}"}
    assert workflow(question="q", style=None)["answer"].endswith("'style': None}")


def test_fields_that_are_returned_are_of_their_types_and_others_may_be_there() -> None:
    workflow = as_workflow(Agent(signature(q=declares())), "it")
    assert workflow.output_schema == {
        "properties": {"answer": {"type": "string", "description": "What to say"}}
    }
    for result in ({"answer": "a"}, {"error": "e", "success": False}, "anything", ["answer"]):
        workflow.encode(result)
    with pytest.raises(InvalidOutputError, match=r"answer"):
        workflow.encode({"answer": 7})


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (complex, r"the inputs of Signature have no JSON Schema: 'picture': .*complex"),
        (Callable[[int], int], r"'picture': "),
        (dict[str, complex], r"'picture': "),
        ("Missing", r"type of field 'picture' of Signature cannot be resolved .*Missing"),
    ],
)
def test_an_unsupported_type_is_refused_and_the_field_named(kind: Any, message: str) -> None:
    agent = Agent(signature(q=declares(), picture=declares(kind, "described")))
    with pytest.raises(TypeError, match=message):
        as_workflow(agent, "it")


def test_an_unsupported_output_is_refused_and_the_field_named() -> None:
    declared = Signature({}, {"good": {"type": int}, "bad": {"type": complex, "desc": "text"}})
    with pytest.raises(TypeError, match=r"outputs of Signature have no JSON Schema: 'bad': "):
        as_workflow(Agent(declared), "it")


def test_a_type_that_was_left_as_text_is_resolved() -> None:
    properties = schema_of(Agent(signature(q=declares("list[int]"))))["properties"]
    assert properties == {"q": {"type": "array", "items": {"type": "integer"}}}


def test_a_signature_without_mappings_is_none() -> None:
    class Loose(Agent):
        def run(self, question: str) -> str:  # type: ignore[override]
            return question

    for other in (None, object(), Signature, Signature([], [])):  # type: ignore[arg-type]
        assert describe_agent(Loose(other)).kind == "method"
    assert describe_agent(Loose(signature())).kind == "kaizen"


def test_the_methods_own_parameters_decide_what_is_passed() -> None:
    class Explicit(Agent):
        def run(  # type: ignore[override]
            self,
            question: str,
            depth: int = 2,
            loud: bool = False,
            context: dict[str, Any] | None = None,
            session_id: str | None = None,
        ) -> dict[str, Any]:
            return {"answer": f"{question} {depth} {loud} {context} {session_id}"}

    declared = signature(
        question=declares(str, "What"), depth=declares(int, "How"), unused=declares(str)
    )
    workflow = as_workflow(Explicit(declared), "it")
    assert workflow.input_schema["properties"] == {
        "question": {"type": "string", "description": "What"},
        "depth": {"type": "integer", "description": "How", "default": 2},
        "loud": {"type": "boolean", "default": False},
    }
    assert workflow.plan.wants_context
    assert workflow.plan.wants_session_id


def test_a_field_named_like_the_sessions_is_an_input() -> None:
    class Explicit(Agent):
        def run(self, context: Any, session_id: str) -> dict[str, Any]:  # type: ignore[override]
            return {"answer": f"{context} {session_id}"}

    for cls in (Agent, Explicit):
        declared = signature(context=declares(str), session_id=declares(str))
        workflow = as_workflow(cls(declared), "it")
        assert workflow.input_schema["required"] == ["context", "session_id"]
        assert not workflow.plan.wants_context
        assert not workflow.plan.wants_session_id


def test_the_sessions_id_reaches_an_agent_that_takes_it() -> None:
    class Session:
        session_id = "s1"

    workflow = as_workflow(Agent(signature(q=declares())), "it")
    assert workflow.invoke({"q": "x"}, session=Session()) == {
        "answer": "{'q': 'x', 'session_id': 's1'}"
    }
    assert workflow.invoke({"q": "x"}) == {"answer": "{'q': 'x'}"}


def test_a_return_annotation_that_says_something_is_the_output() -> None:
    class Counting(Agent):
        def run(self, q: str) -> list[int]:  # type: ignore[override]
            return [len(q)]

    schema = as_workflow(Counting(signature(q=declares())), "it").output_schema
    assert schema == {"type": "array", "items": {"type": "integer"}}


class Both(Agent):
    config: Any = None

    async def run_async(self, **inputs: Any) -> dict[str, Any]:
        return {"answer": "later"}


class BothAtOnce(Both):
    def run(self, **inputs: Any) -> dict[str, Any]:
        return {"answer": "now"}

    async def run_async(self, **inputs: Any) -> dict[str, Any]:
        return {"answer": "later"}


class OnlyRun(BothAtOnce):
    def run(self, **inputs: Any) -> dict[str, Any]:
        return {"answer": "own"}


class Asynchronous:
    use_async_llm = True


def test_the_more_derived_method_is_invoked_and_the_configuration_decides_a_tie() -> None:
    def entry(agent: Agent, config: object = None) -> str:
        agent.config = config  # type: ignore[attr-defined]
        return describe_agent(agent).target.__name__  # type: ignore[union-attr]

    declared = signature()
    assert entry(Agent(declared)) == "run"
    assert entry(Both(declared)) == "run_async"
    assert entry(BothAtOnce(declared)) == "run"
    assert entry(BothAtOnce(declared), Asynchronous()) == "run_async"
    assert entry(OnlyRun(declared), Asynchronous()) == "run"


def test_what_wraps_a_method_in_an_instance_is_invoked_and_looked_through() -> None:
    agent = BothAtOnce(signature(q=declares()))
    original = agent.run

    @functools.wraps(original)
    def counted(*args: Any, **inputs: Any) -> Any:
        return {**original(*args, **inputs), "counted": True}

    agent.run = counted  # type: ignore[method-assign]
    assert kaizen_entry(agent) is counted
    assert declared_entry(counted) == original
    assert as_workflow(agent, "it")(q="x") == {"answer": "now", "counted": True}


def test_a_method_that_replaces_another_in_an_instance_wins() -> None:
    agent = BothAtOnce(signature())
    agent.config = Asynchronous()
    agent.run = lambda: {"answer": "replaced"}  # type: ignore[method-assign,assignment]
    assert as_workflow(agent, "it")() == {"answer": "replaced"}


def test_a_workflow_that_was_remembered_is_built_anew() -> None:
    class Builds(Agent):
        prompt = "Be kind."
        _workflow: Any = None

        def to_workflow(self) -> Any:
            if self._workflow is None:
                prompt = self.prompt

                class Built:
                    def build(self) -> str:
                        return prompt

                self._workflow = Built()
            return self._workflow

    agent = Builds(signature())
    assert foreign_workflow(agent, "it") == "Be kind."
    agent.prompt = "Be brief."
    assert foreign_workflow(agent, "it") == "Be brief."
