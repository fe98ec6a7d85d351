from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import numpy as np
import pydantic
import pytest

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.agents.errors import InvalidInputsError, InvalidOutputError


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Filter:
    field: str
    limits: list[int]


class Point(pydantic.BaseModel):
    x: int


class Shape(pydantic.BaseModel):
    points: list[Point]


class Options(TypedDict, total=False):
    fast: bool


class Record(msgspec.Struct):
    key: str


def everything(
    query: Annotated[str, "What to ask"],
    colour: Colour = Colour.RED,
    mode: Literal["a", "b"] = "a",
    filters: list[Filter] | None = None,
    shape: Shape | None = None,
    options: Options | None = None,
    record: Record | None = None,
    ratio: float = 0.5,
) -> dict[str, Any]:
    return locals()


@pytest.mark.parametrize(
    ("inputs", "pointer", "message"),
    [
        ({}, "/query", "missing required field"),
        ({"query": 1}, "/query", "Expected `str`, got `int`"),
        ({"query": True}, "/query", "Expected `str`, got `bool`"),
        ({"query": "q", "other": 1}, "/other", "unknown field"),
        ({"query": "q", "colour": "green"}, "/colour", "Invalid enum value"),
        ({"query": "q", "mode": "c"}, "/mode", "Invalid enum value"),
        ({"query": "q", "filters": [{"field": "f"}]}, "/filters/0/limits", "missing required"),
        (
            {"query": "q", "filters": [{"field": "f", "limits": ["x"]}]},
            "/filters/0/limits/0",
            "Expected `int`, got `str`",
        ),
        ({"query": "q", "shape": {"points": [{"x": "no"}]}}, "/shape/points/0/x", "valid integer"),
        ({"query": "q", "options": {"fast": "yes"}}, "/options/fast", "Expected `bool`"),
        ({"query": "q", "ratio": "0.5"}, "/ratio", "Expected `float`, got `str`"),
    ],
)
def test_invalid_inputs_are_pointed_at(inputs: dict[str, Any], pointer: str, message: str) -> None:
    with pytest.raises(InvalidInputsError) as caught:
        as_workflow(everything, "it").validate(inputs)
    assert caught.value.errors[0].pointer == pointer
    assert message in caught.value.errors[0].message


def test_inputs_arrive_as_the_annotated_types() -> None:
    values = as_workflow(everything, "it").validate(
        {
            "query": "q",
            "colour": "blue",
            "filters": [{"field": "f", "limits": [1]}],
            "shape": {"points": [{"x": 3}]},
            "record": {"key": "k"},
            "ratio": 1,
        }
    )
    assert values["colour"] is Colour.BLUE
    assert values["filters"] == [Filter("f", [1])]
    assert values["shape"] == Shape(points=[Point(x=3)])
    assert values["record"] == Record("k")
    assert values["mode"] == "a"


def test_every_reference_in_a_schema_resolves() -> None:
    schema = as_workflow(everything, "it").input_schema
    references: list[str] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            references.extend([node["$ref"]] if "$ref" in node else [])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(schema)
    assert references
    assert all(reference.removeprefix("#/$defs/") in schema["$defs"] for reference in references)
    assert schema["properties"]["query"]["description"] == "What to ask"


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("text", b'"text"'),
        (Filter("f", [1]), b'{"field":"f","limits":[1]}'),
        (Shape(points=[Point(x=1)]), b'{"points":[{"x":1}]}'),
        (np.arange(3), b"[0,1,2]"),
        (np.float64(0.5), b"0.5"),
        (float("nan"), b"null"),
        ({"a": {1}}, b'{"a":[1]}'),
    ],
)
def test_results_become_json(value: object, encoded: bytes) -> None:
    def agent() -> Any:
        return value

    workflow = as_workflow(agent, "it")
    assert workflow.encode(workflow()) == encoded


def test_a_result_without_a_json_form_is_refused() -> None:
    with pytest.raises(InvalidOutputError, match="object is not a JSON type"):
        as_workflow(lambda: None, "it").encode(object())


def test_a_result_of_another_type_than_declared_is_refused() -> None:
    def agent() -> str:
        return None  # type: ignore[return-value]

    workflow = as_workflow(agent, "it")
    with pytest.raises(InvalidOutputError, match="does not match the declared output"):
        workflow.encode(workflow())


def test_a_renamed_workflow_shares_its_plan() -> None:
    workflow = as_workflow(everything, "it")
    other = workflow.renamed("other").described("Other words.")
    assert (other.name, other.description) == ("other", "Other words.")
    assert (workflow.name, workflow.description) == ("it", "")
    assert other.plan.inputs is workflow.plan.inputs
