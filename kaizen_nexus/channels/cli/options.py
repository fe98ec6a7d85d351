"""The options of a workflow's command: one for each input, and those that every command has."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import click

from kaizen_nexus.channels.cli.forms import OptionForm, option_form
from kaizen_nexus.channels.cli.protocol import DEFAULT_TIMEOUT, DEFAULT_URL
from kaizen_nexus.channels.cli.values import ASSIGNMENT, JSON_OBJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["InputOption", "common_options", "input_options", "spell"]

RESERVED = frozenset(
    {"help", "idempotency-key", "input", "inputs", "output", "session", "stream", "timeout", "url"}
)
_SPELLABLE = re.compile(r"\w[\w.-]*")
_PREFIX = "input-"
_LIMITS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
MAX_DEFAULT = 80
"""How much of a default is worth showing in help, in characters."""


def spell(name: str) -> str:
    """Return how `name` is written in an option: ``dry_run`` as ``dry-run``, ``from_`` as ``from``.

    Applied to what is typed as well, so that all spellings of a name are the same option.
    """
    return name.replace("_", "-").strip("-")


class InputOption(click.Option):
    """The option that gives one input.

    Parameters
    ----------
    input_name
        Which input.
    declarations
        What `click.Option` takes: the key of the parsed value, then the option itself.
    form
        How the value is given.
    help_text
        What help says of it.
    """

    def __init__(
        self, input_name: str, declarations: list[str], form: OptionForm, help_text: str
    ) -> None:
        super().__init__(
            declarations,
            type=form.type,
            metavar=form.metavar,
            multiple=form.repeatable,
            # With False, rather than None, click would let the value be left out.
            is_flag=form.flag or None,
            help=help_text,
        )
        self.input_name = input_name


def input_options(schema: Mapping[str, Any]) -> list[InputOption]:
    """Return an option for each input whose name can be spelt as one, in the schema's order.

    Parameters
    ----------
    schema
        A workflow's input schema.
    """
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    spellings = _spellings(properties)
    taken = RESERVED.union(spellings.values())
    required = frozenset(schema.get("required", ()))
    options = []
    for position, (name, spelling) in enumerate(spellings.items()):
        form = option_form(properties[name], schema.get("$defs", {}))
        declaration = f"--{spelling}"
        if form.flag and f"no-{spelling}" not in taken:
            declaration = f"--{spelling}/--no-{spelling}"
        elif form.flag:
            form = replace(form, flag=False)
        text = _help_text(properties[name], form, required=name in required)
        options.append(InputOption(name, [f"input_{position}", declaration], form, text))
    return options


def common_options(on_help: Callable[[click.Context], NoReturn]) -> list[click.Option]:
    """Return the options that every workflow's command has.

    Parameters
    ----------
    on_help
        Called when help is asked for, whatever else is on the command line.
    """

    def help_callback(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
        if asked and not ctx.resilient_parsing:
            on_help(ctx)

    return [
        click.Option(
            ["input", "-i", "--input"],
            type=ASSIGNMENT,
            metavar="KEY=TEXT|KEY:=JSON",
            multiple=True,
            help="Give an input by its name, as text or as JSON. May be repeated.",
        ),
        click.Option(
            ["inputs", "--inputs"],
            type=JSON_OBJECT,
            metavar="JSON|-",
            help="Give inputs as a JSON object; '-' reads it from standard input. "
            "What other options give comes on top.",
        ),
        click.Option(
            ["session", "--session"],
            metavar="ID|new",
            help="Run in this session, or in a new one, whose id goes to standard error.",
        ),
        click.Option(
            ["idempotency_key", "--idempotency-key"],
            metavar="KEY",
            help="Name this run, so that the same command with the same key prints what it printed "
            "and runs nothing again.",
        ),
        click.Option(
            ["output", "-o", "--output"],
            type=click.Choice(["text", "json"]),
            help="Print the result alone (text, the default), or with its session and duration.",
        ),
        click.Option(
            ["stream", "--stream"],
            is_flag=True,
            help="Print the result while it is made, if the workflow yields it in parts.",
        ),
        # The client takes these two off the command line: here they are for help and completion.
        click.Option(
            ["url", "--url"],
            metavar="URL",
            expose_value=False,
            help=f"The server.  [default: $NEXUS_URL, or {DEFAULT_URL}]",
        ),
        click.Option(
            ["timeout", "--timeout"],
            metavar="SECONDS",
            expose_value=False,
            help=f"How long to wait for the result.  [default: {DEFAULT_TIMEOUT}]",
        ),
        click.Option(
            ["help", "-h", "--help"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=help_callback,
            help="Show this message and exit.",
        ),
    ]


def _spellings(names: Iterable[str]) -> dict[str, str]:
    """Return the option for each name that can have one, without the leading dashes.

    A name that a common option has, or another input, is preceded by ``input-``; which one of two
    inputs that is does not depend on names that have no such conflict.
    """
    spellable = {name: spell(name) for name in names if _SPELLABLE.fullmatch(spell(name))}
    taken: set[str] = set(RESERVED)
    spellings = {}
    for name, spelling in spellable.items():
        if spelling not in taken:
            taken.add(spelling)
            spellings[name] = spelling
    for name, spelling in spellable.items():
        if name not in spellings:
            free = _PREFIX + spelling
            while free in taken:
                free = _PREFIX + free
            taken.add(free)
            spellings[name] = free
    return {name: spellings[name] for name in spellable}


def _help_text(schema: Mapping[str, Any], form: OptionForm, *, required: bool) -> str:
    """Return the description followed by what is to be known about the value, as click has it."""
    notes = []
    default = schema.get("default")
    if default is not None and default is not False and default != "":
        shown = default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)
        notes.append(f"default: {shown[:MAX_DEFAULT]}")
    limits = [f"{sign}{schema[key]}" for key, sign in _LIMITS.items() if key in schema]
    if limits:
        notes.append(" and ".join(limits))
    if form.repeatable:
        notes.append("may be repeated")
    if required:
        notes.append("required")
    description = str(schema.get("description", "")).strip()
    return "  ".join(filter(None, [description, f"[{'; '.join(notes)}]" if notes else ""]))
