"""Shell completion of ``nexus run``: the server completes names, options and their values."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from kaizen_nexus.channels.cli.protocol import EXIT_OK
from kaizen_nexus.channels.cli.transport import BadUrlError, UnreachableError
from kaizen_nexus.console.arguments import UsageError, check_text, split_arguments
from kaizen_nexus.console.run import ask

__all__ = ["ForwardedCommand", "complete_argument"]

TIMEOUT = 2.0
"""Seconds; after that, Tab completes nothing."""


class ForwardedCommand(click.Command):
    """A command whose arguments, including options, the server parses."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the options that begin with `incomplete`."""
        return _ask(ctx, incomplete)


def complete_argument(
    ctx: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the workflow names, or values of the last option, that begin with `incomplete`."""
    return _ask(ctx, incomplete)


def _ask(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    try:
        url, _, argv = split_arguments(list(ctx.params.get("argv") or ()))
        check_text([*argv, incomplete])
        code, lines, _ = ask(url, {"argv": argv, "complete": incomplete}, TIMEOUT)
    except (BadUrlError, UnreachableError, UsageError):
        return []
    if code != EXIT_OK:
        return []
    items = (line.partition("\t") for line in lines.splitlines())
    return [CompletionItem(value, help=explanation or None) for value, _, explanation in items]
