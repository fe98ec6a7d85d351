"""Asking a server for what it shows as JSON, and printing it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from kaizen_nexus.channels.cli.protocol import EXIT_NOT_FOUND, EXIT_REFUSED, EXIT_UNREACHABLE
from kaizen_nexus.channels.cli.transport import KEPT_OUT, BadUrlError, UnreachableError, request
from kaizen_nexus.console.run import unreachable

__all__ = ["aligned", "fetch", "print_json"]

OK = 200
NO_ENTRY = "urn:kaizen-nexus:problem:cache-entry-not-found"


def fetch(url: str, path: str, timeout: float, member: str) -> dict[str, Any]:
    """Return the JSON object that the server answers, or leave the program and say why not.

    Parameters
    ----------
    url
        The server.
    path
        What to ask for.
    timeout
        Seconds to wait.
    member
        A member that, if the server is one of ours, is a list of objects.
    """
    try:
        reply = request("GET", url, path, timeout=timeout)
    except BadUrlError as error:
        raise click.UsageError(str(error)) from None
    except UnreachableError as error:
        _leave(unreachable(url, str(error)), EXIT_UNREACHABLE)
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        answer = None
    fields = answer if isinstance(answer, dict) else {}
    if reply.status in KEPT_OUT:
        detail = fields.get("detail", "it does not say why")
        message = f"Error: the server at {url} refused with HTTP status {reply.status}: {detail}.\n"
        _leave(message, EXIT_REFUSED)
    if fields.get("type") == NO_ENTRY:
        _leave(f"Error: {fields['detail']}.\n", EXIT_NOT_FOUND)
    if reply.status != OK:
        reason = f"it answered with HTTP status {reply.status}"
        _leave(unreachable(url, reason), EXIT_UNREACHABLE)
    items = fields.get(member)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        _leave(unreachable(url, "what answers there is another program"), EXIT_UNREACHABLE)
    return fields


def print_json(value: Any) -> None:
    """Print a JSON value, indented."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def aligned(rows: Sequence[tuple[str, ...]], left: int) -> str:
    """Return the rows as lines, in columns: the first `left` to the left, the rest to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = (
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _leave(message: str, code: int) -> NoReturn:
    click.echo(message, err=True, nl=False)
    sys.exit(code)
