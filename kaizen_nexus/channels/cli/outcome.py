"""What a run prints, and the exit code that it ends with."""

from __future__ import annotations

import difflib
import itertools
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click
import msgspec

from kaizen_nexus._errors import NexusError, SessionTableFullError
from kaizen_nexus.access.errors import ForbiddenError, UnauthenticatedError
from kaizen_nexus.agents.errors import InvalidInputsError
from kaizen_nexus.channels.cli.protocol import (
    EXIT_AGENT_FAILED,
    EXIT_NOT_FOUND,
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_USAGE,
)
from kaizen_nexus.runtime.errors import (
    AgentFailedError,
    DeadlineExceededError,
    IdempotencyKeyError,
    IdempotencyKeyReusedError,
    OverloadedError,
    QuarantinedError,
    ResultTooLargeError,
    SessionNotFoundError,
    ShuttingDownError,
    WorkflowNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kaizen_nexus.channels.cli.command import WorkflowCommand
    from kaizen_nexus.runtime.invocation import Result

__all__ = [
    "CHANNEL",
    "EXPECTED",
    "Outcome",
    "candidates",
    "failed",
    "forbidden",
    "misused",
    "not_found",
    "succeeded",
]

CHANNEL = "cli"
MAX_CANDIDATES = 1_000
"""How many names are compared with one that does not exist: it is done on the event loop."""
MAX_NAME = 128
_ERROR = re.compile("^Error:", re.MULTILINE)

_EXIT_CODES: dict[type[NexusError], int] = {
    AgentFailedError: EXIT_AGENT_FAILED,
    ResultTooLargeError: EXIT_AGENT_FAILED,
    InvalidInputsError: EXIT_USAGE,
    IdempotencyKeyError: EXIT_USAGE,
    IdempotencyKeyReusedError: EXIT_USAGE,
    SessionNotFoundError: EXIT_NOT_FOUND,
    WorkflowNotFoundError: EXIT_NOT_FOUND,
    OverloadedError: EXIT_REFUSED,
    QuarantinedError: EXIT_REFUSED,
    SessionTableFullError: EXIT_REFUSED,
    DeadlineExceededError: EXIT_REFUSED,
    ShuttingDownError: EXIT_REFUSED,
    UnauthenticatedError: EXIT_REFUSED,
    ForbiddenError: EXIT_REFUSED,
}
EXPECTED = tuple(_EXIT_CODES)
"""The exceptions that `failed` reports."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the client does with a run: print, and exit."""

    exit_code: int
    stdout: str = ""
    stderr: str = ""

    def in_color(self) -> Outcome:
        """Return the same for a terminal, with what matters most on standard error in colour."""
        label = click.style("Error:", fg="red", bold=True)
        return replace(self, stderr=_ERROR.sub(label, self.stderr))


def succeeded(result: Result, *, json_output: bool) -> Outcome:
    """Return what is printed for a result: itself, or as JSON all that is known of it."""
    if json_output:
        envelope = {
            "status": "success",
            "result": msgspec.Raw(result.body),
            "session_id": result.session_id,
            "duration_ms": result.duration_ns / 1e6,
        }
        return Outcome(EXIT_OK, _indented(msgspec.json.encode(envelope)))
    text = _as_text(result.body)
    note = f"session: {result.session_id}\n" if result.session_id else ""
    return Outcome(EXIT_OK, text, note)


def failed(error: NexusError, command: WorkflowCommand) -> Outcome:
    """Return what is printed for an invocation that the runtime refused, or that failed."""
    lines = [str(error)]
    if isinstance(error, InvalidInputsError):
        lines = [command.locate(each) for each in error.errors]
    exit_code = next(code for cls, code in _EXIT_CODES.items() if isinstance(error, cls))
    return Outcome(exit_code, stderr="".join(f"Error: {line}\n" for line in lines))


def misused(error: click.UsageError) -> Outcome:
    """Return what is printed for a command line that does not make sense."""
    usage = ""
    if error.ctx is not None:
        usage = (
            f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} --help' for what it takes.\n\n"
        )
    return Outcome(EXIT_USAGE, stderr=f"{usage}Error: {error.format_message()}\n")


def forbidden(error: ForbiddenError) -> Outcome:
    """Return what is printed for a workflow that the caller may not run, if there is one."""
    return Outcome(EXIT_REFUSED, stderr=f"Error: {error}. 'nexus list' shows what you may run.\n")


def not_found(
    error: WorkflowNotFoundError, channels: Iterable[str], runnable: Iterable[str]
) -> Outcome:
    """Return what is printed for a name that is not deployed here: what may have been meant.

    Parameters
    ----------
    error
        Which name that is.
    channels
        Where it is deployed instead.
    runnable
        What the caller may run here.
    """
    others = " and ".join(channels)
    hint = "'nexus list' shows what is deployed."
    if others:
        hint = f"It is deployed as {others} only."
    elif len(error.name) <= MAX_NAME:
        names = itertools.islice(runnable, MAX_CANDIDATES)
        close = difflib.get_close_matches(error.name, names)
        if close:
            hint = f"Did you mean {' or '.join(map(repr, close))}? {hint}"
    return Outcome(EXIT_NOT_FOUND, stderr=f"Error: {error}. {hint}\n")


def candidates(items: Iterable[tuple[str, str | None]]) -> Outcome:
    """Return completions, one a line: the value, a tab, and what help says of it."""
    lines = (
        f"{value}\t{' '.join((explanation or '').split())}\n"
        for value, explanation in itertools.islice(items, MAX_CANDIDATES)
        if "\t" not in value and "\n" not in value
    )
    return Outcome(EXIT_OK, "".join(lines))


def _as_text(body: bytes) -> str:
    """Return text as it is and any other value as indented JSON, ending with a newline."""
    if not body.startswith(b'"'):
        return _indented(body)
    text = msgspec.json.decode(body, type=str)
    return text if text.endswith("\n") else f"{text}\n"


def _indented(body: bytes) -> str:
    return f"{msgspec.json.format(body, indent=2).decode()}\n"
