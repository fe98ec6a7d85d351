"""The parts that decide what is called and what counts as the same, without any server."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import click
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.channels.cli.command import WorkflowCommand
from kaizen_nexus.channels.cli.values import JsonText
from kaizen_nexus.testing.answers import (
    NO_ANSWER,
    UNEXPECTED,
    Answer,
    first_difference,
    groups_of,
    identical,
)
from kaizen_nexus.testing.cases import read_cases
from kaizen_nexus.testing.cli import command_line
from kaizen_nexus.testing.comparison import complaint_about
from kaizen_nexus.testing.report import CannotCheckError
from kaizen_nexus.testing.samples import NoSampleError, Sampler


class Tone(Enum):
    FORMAL = "formal"
    CASUAL = "casual"


class Tree(msgspec.Struct):
    value: int
    children: list[Tree] = []


Bounded = Annotated[int, msgspec.Meta(ge=10, le=12)]
Open = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Long = Annotated[str, msgspec.Meta(min_length=30, max_length=31)]
Even = Annotated[int, msgspec.Meta(multiple_of=7, ge=15)]
Word = Annotated[str, msgspec.Meta(pattern="^[a-z]+$")]


def every_kind(
    text: str,
    number: int,
    ratio: float,
    flag: bool,
    tone: Tone,
    size: Literal[1, 2, "big"],
    items: list[str],
    pairs: tuple[int, str],
    tree: Tree,
    either: int | list[int],
    maybe: str | None,
    mapping: dict[str, float],
    bounded: Bounded,
    open_: Open,
    long: Long,
    even: Even,
    word: Word,
    untyped,  # an input may have no type
) -> None:
    """Take inputs of every kind."""


def options(
    text: str = "a",
    number: int = 3,
    flag: bool = True,
    tone: Tone = Tone.FORMAL,
    none: int | None = None,
) -> None:
    """Take inputs with defaults."""


class TestSamples:
    def test_inputs_of_every_kind_are_taken(self) -> None:
        workflow = as_workflow(every_kind, "every_kind")
        inputs = Sampler(workflow.input_schema).required_only()
        assert set(inputs) == set(workflow.input_schema["properties"])
        assert workflow.validate(inputs)

    def test_optional_inputs_get_another_value_than_their_default(self) -> None:
        sampler = Sampler(as_workflow(options, "options").input_schema)
        assert sampler.required_only() == {}
        given = sampler.everything()
        assert given.pop("text") not in {"a", ""}
        assert given == {"number": 4, "flag": False, "tone": "casual", "none": 1}

    def test_what_the_schema_suggests_comes_first(self) -> None:
        schema = {"properties": {"city": {"type": "string", "examples": ["Oslo"]}}}
        assert Sampler(schema).everything() == {"city": "Oslo"}

    def test_an_input_for_which_there_is_no_value(self) -> None:
        name = {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"}
        optional = {"properties": {"name": name}}
        assert Sampler(optional).everything() == {}
        with pytest.raises(NoSampleError, match="no value for 'name' can be derived"):
            Sampler({**optional, "required": ["name"]}).required_only()

    def test_the_wrong_value_is_wrong(self) -> None:
        workflow = as_workflow(every_kind, "every_kind")
        name, value = Sampler(workflow.input_schema).wrong() or ("", None)
        valid = Sampler(workflow.input_schema).required_only()
        with pytest.raises(ValueError, match=name):
            workflow.validate({**valid, name: value})

    def test_where_anything_goes_nothing_is_wrong(self) -> None:
        def anything(**inputs: Any) -> None:
            return None

        assert Sampler(as_workflow(anything, "anything").input_schema).wrong() is None


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = {
    "text": TEXTS,
    "number": st.integers(),
    "flag": st.booleans(),
    "tone": st.sampled_from(["formal", "casual"]),
    "none": st.none() | st.integers(),
}


class TestCommandLine:
    @given(st.fixed_dictionaries({}, optional=VALUES))
    def test_what_is_typed_is_what_was_meant(self, inputs: dict[str, Any]) -> None:
        schema = as_workflow(options, "options").input_schema
        self.assert_typed(schema, inputs)

    @given(
        st.dictionaries(
            TEXTS.filter(bool),
            st.recursive(
                st.none() | st.booleans() | st.integers() | TEXTS,
                lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
                max_leaves=5,
            ),
            max_size=4,
        )
    )
    def test_inputs_that_no_schema_knows(self, inputs: dict[str, Any]) -> None:
        self.assert_typed({"properties": {}}, inputs)

    def assert_typed(self, schema: dict[str, Any], inputs: dict[str, Any]) -> None:
        arguments, stdin = command_line(schema, inputs)
        if stdin:
            assert arguments == ["--inputs", "-"]
            arguments = ["--inputs", stdin]
        line = WorkflowCommand("name", "", schema).read(arguments, 80)
        assert identical(dict(line.inputs), inputs)

    def test_options_are_used_where_there_are_any(self) -> None:
        schema = as_workflow(every_kind, "every_kind").input_schema
        inputs = {"text": "-a b", "flag": False, "items": ["x", "y"], "number": 2, "size": "big"}
        arguments, _ = command_line(schema, inputs)
        assert arguments == [
            "--text=-a b",
            "--no-flag",
            "--items=x",
            "--items=y",
            "--number=2",
            "--size=big",
        ]

    def test_a_wrong_value_is_given_all_the_same(self) -> None:
        schema = as_workflow(options, "options").input_schema
        assert command_line(schema, {"number": "x"}) == (["-i", 'number:="x"'], "")
        assert command_line(schema, {"flag": [True]}) == (["-i", "flag:=[true]"], "")

    def test_what_no_argument_can_hold_goes_to_standard_input(self) -> None:
        schema = as_workflow(options, "options").input_schema
        for text in ("\0", "\ud800", "x" * 200_000):
            arguments, stdin = command_line(schema, {"text": text})
            assert arguments == ["--inputs", "-"]
            if text != "\ud800":
                value = JsonText().convert(stdin, None, None)
                assert value == {"text": text}


class TestSameness:
    @pytest.mark.parametrize(
        ("one", "other", "expected"),
        [
            (1, 1.0, ("", 1, 1.0)),
            (1, True, ("", 1, True)),
            ({"a": [1, {"b/c": 2}]}, {"a": [1, {"b/c": 3}]}, ("/a/1/b~1c", 2, 3)),
            ({"a": 1, "b": 2}, {"b": 2, "a": 1}, None),
            ([1], [1], None),
        ],
    )
    def test_first_difference(self, one: Any, other: Any, expected: Any) -> None:
        found = first_difference(one, other)
        assert found == expected
        assert found is None or list(map(type, found)) == list(map(type, expected))

    def test_a_member_that_is_missing(self) -> None:
        assert groups_of({"a": Answer({"x": None}), "b": Answer({})}) == {
            "a": "at /x: null",
            "b": "at /x: nothing",
        }

    def test_problems_are_the_same_if_they_are_about_the_same(self) -> None:
        one = Answer.failed("invalid-inputs", "in these words", frozenset({"a", "b"}))
        other = Answer.failed("invalid-inputs", "in others", frozenset({"b"}))
        elsewhere = Answer.failed("invalid-inputs", "", frozenset({"c"}))
        assert one.agrees_with(other)
        assert not one.agrees_with(elsewhere)
        assert not one.agrees_with(Answer.failed("agent-failed"))
        assert not one.agrees_with(Answer())
        unlike = [Answer.failed(UNEXPECTED, text) for text in "ab"]
        assert not unlike[0].agrees_with(unlike[1])


END = "\n\n"
LINES = f'{{"workflow": "a", "inputs": {{"n": 1}}}}{END}{{"workflow": "a", "inputs": {{"n": 2}}}}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "holds no inputs"),
        ("[]", "holds no inputs"),
        ("{", "malformed JSON"),
        ('"notes"', 'expected {"workflow": NAME, "inputs": {...}}'),
        ('{"notes": {"fact": "a"}}', "'notes' must be an array of objects"),
        ('[{"workflow": "notes"}]', "element 1: expected"),
        ('[{"workflow": 1, "inputs": {}}]', "element 1: 'workflow' must be a workflow's name"),
        ('[{"workflow": "notes", "inputs": []}]', "element 1: 'inputs' must be an object"),
        ('{"workflow": "notes", "inputs": {}}\n{"workflow": "n', "line 2: malformed JSON"),
        ('{"notes": [{"fact": NaN}]}', "NaN is not JSON"),
    ],
)
def test_inputs_that_make_no_sense(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "inputs"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CannotCheckError) as caught:
        read_cases(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "text", ['{"a": [{"n": 1}, {"n": 2}]}', LINES, f"[{LINES.replace(END, ',')}]"]
)
def test_inputs_in_each_form(tmp_path: Path, text: str) -> None:
    file = tmp_path / "inputs"
    file.write_text(text, encoding="utf-8")
    assert [case.inputs for case in read_cases(file)["a"]] == [{"n": 1}, {"n": 2}]


NO_RECORDS = {"api": 0, "cli": 0, "mcp": 0, "session_sync": 0}


class TestRecords:
    @pytest.mark.parametrize(
        ("answer", "records", "expected"),
        [
            (Answer(), {"api": 1}, ""),
            (Answer(), {}, "recorded api 0 times instead of once"),
            (Answer(), {"api": 2}, "recorded api 2 times instead of once"),
            (Answer(), {"api": 1, "mcp": 1}, "recorded mcp once though it is another channel"),
            (
                Answer(),
                {"api": 1, "session_sync": 1},
                "recorded session_sync once instead of 0 times",
            ),
            (Answer(session_id="x"), {"api": 1, "session_sync": 1}, ""),
            (Answer.failed("agent-failed"), {}, "recorded api 0 times instead of once"),
            (Answer.failed("invalid-inputs"), {}, ""),
            (Answer.failed("invalid-inputs"), {"api": 1}, ""),
            (
                Answer.failed("workflow-not-found"),
                {"api": 1},
                "recorded api once instead of 0 times",
            ),
            (Answer.failed(NO_ANSWER), {"api": 5}, ""),
        ],
    )
    def test_complaints(self, answer: Answer, records: dict[str, int], expected: str) -> None:
        assert complaint_about("api", answer, {**NO_RECORDS, **records}) == expected


def test_the_command_is_listed() -> None:
    from kaizen_nexus.console.commands import nexus

    assert isinstance(nexus.commands["check"], click.Command)
