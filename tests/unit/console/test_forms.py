"""How inputs of each schema shape are given on a command line."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from typing import Any, Literal

import click
import pytest

from kaizen_nexus.agents.schema import InputModel
from kaizen_nexus.agents.signature import Field
from kaizen_nexus.channels.cli.command import WorkflowCommand

NOTHING = object()


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Node:
    name: str
    children: list[Node] | None = None


def command_for(annotation: Any) -> WorkflowCommand:
    """The command of a workflow whose only input, `value`, has this annotation."""
    model = InputModel([Field("value", annotation)], accepts_extra=False, label="test")
    return WorkflowCommand("test", "", model.schema)


def given(command: WorkflowCommand, *arguments: str) -> Any:
    return command.read(arguments, 80).inputs.get("value", NOTHING)


@pytest.mark.parametrize(
    ("annotation", "arguments", "expected"),
    [
        (str, ["--value", "7"], "7"),
        (str, ["--value", ""], ""),
        (str, ["--value=--value"], "--value"),
        (str, ["--value", "--help-me"], "--help-me"),
        (str | None, ["--value", "null"], "null"),
        (int, ["--value", "-7"], -7),
        (int | None, ["--value", "7"], 7),
        (float, ["--value", "1e3"], 1000.0),
        (float | None, ["--value", "-.5"], -0.5),
        (bool, ["--value"], True),
        (bool, ["--no-value"], False),
        (bool | None, ["--no-value"], False),
        (Literal["a", "b"], ["--value", "b"], "b"),
        (Literal[-1, 1], ["--value", "-1"], -1),
        (Literal["a", 1] | None, ["--value", "1"], 1),
        (Literal["_a", "-a", "a"], ["--value", "_a"], "_a"),
        (Colour, ["--value", "red"], "red"),
        (list[str], ["--value", "a,b", "--value", "c"], ["a,b", "c"]),
        (list[int], ["--value", "1"], [1]),
        (list[bool], ["--value", "true", "--value", "no"], [True, False]),
        (list[Colour], ["--value", "red", "--value", "red"], ["red", "red"]),
        (list[int | None], ["--value", "1"], [1]),
        (list[str] | None, ["--value", "a"], ["a"]),
        (list[Any], ["--value", '[1, "a"]'], [1, "a"]),
        (list[list[int]], ["--value", "[[1], []]"], [[1], []]),
        (tuple[int, str], ["--value", '[1, "a"]'], [1, "a"]),
        (dict[str, int], ["--value", '{"a": 1}'], {"a": 1}),
        (Node, ["--value", '{"name": "a"}'], {"name": "a"}),
        (Node | None, ["--value", '{"name": "a"}'], {"name": "a"}),
        (int | str, ["--value", "7"], 7),
        (int | str, ["--value", "seven"], "seven"),
        (int | str, ["--value", '"7"'], "7"),
        (str | list[str], ["--value", "stop"], "stop"),
        (str | list[str], ["--value", '["a", "b"]'], ["a", "b"]),
        (int | list[int], ["--value", "[1]"], [1]),
        (Any, ["--value", "7"], "7"),
    ],
)
def test_text_becomes_a_value_of_the_annotated_type(
    annotation: Any, arguments: list[str], expected: Any
) -> None:
    value = given(command_for(annotation), *arguments)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "text", "complaint"),
    [
        (int, "seven", "'seven' is not a valid integer"),
        (int, "1.5", "'1.5' is not a valid integer"),
        (int, "9" * 5_000, "is not a valid integer"),
        (float, "nan", "'nan' is not a finite number"),
        (float, "-inf", "'-inf' is not a finite number"),
        (float, "1e999", "is not a finite number"),
        (float, "x", "'x' is not a valid number"),
        (Literal["a", "b"], "c", "'c' is not one of 'a', 'b'"),
        (Colour, "RED", "'RED' is not one of 'blue', 'red'"),
        (list[int], "x", "'x' is not a valid integer"),
        (dict[str, int], "{", "expected JSON: malformed JSON"),
        (dict[str, int], '{"a": NaN}', "expected JSON: NaN is not JSON"),
        (dict[str, int], '{"a": 1, "a": 2}', "duplicate key 'a'"),
        (int | list[int], "x", "expected JSON"),
        (str | list[str], '["a"', "expected JSON"),
        (str | list[str], ' {"a"', "expected JSON"),
    ],
)
def test_text_of_another_type_is_refused_by_the_option_that_it_was_given_to(
    annotation: Any, text: str, complaint: str
) -> None:
    with pytest.raises(click.UsageError) as refused:
        given(command_for(annotation), "--value", text)
    message = refused.value.format_message()
    assert message.startswith("Invalid value for '--value': ")
    assert complaint in message


@pytest.mark.parametrize(
    ("default", "text", "expected"),
    [
        (5, "7", 7),
        (1.5, "7", 7.0),
        ("x", "7", "7"),
        ([1], "[7]", [7]),
        ({}, "{}", {}),
        (None, "7", "7"),
    ],
)
def test_an_untyped_input_is_given_like_its_default(default: Any, text: str, expected: Any) -> None:
    schema = {"properties": {"value": {"default": default}}}
    assert given(WorkflowCommand("test", "", schema), "--value", text) == expected


def test_an_untyped_input_with_a_boolean_default_is_a_flag() -> None:
    command = WorkflowCommand("test", "", {"properties": {"value": {"default": True}}})
    assert given(command, "--no-value") is False


@pytest.mark.parametrize(
    "schema",
    [
        {"type": ["integer", "null"]},
        {"oneOf": [{"type": "null"}, {"type": "integer"}]},
        {"allOf": [{"type": "integer"}]},
        {"$ref": "#/$defs/Number"},
        {"anyOf": [{"$ref": "#/$defs/Number"}, {"type": "null"}]},
        {"const": 7},
    ],
    ids=json.dumps,
)
def test_one_type_is_found_however_the_schema_says_it(schema: dict[str, Any]) -> None:
    definitions = {"Number": {"title": "Number", "type": "integer"}}
    command = WorkflowCommand("test", "", {"properties": {"value": schema}, "$defs": definitions})
    assert given(command, "--value", "7") == 7


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/Loop"},
        {"$ref": "#/$defs/Missing"},
        {"$ref": "https://example.com/elsewhere.json"},
        {"type": "null"},
        {"enum": ["1", 1]},
        {"enum": [None]},
        {"allOf": [{"type": "object"}, {"required": ["a"]}]},
        {"type": "array", "items": {"type": "object"}},
        {"type": "array", "items": False, "prefixItems": [{"type": "integer"}]},
        {"type": "something new"},
    ],
    ids=json.dumps,
)
def test_what_has_no_simpler_form_is_given_as_json(schema: dict[str, Any]) -> None:
    definitions = {"Loop": {"$ref": "#/$defs/Loop"}}
    command = WorkflowCommand("test", "", {"properties": {"value": schema}, "$defs": definitions})
    assert given(command, "--value", '{"a": [null]}') == {"a": [None]}


@pytest.mark.parametrize(
    "definition",
    [
        {"type": "array", "items": {"$ref": "#/$defs/Loop"}},
        {"anyOf": [{"$ref": "#/$defs/Loop"}] * 64},
        {"anyOf": [{"$ref": "#/$defs/Loop"}, {"type": "array", "items": {"$ref": "#/$defs/Loop"}}]},
    ],
    ids=["list of itself", "union of itself", "itself or a list of itself"],
)
def test_recursive_definitions_come_to_an_end(definition: dict[str, Any]) -> None:
    schema = {
        "properties": {"value": {"$ref": "#/$defs/Loop"}},
        "$defs": {"Loop": definition},
    }
    assert given(WorkflowCommand("test", "", schema), "--value", "[[]]") == [[]]


@pytest.mark.parametrize("annotation", [str | None, bool, list[str], Colour, dict[str, int]])
def test_an_option_that_is_not_given_leaves_its_input_to_the_workflow(annotation: Any) -> None:
    model = InputModel([Field("value", annotation, None)], accepts_extra=False, label="test")
    assert given(WorkflowCommand("test", "", model.schema)) is NOTHING
