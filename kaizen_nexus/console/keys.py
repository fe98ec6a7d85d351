"""``nexus keys``: make, list and revoke API keys."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from kaizen_nexus.access.keyfile import create_key, list_keys, revoke_key
from kaizen_nexus.access.keys import ApiKey, default_key_file
from kaizen_nexus.channels.cli.protocol import EXIT_NOT_FOUND
from kaizen_nexus.console.asking import aligned, print_json
from kaizen_nexus.console.options import json_option

__all__ = ["keys"]

file_option = click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file of keys; default is $KAIZEN_NEXUS_KEYS, or nexus-keys.json here.",
)


def _reporting_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Let `command` say what is wrong with the file, instead of showing a traceback."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except (OSError, ValueError) as error:
            raise click.ClickException(str(error)) from None

    return run


@click.group(short_help="Make, list and revoke API keys.")
def keys() -> None:
    """Make, list and revoke the API keys that an app with enable_auth=True accepts.

    A running server notices a change within a second.
    """


@keys.command(short_help="Make a key.")
@click.option(
    "--name",
    required=True,
    help="The user; keys of one name are one user's.",
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    help="A workflow that the key may call, 'nexus:monitor', or '*' for all; may be repeated.",
)
@click.option("--expires", "days", type=float, metavar="DAYS", help="Default: never.")
@file_option
@json_option
@_reporting_errors
def create(
    *, name: str, scopes: tuple[str, ...], days: float | None, file: Path | None, as_json: bool
) -> None:
    """Make a key and print it. It is shown only once: the file keeps its hash."""
    path = _path(file)
    key, kept = create_key(path, name, scopes, days)
    if as_json:
        print_json({"key": key, **_shown(kept)})
        return
    click.echo(key)
    click.echo(
        f"Added to {path} as {kept.id}. It is not shown again: keep it where programs find it, "
        "such as the environment variable NEXUS_API_KEY.",
        err=True,
    )


@keys.command("list", short_help="List the keys.")
@file_option
@json_option
@_reporting_errors
def list_all(*, file: Path | None, as_json: bool) -> None:
    """List the keys in a file: ids, names, expiry and scopes, but not the keys themselves."""
    path = _path(file)
    held = [_shown(key) for key in list_keys(path)]
    if as_json:
        print_json({"keys": held})
        return
    if not held:
        click.echo(f"{path} holds no keys.", err=True)
        return
    rows = [("ID", "NAME", "EXPIRES", "SCOPES")]
    rows += [(k["id"], k["name"], k["expires"] or "never", " ".join(k["scopes"])) for k in held]
    click.echo(aligned(rows, left=4))


@keys.command(short_help="Revoke a key.")
@click.argument("key_id", metavar="ID")
@file_option
@json_option
@_reporting_errors
def revoke(*, key_id: str, file: Path | None, as_json: bool) -> None:
    """Revoke the key with this id, which 'nexus keys list' shows."""
    path = _path(file)
    revoked = revoke_key(path, key_id)
    if as_json:
        print_json({"revoked": revoked})
    elif revoked:
        click.echo(f"Revoked {key_id}.", err=True)
    else:
        click.echo(f"Error: {path} has no key with this id.", err=True)
    if not revoked:
        raise click.exceptions.Exit(EXIT_NOT_FOUND)


def _path(file: Path | None) -> Path:
    return default_key_file() if file is None else file.absolute()


def _shown(key: ApiKey) -> dict[str, Any]:
    """Return what is shown of a key: all but its hash."""
    shown = asdict(key)
    del shown["hash"]
    return {**shown, "created": _day(key.created), "expires": _day(key.expires)}


def _day(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
