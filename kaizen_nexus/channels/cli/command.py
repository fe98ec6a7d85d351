"""A workflow as a command: reads its command line, renders its help, completes its options."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.core import ParameterSource
from click.shell_completion import ShellComplete

from kaizen_nexus.channels.cli.options import InputOption, common_options, input_options, spell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from click.shell_completion import CompletionItem

    from kaizen_nexus.agents.errors import InputError

__all__ = ["CommandLine", "HelpRequested", "WorkflowCommand"]

MIN_WIDTH, MAX_WIDTH = 50, 120
_LAID_OUT = re.compile(r"^(\s|[-*+>#|`:=~]|\d+[.)])", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What a command line asks for."""

    inputs: Mapping[str, Any]
    """Only those that were given: defaults are the workflow's business."""
    session_id: str | None
    json_output: bool
    idempotency_key: str | None = None
    stream: bool = False
    """Whether to print the chunks of a result as they are made."""


class HelpRequested(Exception):  # noqa: N818  # not a failure, and named like click's own Exit
    """The command line asks for help."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class WorkflowCommand(click.Command):
    """The command line of one workflow.

    Holds no reference to the workflow itself.

    Parameters
    ----------
    name
        The workflow's name.
    description
        What it does; Markdown.
    schema
        The JSON Schema of its inputs.
    """

    def __init__(self, name: str, description: str, schema: Mapping[str, Any]) -> None:
        self._inputs = input_options(schema)
        self._options_by_input = {option.input_name: option.opts[0] for option in self._inputs}
        self._required = tuple(schema.get("required", ()))
        super().__init__(
            name,
            context_settings={"token_normalize_func": spell},
            params=[*self._inputs, *common_options(_show_help)],
            help=_keep_layout(description),
            add_help_option=False,
        )

    def read(self, arguments: Sequence[str], width: int) -> CommandLine:
        """Return what `arguments`, the command line after the workflow's name, asks for.

        Parameters
        ----------
        arguments
            As the shell split them.
        width
            How many columns help may take.

        Raises
        ------
        HelpRequested
            That is what is asked for.
        click.UsageError
            An option is unknown, or its value is not of its type, or a required one is missing.
        """
        context = click.Context(
            self,
            info_name=f"nexus run {self.name}",
            terminal_width=max(MIN_WIDTH, min(width, MAX_WIDTH)),
            **self.context_settings,
        )
        try:
            with context:
                self.parse_args(context, list(arguments))
                inputs = self._inputs_in(context)
        except click.UsageError as error:
            # The parser's own errors do not know which command they are about.
            error.ctx = error.ctx or context
            raise
        values = context.params
        return CommandLine(
            inputs,
            values["session"],
            values["output"] == "json",
            values["idempotency_key"],
            values["stream"],
        )

    def locate(self, error: InputError) -> str:
        """Return `error` as a message that names the option instead of the JSON pointer."""
        name, _, rest = error.pointer.removeprefix("/").partition("/")
        name = name.replace("~1", "/").replace("~0", "~")
        where = self._options_by_input.get(name, f"input {name!r}" if name else "")
        inside = f" (at /{rest})" if rest else ""
        return f"{where}: {error.message}{inside}" if where else error.message

    def complete(self, arguments: Sequence[str], incomplete: str) -> list[CompletionItem]:
        """Return what may follow `arguments` and begins like `incomplete`."""
        completion = ShellComplete(self, {}, f"nexus run {self.name}", "")
        return completion.get_completions(list(arguments), incomplete)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the inputs, and then the options that every workflow has."""
        common = [param for param in self.params if not isinstance(param, InputOption)]
        for title, params in (("Inputs", self._inputs), ("Options", common)):
            records = [record for param in params if (record := param.get_help_record(ctx))]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def _inputs_in(self, context: click.Context) -> dict[str, Any]:
        values = context.params
        inputs = {**(values["inputs"] or {}), **dict(values["input"])}
        for option in self._inputs:
            key = option.name or ""
            if context.get_parameter_source(key) is ParameterSource.COMMANDLINE:
                value = values[key]
                inputs[option.input_name] = list(value) if option.multiple else value
        # All that are missing, at once: the workflow's own check stops at the first.
        missing = [
            self._options_by_input.get(name, f"-i {shlex.quote(f'{name}=...')}")
            for name in self._required
            if name not in inputs
        ]
        if missing:
            noun = "option" if len(missing) == 1 else "options"
            raise click.UsageError(f"Missing {noun} {', '.join(missing)}.")
        return inputs


def _show_help(context: click.Context) -> NoReturn:
    raise HelpRequested(f"{context.get_help()}\n")


def _keep_layout(description: str) -> str:
    """Mark the paragraphs whose line breaks mean something, so that click does not refill them."""
    paragraphs = description.split("\n\n")
    return "\n\n".join(f"\b\n{p}" if _LAID_OUT.search(p) else p for p in paragraphs)
