"""The command line as a shell sees it: ``nexus run`` as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kaizen_nexus.channels.cli.options import input_options
from kaizen_nexus.channels.cli.protocol import (
    EXIT_AGENT_FAILED,
    EXIT_NOT_FOUND,
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
)
from kaizen_nexus.testing.cli_arguments import command_line
from kaizen_nexus.testing.outcome import NO_ANSWER, UNEXPECTED, Outcome
from kaizen_nexus.testing.program import environment, nexus_command
from kaizen_nexus.testing.wording import problem_in

__all__ = ["CliProbe", "Finished"]

MARGIN = 5.0
"""Seconds beyond the timeout, in which the program itself reports that it is over."""
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
    "session-limit": EXIT_REFUSED,
}


@dataclass(frozen=True)
class Finished:
    """A process that has ended."""

    exit_code: int
    stdout: str
    stderr: str


class CliProbe:
    """Runs workflows with ``nexus run``.

    Parameters
    ----------
    url
        The server.
    schemas
        The published schema of each workflow's inputs, which says how they are typed.
    timeout
        Seconds for one run.
    """

    name = "cli"
    operation = "cli"

    def __init__(self, url: str, schemas: Mapping[str, Mapping[str, Any]], timeout: float) -> None:
        self._url = url
        self._schemas = schemas
        self._timeout = timeout

    async def call(self, workflow: str, inputs: dict[str, Any], session: str | None) -> Outcome:
        """Return what comes of running `workflow`, as ``-o json`` prints it."""
        options = ["-o", "json", *([] if session is None else ["--session", session])]
        done = await self.run(workflow, inputs, *options)
        return self._outcome(workflow, done)

    async def run(self, workflow: str, inputs: dict[str, Any], *options: str) -> Finished:
        """Run `workflow` with `inputs` and further options, and return what came of it."""
        arguments, stdin = command_line(self._schemas.get(workflow, {}), inputs)
        return await self.execute("run", workflow, *options, *arguments, stdin=stdin)

    async def execute(self, *arguments: str, stdin: str = "") -> Finished:
        """Run the ``nexus`` program to its end; one that does not end in time is killed."""
        wait = ["--url", self._url, "--timeout", str(self._timeout)]
        process = await asyncio.create_subprocess_exec(
            *nexus_command(arguments[0], *wait, *arguments[1:]),
            env=environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(
                process.communicate(stdin.encode()), self._timeout + MARGIN
            )
        except asyncio.TimeoutError:  # another class before Python 3.11
            return Finished(EXIT_UNREACHABLE, "", f"Error: no end within {self._timeout:g} s")
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        texts = (stream.decode(errors="replace") for stream in (out, err))
        return Finished(process.returncode or EXIT_OK, *texts)

    def _outcome(self, workflow: str, done: Finished) -> Outcome:
        if done.exit_code == EXIT_UNREACHABLE:
            return Outcome.failed(NO_ANSWER, done.stderr)
        if done.exit_code != EXIT_OK:
            return self._problem(workflow, done)
        try:
            answer = json.loads(done.stdout)
            return Outcome(answer["result"], answer["session_id"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return Outcome.failed(UNEXPECTED, f"exit code 0 without a result: {done.stdout[:200]}")

    def _problem(self, workflow: str, done: Finished) -> Outcome:
        message = done.stderr.partition("Error: ")[2].strip()
        slug = problem_in(message, workflow)
        if not slug and done.exit_code == EXIT_USAGE:
            slug = "invalid-inputs"
        if _EXIT_CODES.get(slug) != done.exit_code:
            return Outcome.failed(UNEXPECTED, f"exit code {done.exit_code}: {done.stderr}")
        named = self._inputs_named(workflow, message) if slug == "invalid-inputs" else frozenset()
        return Outcome.failed(slug, message, named)

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
