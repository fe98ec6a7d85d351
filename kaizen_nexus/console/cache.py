"""``nexus cache``: what a server's deployments have cached, and how two entries differ."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import click

from kaizen_nexus.console.asking import aligned, fetch, print_json
from kaizen_nexus.console.options import json_option, server_options

__all__ = ["cache"]

PATH = "/api/cache"
SHOWN_DIGITS = 12
_HEADINGS = ("KEY", "NAME", "KIND", "AGE", "HITS", "BUILD", "FIELDS", "BYTES")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


@click.group(short_help="Show what deployments have cached.")
def cache() -> None:
    """Show a running server's deployment cache, thanks to which equal agents are built once."""


@cache.command("list", short_help="List the entries.")
@server_options
@json_option
def list_entries(*, url: str, output: str, as_json: bool, timeout: float) -> None:
    """List what deployments have cached, the least recently used entry first."""
    answer = fetch(url, PATH, timeout, "entries")
    if as_json or output == "json":
        print_json(answer)
        return
    if answer["entries"]:
        click.echo(aligned([_HEADINGS, *map(_row, answer["entries"])], left=3))
    else:
        click.echo("Nothing is cached.", err=True)
    for name, reason in answer["uncached"].items():
        click.echo(f"not cached: {name}: {reason}", err=True)


@cache.command(short_help="Show how two entries differ.")
@click.argument("a")
@click.argument("b")
@server_options
@json_option
def why(a: str, b: str, *, url: str, output: str, as_json: bool, timeout: float) -> None:
    """Show in which fields the keys A and B differ.

    A and B are keys, the first digits of keys, or the names of deployments. Values are shortened,
    and secrets replaced by digests, which only that server can compare.
    """
    answer = fetch(url, f"{PATH}/why?{urlencode({'a': a, 'b': b})}", timeout, "differences")
    if as_json or output == "json":
        print_json(answer)
        return
    for difference in answer["differences"]:
        click.echo("{field}: {a} -> {b}".format_map(difference))
    if not answer["differences"]:
        click.echo("The fields that are known of both do not differ.", err=True)


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
