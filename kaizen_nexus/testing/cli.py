"""The command line as a shell sees it: ``nexus run`` as a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from typing import Any

import click

from kaizen_nexus.channels.cli.options import InputOption, input_options
from kaizen_nexus.channels.cli.protocol import (
    EXIT_AGENT_FAILED,
    EXIT_NOT_FOUND,
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
)
from kaizen_nexus.channels.cli.values import NUMBER, JsonText, OneOf
from kaizen_nexus.testing.answers import NO_ANSWER, UNEXPECTED, Answer, problem_in
from kaizen_nexus.testing.http import Site
from kaizen_nexus.testing.serving import environment, nexus_command

__all__ = ["CliProbe", "command_line"]

Completed = subprocess.CompletedProcess[str]
MARGIN = 5.0
"""Seconds beyond the timeout, in which the program itself reports that it is over."""
MAX_ARGUMENTS = 100_000
"""Characters; the system's own limits begin at 128 KiB for one argument."""
_TYPES: Mapping[Any, type] = {click.STRING: str, click.BOOL: bool, click.INT: int, NUMBER: float}
_NAMED = re.compile(
    r"(?:^|[\s'\"])(--[^\s:=,.]+)|input '([^']*)'|-i '?([^\s=:]+)[:=]", re.MULTILINE
)
_EXIT_CODES = {
    "agent-failed": EXIT_AGENT_FAILED,
    "result-too-large": EXIT_AGENT_FAILED,
    "invalid-inputs": EXIT_USAGE,
    "workflow-not-found": EXIT_NOT_FOUND,
    "session-not-found": EXIT_NOT_FOUND,
    "overloaded": EXIT_REFUSED,
    "quarantined": EXIT_REFUSED,
    "session-limit": EXIT_REFUSED,
}


class CliProbe:
    """Runs workflows with ``nexus run``.

    Parameters
    ----------
    site
        The server.
    schemas
        The published schema of each workflow's inputs, which says how they are typed.
    """

    name = "cli"
    operation = "cli"
    apart = False

    def __init__(self, site: Site, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        self._site = site
        self._schemas = schemas

    def call(self, workflow: str, inputs: dict[str, Any], session: str | None) -> Answer:
        """Return what comes of running `workflow`, as ``-o json`` prints it."""
        options = ["-o", "json", *([] if session is None else ["--session", session])]
        done = self.run(workflow, inputs, *options)
        if done.returncode == EXIT_UNREACHABLE:
            return Answer.failed(NO_ANSWER, done.stderr)
        if done.returncode != EXIT_OK:
            return self._problem(workflow, done)
        try:
            answer = json.loads(done.stdout)
            return Answer(answer["result"], answer["session_id"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return Answer.failed(UNEXPECTED, f"exit code 0 without a result: {done.stdout[:200]}")

    def run(self, workflow: str, inputs: dict[str, Any], *options: str) -> Completed:
        """Run `workflow` with `inputs` and further options."""
        arguments, stdin = command_line(self._schemas.get(workflow, {}), inputs)
        return self.execute(workflow, *options, *arguments, stdin=stdin)

    def execute(self, workflow: str, *arguments: str, stdin: str = "") -> Completed:
        """Give ``nexus run`` this command line; if it does not end in time it is killed."""
        timeout = self._site.timeout
        wait = ["--url", self._site.url, "--timeout", str(timeout)]
        try:
            return subprocess.run(  # noqa: S603 - our own program
                nexus_command("run", *wait, workflow, *arguments),
                env=environment(),
                input=stdin,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=timeout + MARGIN,
                check=False,
            )
        except subprocess.TimeoutExpired:
            error = f"Error: no end within {timeout:g} s"
            return Completed([], EXIT_UNREACHABLE, "", error)

    def _problem(self, workflow: str, done: Completed) -> Answer:
        message = done.stderr.partition("Error: ")[2].strip()
        slug = problem_in(message, workflow)
        if not slug and done.returncode == EXIT_USAGE:
            slug = "invalid-inputs"
        if _EXIT_CODES.get(slug) != done.returncode:
            return Answer.failed(UNEXPECTED, f"exit code {done.returncode}: {done.stderr}")
        named = self._inputs_named(workflow, message) if slug == "invalid-inputs" else frozenset()
        return Answer.failed(slug, message, named)

    def _inputs_named(self, workflow: str, message: str) -> frozenset[str]:
        """Return the inputs whose options, or whose own names, an error message mentions."""
        options = {
            opt: option.input_name
            for option in input_options(self._schemas.get(workflow, {}))
            for opt in (*option.opts, *option.secondary_opts)
        }
        found = set()
        for option, quoted, assigned in _NAMED.findall(message):
            if option in options:
                found.add(options[option])
            elif not option:
                found.add(quoted or assigned)
        return frozenset(found)


def command_line(schema: Mapping[str, Any], inputs: Mapping[str, Any]) -> tuple[list[str], str]:
    """Return the arguments that give `inputs`, and what goes to standard input.

    An option that would not give exactly this value is replaced by ``-i NAME:=JSON``. What no
    argument can hold, such as a NUL character, goes through ``--inputs -``.

    Parameters
    ----------
    schema
        The JSON Schema of the inputs.
    inputs
        Whether or not they are what the schema asks for.
    """
    options = {option.input_name: option for option in input_options(schema)}
    arguments: list[str] = []
    for name, value in inputs.items():
        option = options.get(name)
        typed = None if option is None else _typed(option, value)
        arguments += typed if typed is not None else ["-i", f"{name}:={_json(value)}"]
    # A name that holds "=" would be cut there, and one that ends with ":" would look like another.
    misread = any("=" in name or name.endswith(":") for name in inputs if name not in options)
    text = "".join(arguments)
    surrogates = any("\ud800" <= character <= "\udfff" for character in text)
    if misread or surrogates or "\0" in text or len(text) > MAX_ARGUMENTS:
        return ["--inputs", "-"], json.dumps(inputs)
    return arguments, ""


def _typed(option: InputOption, value: Any) -> list[str] | None:
    """Return `value` as the option's own arguments, or None if it cannot be given so."""
    name = option.opts[0]
    if option.is_flag:
        if not isinstance(value, bool):
            return None
        return [name if value else option.secondary_opts[0]]
    if not option.multiple:
        text = _text(option.type, value)
        return None if text is None else [f"{name}={text}"]
    if not isinstance(value, list) or not value:
        return None
    texts = [_text(option.type, item) for item in value]
    return None if None in texts else [f"{name}={text}" for text in texts]


def _text(kind: click.ParamType[Any], value: Any) -> str | None:
    if isinstance(kind, OneOf):
        labels = (
            label
            for label, labelled in kind.labels.items()
            if labelled == value and type(labelled) is type(value)
        )
        return next(labels, None)
    if isinstance(kind, JsonText):
        return _json(value)
    # The exact type, since true is no integer, and an integer would arrive as a number, as 1.0.
    if _TYPES.get(kind) is not type(value):
        return None
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
