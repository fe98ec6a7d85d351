"""``nexus cache``: what a server's deployments have cached, and what tells two entries apart."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlencode

import click

from kaizen_nexus.channels.cli.protocol import (
    DEFAULT_TIMEOUT,
    DEFAULT_URL,
    EXIT_NOT_FOUND,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
)
from kaizen_nexus.channels.cli.transport import (
    KEPT_OUT,
    BadUrlError,
    RefusedError,
    UnreachableError,
    request,
)
from kaizen_nexus.console.run import unreachable
from kaizen_nexus.console.seconds import Seconds
from kaizen_nexus.runtime.checks import MAX_SECONDS

__all__ = ["cache"]

PATH = "/api/cache"
OK, NOT_FOUND = 200, 404
_EXPECTED = {OK: {"entries", "differences"}, NOT_FOUND: {"detail"}}
"""A member that an answer of each status has, if it comes from a server of ours."""
SHOWN_DIGITS = 12
_HEADINGS = ("KEY", "NAME", "KIND", "AGE", "HITS", "BUILD", "FIELDS", "BYTES")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))

Command = TypeVar("Command", bound=Callable[..., Any])


def _server_options(command: Command) -> Command:
    """Add the options that every command has that asks a server."""
    for option in (
        click.option(
            "--timeout",
            type=Seconds(0, MAX_SECONDS, min_open=True),
            default=DEFAULT_TIMEOUT,
            show_default=True,
            help="Seconds.",
        ),
        click.option("--json", "as_json", is_flag=True, help="The same as -o json."),
        click.option(
            "-o",
            "--output",
            type=click.Choice(["text", "json"]),
            default="text",
            show_default=True,
            help="How to print it.",
        ),
        click.option(
            "--url", envvar="NEXUS_URL", default=DEFAULT_URL, show_default=True, help="The server."
        ),
    ):
        command = option(command)
    return command


@click.group(short_help="Show what deployments have cached.")
def cache() -> None:
    """Show a running server's deployment cache, which spares equal agents a second build."""


@cache.command("list", short_help="List the entries.")
@_server_options
def list_entries(*, url: str, output: str, as_json: bool, timeout: float) -> None:
    """List what deployments have cached, the least recently used entry first."""
    answer = _get(url, PATH, timeout)
    if as_json or output == "json":
        _print_json(answer)
        return
    entries, uncached = answer["entries"], answer["uncached"]
    if entries:
        click.echo(_table([_row(entry) for entry in entries]))
    else:
        click.echo("Nothing is cached.", err=True)
    for name, reason in uncached.items():
        click.echo(f"not cached: {name}: {reason}", err=True)


@cache.command(short_help="Show what tells two entries apart.")
@click.argument("a")
@click.argument("b")
@_server_options
def why(a: str, b: str, *, url: str, output: str, as_json: bool, timeout: float) -> None:
    """Show in which fields the keys A and B differ.

    A and B are keys, the first digits of keys, or the names of deployments. Values are shortened,
    and secrets replaced by digests that mean something to that server alone.
    """
    answer = _get(url, f"{PATH}/why?{urlencode({'a': a, 'b': b})}", timeout)
    if as_json or output == "json":
        _print_json(answer)
        return
    for difference in answer["differences"]:
        click.echo("{field}: {a} -> {b}".format_map(difference))
    if not answer["differences"]:
        click.echo("No field differs that is known of both.", err=True)


def _get(url: str, path: str, timeout: float) -> dict[str, Any]:
    """Return the server's answer; without one, say why and leave."""
    try:
        status, answer = _fetch(url, path, timeout)
    except BadUrlError as error:
        raise click.UsageError(str(error)) from None
    except RefusedError as error:
        _leave(f"Error: the server at {url} {error}.\n", EXIT_REFUSED)
    except UnreachableError as error:
        _leave(unreachable(url, str(error)), EXIT_UNREACHABLE)
    if status == NOT_FOUND:
        _leave(f"Error: {answer['detail']}.\n", EXIT_NOT_FOUND)
    return answer


def _fetch(url: str, path: str, timeout: float) -> tuple[int, dict[str, Any]]:
    reply = request("GET", url, path, timeout=timeout)
    if reply.status in KEPT_OUT:
        raise RefusedError(reply.status, reply.body)
    if reply.status not in _EXPECTED:
        raise UnreachableError(f"it answered with HTTP status {reply.status}")
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or not answer.keys() & _EXPECTED[reply.status]:
        raise UnreachableError("what answers there is another program")
    return reply.status, answer


def _leave(message: str, code: int) -> NoReturn:
    click.echo(message, err=True, nl=False)
    sys.exit(code)


def _print_json(answer: Any) -> None:
    click.echo(json.dumps(answer, ensure_ascii=False, indent=2))


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    seconds = entry["build_seconds"]
    return (
        entry["key"][:SHOWN_DIGITS],
        entry["name"] or "-",
        entry["kind"] or "-",
        _age(entry["age_seconds"]),
        str(entry["hits"]),
        "-" if seconds is None else f"{seconds * 1e3:.1f} ms",
        str(entry["fields"]),
        str(entry["field_bytes"]),
    )


def _age(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    left = 3
    lines = []
    for row in (_HEADINGS, *rows):
        cells = (
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
