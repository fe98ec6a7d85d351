from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from unittest.mock import MagicMock

import pytest

from kaizen_nexus.agents.adapters import as_workflow, describe_agent
from kaizen_nexus.agents.base import BaseAgent
from kaizen_nexus.sessions import CrossChannelSession


def greet(name: str, times: int = 1) -> str:
    """Greet somebody."""
    return " ".join([f"hello {name}"] * times)


async def greet_later(name: str) -> str:
    return f"hello {name}"


class Processing(BaseAgent):
    """An agent that processes."""

    def process(self, query: str) -> str:
        return query.upper()


class Running(BaseAgent):
    def run(self, query: str) -> str:
        return query.lower()


class Neither(BaseAgent):
    pass


class PlainRunner:
    def run(self, query: str) -> str:
        return query


class PlainProcessor:
    def process(self, query: str) -> str:
        return query * 2


class Executable:
    def execute(self, query: str) -> str:
        return query + "!"


class Builder:
    def __init__(self, built: object) -> None:
        self.built = built

    def to_workflow(self) -> Builder:
        return self

    def build(self) -> object:
        return self.built


class Called:
    def __call__(self, query: str) -> str:
        return query


@pytest.mark.parametrize(
    ("agent", "inputs", "expected"),
    [
        (greet, {"name": "a", "times": 2}, "hello a hello a"),
        (functools.partial(greet, times=3), {"name": "b"}, "hello b hello b hello b"),
        (Processing(), {"query": "x"}, "X"),
        (Running(), {"query": "X"}, "x"),
        (PlainRunner(), {"query": "x"}, "x"),
        (PlainProcessor(), {"query": "x"}, "xx"),
        (PlainProcessor().process, {"query": "y"}, "yy"),
        (Called(), {"query": "x"}, "x"),
        (Builder(greet), {"name": "c"}, "hello c"),
        (Builder(Executable()), {"query": "x"}, "x!"),
        (Builder(as_workflow(greet, "inner")), {"name": "d"}, "hello d"),
        (as_workflow(greet, "inner"), {"name": "e"}, "hello e"),
        (lambda query: query, {"query": "z"}, "z"),
    ],
)
def test_whatever_is_called_an_agent_becomes_a_workflow(
    agent: object, inputs: dict[str, Any], expected: str
) -> None:
    workflow = as_workflow(agent, "it")
    assert workflow.name == "it"
    assert workflow(**inputs) == expected


def test_the_colour_of_a_function_is_known() -> None:
    assert as_workflow(greet_later, "it").is_async
    assert as_workflow(functools.partial(greet_later), "it").is_async
    assert not as_workflow(greet, "it").is_async


def test_schemas_come_from_annotations() -> None:
    workflow = as_workflow(greet, "it")
    assert workflow.input_schema == {
        "type": "object",
        "properties": {"name": {"type": "string"}, "times": {"type": "integer", "default": 1}},
        "required": ["name"],
        "additionalProperties": False,
    }
    assert workflow.output_schema == {"type": "string"}
    assert workflow.description == "Greet somebody."


def test_a_signature_class_declares_the_inputs() -> None:
    @dataclass
    class Question:
        query: str
        depth: int = 2

    class Signed(BaseAgent):
        def run(self, **inputs: Any) -> dict[str, Any]:
            return inputs

    workflow = as_workflow(Signed(signature=Question), "it")
    assert workflow.input_schema["required"] == ["query"]
    assert workflow(query="q") == {"query": "q", "depth": 2}


def test_unannotated_keywords_are_passed_on() -> None:
    def agent(**inputs: Any) -> dict[str, Any]:
        return inputs

    assert as_workflow(agent, "it")(a=1, b="x") == {"a": 1, "b": "x"}


def test_context_and_session_are_given_not_asked_for() -> None:
    def agent(
        query: str,
        context: Mapping[str, Any] | None = None,
        session: CrossChannelSession | None = None,
    ) -> list[Any]:
        return [query, context, session]

    workflow = as_workflow(agent, "it")
    assert list(workflow.input_schema["properties"]) == ["query"]
    assert workflow.invoke({"query": "q"}, context={"k": 1}, session="s") == ["q", {"k": 1}, "s"]
    assert workflow.invoke({"query": "q"}) == ["q", {}, None]


def test_an_input_named_context_with_another_type_is_an_ordinary_input() -> None:
    def agent(question: str, context: str) -> str:
        return context

    workflow = as_workflow(agent, "it")
    assert set(workflow.input_schema["properties"]) == {"question", "context"}


def test_a_mutable_default_is_not_shared() -> None:
    def agent(item: str, seen: list[str] = []) -> list[str]:  # noqa: B006 - what is tested
        seen.append(item)
        return seen

    workflow = as_workflow(agent, "it")
    assert workflow(item="a") == ["a"]
    assert workflow(item="b") == ["b"]


def test_a_sentinel_default_is_left_to_the_agent() -> None:
    missing = object()

    def agent(query: str, extra: Any = missing) -> bool:
        return extra is missing

    assert as_workflow(agent, "it")(query="q") is True


def test_a_mock_is_an_agent() -> None:
    agent = MagicMock(spec=["run"])
    agent.run.return_value = {"answer": "ok"}
    assert as_workflow(agent, "it")(query="q") == {"answer": "ok"}
    agent.run.assert_called_once_with(query="q")


def positional(query: str, /) -> str:
    return query


class Opaque:
    pass


def opaque(value: Opaque) -> str:
    return ""


@pytest.mark.parametrize(
    ("agent", "error", "message"),
    [
        (None, ValueError, "agent is None"),
        (42, TypeError, "none of run\\(\\), process\\(\\), to_workflow\\(\\) and __call__\\(\\)"),
        (Processing, TypeError, "pass an instance, Processing"),
        (Neither(), TypeError, "overrides neither run\\(\\) nor process\\(\\)"),
        (positional, TypeError, "positional-only"),
        (opaque, TypeError, "have no JSON Schema"),
        (Builder(42), TypeError, "neither callable nor has execute"),
        (lambda value=None, *, x: 1, None, ""),
    ],
)
def test_what_cannot_be_deployed_says_why(
    agent: object, error: type[Exception] | None, message: str
) -> None:
    if error is None:
        assert as_workflow(agent, "it").input_schema["required"] == ["x"]
        return
    with pytest.raises(error, match=message):
        as_workflow(agent, "it")


def test_an_unresolvable_annotation_says_where() -> None:
    def agent(value: Missing) -> str:  # type: ignore[name-defined]  # noqa: F821
        return ""

    with pytest.raises(TypeError, match="cannot be resolved"):
        as_workflow(agent, "it")


def test_describing_builds_nothing() -> None:
    built: list[int] = []

    class Costly:
        def to_workflow(self) -> None:
            built.append(1)

    assert describe_agent(Costly()).kind == "builder"
    assert built == []
