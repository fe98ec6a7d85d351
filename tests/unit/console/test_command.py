"""A workflow's command: the names of its options, its help, its errors and its completions."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Annotated, Any

import click
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.agents.errors import InputError
from kaizen_nexus.channels.cli.command import CommandLine, HelpRequested, WorkflowCommand

RESERVED = (
    "session", "output", "input", "inputs", "idempotency-key", "stream", "url", "timeout", "help",
)  # fmt: skip


def command_of(agent: Any, name: str = "assistant") -> WorkflowCommand:
    workflow = as_workflow(agent, name)
    return WorkflowCommand(name, workflow.description, workflow.input_schema)


def texts(*names: str) -> WorkflowCommand:
    """A command with one text input for each name."""
    properties = {name: {"type": "string"} for name in names}
    return WorkflowCommand("test", "", {"properties": properties})


def read(command: WorkflowCommand, *arguments: str) -> CommandLine:
    return command.read(arguments, 80)


def help_of(command: WorkflowCommand, width: int = 80) -> str:
    with pytest.raises(HelpRequested) as asked:
        command.read(["--help"], width)
    return asked.value.text


def complaint_about(command: WorkflowCommand, *arguments: str) -> str:
    with pytest.raises(click.UsageError) as refused:
        read(command, *arguments)
    assert refused.value.ctx is not None
    assert refused.value.ctx.command_path == f"nexus run {command.name}"
    return refused.value.format_message()


def search(
    query: Annotated[str, "What to look for."],
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10,
    dry_run: bool = False,
    tags: list[str] | None = None,
    style: str = "",
) -> str:
    """Look something up.

    All that is known
    is searched.

    - first titles
    - then texts
    """
    return query


class TestNames:
    @pytest.mark.parametrize("option", ["--dry-run", "--dry_run", "--dry_run_", "---dry-run"])
    def test_underscores_and_dashes_are_the_same(self, option: str) -> None:
        assert read(texts("dry_run"), option, "x").inputs == {"dry_run": "x"}

    @pytest.mark.parametrize(
        ("name", "option"),
        [("from_", "--from"), ("_private", "--private"), ("größe", "--größe"), ("a.b", "--a.b")],
    )
    def test_odd_names_have_a_natural_spelling(self, name: str, option: str) -> None:
        assert read(texts(name), option, "x").inputs == {name: "x"}

    @pytest.mark.parametrize("name", RESERVED)
    def test_a_reserved_name_is_preceded_by_input(self, name: str) -> None:
        assert read(texts(name), f"--input-{name}", "x").inputs == {name: "x"}

    def test_the_options_of_all_commands_are_reserved(self) -> None:
        options = [item.value for item in texts().complete([], "--")]
        assert sorted(options) == sorted(f"--{name}" for name in RESERVED)

    def test_the_reserved_option_keeps_its_meaning(self) -> None:
        line = read(texts("session", "output"), "--session", "abc", "-o", "json")
        assert line == CommandLine({}, "abc", json_output=True)

    def test_an_input_that_is_called_like_the_way_out_is_not_displaced(self) -> None:
        command = texts("session", "input_session")
        assert read(command, "--input-session", "x").inputs == {"input_session": "x"}
        assert read(command, "--input-input-session", "x").inputs == {"session": "x"}

    def test_a_flag_whose_negation_is_taken_takes_a_value(self) -> None:
        flag = {"type": "boolean"}
        command = WorkflowCommand("test", "", {"properties": {"cache": flag, "no_cache": flag}})
        assert read(command, "--cache", "false").inputs == {"cache": False}
        assert read(command, "--no-cache").inputs == {"no_cache": True}

    @pytest.mark.parametrize("name", ["", "a b", "a=b", "a/b", "-", "_", "a\nb", "--"])
    def test_a_name_that_no_option_can_have_is_given_as_json(self, name: str) -> None:
        command = texts(name)
        assert "Inputs:" not in help_of(command)
        assert read(command, "--inputs", json.dumps({name: "x"})).inputs == {name: "x"}

    @given(st.lists(st.text(max_size=12) | st.sampled_from(RESERVED), unique=True, max_size=12))
    def test_every_input_has_at_most_one_option_and_every_option_one_input(
        self, names: list[str]
    ) -> None:
        command = texts(*names)
        described = help_of(command)
        options = [item.value for item in command.complete([], "--")]
        assert len(options) == len(set(options))
        own = [option for option in options if option.removeprefix("--") not in RESERVED]
        reached = [name for option in own for name in read(command, option, "x").inputs]
        assert len(reached) == len(own) == len(set(reached))
        assert set(reached) <= set(names)
        assert all(option in described for option in own)
        identifiers = {n for n in names if n.isidentifier() and n.isascii() and n.strip("_")}
        assert identifiers <= set(reached)


class TestReading:
    def test_only_what_was_given_is_passed_on(self) -> None:
        assert read(command_of(search), "--query", "x") == CommandLine({"query": "x"}, None, False)

    def test_assignments_give_text_and_json(self) -> None:
        line = read(texts("a"), "-i", "a=1", "-i", "b:=[1]", "--input", "c==", "-i", "d:=null")
        assert line.inputs == {"a": "1", "b": [1], "c": "=", "d": None}

    def test_options_come_before_assignments_and_those_before_the_object(self) -> None:
        everything = ["--inputs", '{"a": "1", "b": "1", "c": "1"}', "-i", "b=2", "-i", "c=2"]
        line = read(texts("a", "b", "c"), *everything, "--c", "3")
        assert line.inputs == {"a": "1", "b": "2", "c": "3"}

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["-i", "a"], "'a' is neither KEY=TEXT nor KEY:=JSON."),
            (["-i", "=1"], "'=1' is neither KEY=TEXT nor KEY:=JSON."),
            (["-i", ":=1"], "':=1' is neither KEY=TEXT nor KEY:=JSON."),
            (["-i", "a:=x"], "expected JSON"),
            (["--inputs", "[]"], "expected a JSON object"),
            (["--inputs", "-"], "expected JSON"),
            (["--qery", "x"], "Did you mean"),
            (["--query"], "Option '--query' requires an argument."),
            (["--query", "x", "what"], "Got unexpected extra argument (what)"),
            (["-o", "xml"], "'xml' is not one of 'text', 'json'."),
        ],
    )
    def test_what_makes_no_sense_is_a_usage_error(
        self, arguments: list[str], complaint: str
    ) -> None:
        assert complaint in complaint_about(command_of(search), *arguments)

    def test_all_missing_options_are_named_at_once(self) -> None:
        def agent(a: int, b_c: int, session: str) -> None: ...

        command = command_of(agent)
        assert complaint_about(command) == "Missing options --a, --b-c, --input-session."
        assert complaint_about(command, "--a", "1", "-i", "b_c:=1") == (
            "Missing option --input-session."
        )

    def test_a_missing_input_without_an_option_is_named_too(self) -> None:
        schema = {"properties": {"a b": {}}, "required": ["a b"]}
        complaint = complaint_about(WorkflowCommand("test", "", schema))
        assert complaint == "Missing option -i 'a b=...'."

    @pytest.mark.parametrize(
        ("pointer", "expected"),
        [
            ("/dry_run", "--dry-run: wrong"),
            ("/tags/0/name", "--tags: wrong (at /0/name)"),
            ("/other", "input 'other': wrong"),
            ("/a~1b~0c", "input 'a/b~c': wrong"),
            ("", "wrong"),
        ],
    )
    def test_errors_name_the_option(self, pointer: str, expected: str) -> None:
        assert command_of(search).locate(InputError(pointer, "wrong")) == expected


class TestHelp:
    def test_it_describes_the_inputs_and_the_options(self) -> None:
        text = help_of(command_of(search))
        assert text.startswith(
            "Usage: nexus run assistant [OPTIONS]\n\n"
            "  Look something up.\n\n"
            "  All that is known is searched.\n\n"
            "  - first titles\n"
            "  - then texts\n\n"
            "Inputs:\n"
            "  --query TEXT              What to look for.  [required]\n"
            "  --limit INTEGER           [default: 10; >=1 and <=100]\n"
            "  --dry-run / --no-dry-run\n"
            "  --tags TEXT               [may be repeated]\n"
            "  --style TEXT\n\n"
            "Options:\n"
        )
        assert all(f"--{name} " in text for name in RESERVED)
        assert text.endswith("\n")

    @pytest.mark.parametrize("option", ["-h", "--help"])
    def test_it_comes_whatever_else_is_on_the_command_line(self, option: str) -> None:
        with pytest.raises(HelpRequested):
            read(command_of(search), "--limit", "many", option)

    @pytest.mark.parametrize(("width", "columns"), [(-1, 50), (60, 60), (100, 100), (10**9, 120)])
    def test_it_fits_the_terminal_within_reason(self, width: int, columns: int) -> None:
        def agent(query: Annotated[str, "word " * 60]) -> None: ...

        agent.__doc__ = "word " * 60
        lines = help_of(command_of(agent), width).splitlines()
        assert columns - 10 <= max(map(len, lines)) <= columns

    @pytest.mark.parametrize(
        ("default", "shown"),
        [
            (0, "[default: 0]"),
            (True, "[default: true]"),
            ([1], "[default: [1]]"),
            ("é", "[default: é]"),
        ],
    )
    def test_it_shows_defaults(self, default: Any, shown: str) -> None:
        schema = {"properties": {"value": {"default": default}}}
        assert shown in help_of(WorkflowCommand("test", "", schema))

    @pytest.mark.parametrize("default", [None, False, ""])
    def test_it_says_nothing_of_defaults_that_mean_nothing(self, default: Any) -> None:
        schema = {"properties": {"value": {"default": default}}}
        assert (
            "default: " not in help_of(WorkflowCommand("test", "", schema)).partition("Options")[0]
        )

    def test_it_shows_the_format_of_a_text(self) -> None:
        schema = {"properties": {"day": {"type": "string", "format": "date"}}}
        assert "--day DATE" in help_of(WorkflowCommand("test", "", schema))


class TestCompletion:
    def complete(self, *arguments: str) -> list[str]:
        *before, incomplete = arguments
        return [item.value for item in command_of(search).complete(before, incomplete)]

    def test_options_that_begin_like_what_was_typed(self) -> None:
        assert self.complete("--d") == ["--dry-run"]
        assert self.complete("--no") == ["--no-dry-run"]

    def test_values_of_the_last_option(self) -> None:
        assert self.complete("--output", "") == ["text", "json"]
        assert self.complete("--output=j") == ["json"]

    def test_a_half_typed_command_line_is_no_error(self) -> None:
        assert "--query" in self.complete("--limit", "x", "--unknown", "--help", "--")


def test_a_command_keeps_no_agent_alive() -> None:
    class Agent:
        def run(self, query: str) -> str:
            return query

    agent = Agent()
    alive = weakref.ref(agent)
    command = command_of(agent)
    del agent
    gc.collect()
    assert alive() is None
    assert read(command, "--query", "x").inputs == {"query": "x"}
