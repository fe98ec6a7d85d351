"""Options that several subcommands of ``nexus`` have."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

from kaizen_nexus.channels.cli.protocol import DEFAULT_TIMEOUT, DEFAULT_URL
from kaizen_nexus.runtime.checks import MAX_SECONDS

__all__ = ["Seconds", "json_option", "output_option", "server_options"]

Command = TypeVar("Command", bound=Callable[..., Any])


class Seconds(click.FloatRange):
    """A number of seconds in a range. Refuses NaN, which `click.FloatRange` lets through."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number.

        Raises
        ------
        click.BadParameter
            `value` is not a number, or not in the range.
        """
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return number


output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print it.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def server_options(command: Command) -> Command:
    """Add the options of a command that asks a server: ``--url``, ``-o`` and ``--timeout``."""
    url = click.option(
        "--url", envvar="NEXUS_URL", default=DEFAULT_URL, show_default=True, help="The server."
    )
    timeout = click.option(
        "--timeout",
        type=Seconds(0, MAX_SECONDS, min_open=True),
        default=DEFAULT_TIMEOUT,
        show_default=True,
        help="Seconds to wait for the answer.",
    )
    return url(output_option(timeout(command)))
