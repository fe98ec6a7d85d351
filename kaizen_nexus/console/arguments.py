"""The options that ``nexus run`` itself reads; the server parses the rest."""

from __future__ import annotations

import os
import sys

from kaizen_nexus.channels.cli.protocol import DEFAULT_TIMEOUT, DEFAULT_URL

__all__ = ["UsageError", "check_text", "fill_in_stdin", "server_url", "split_arguments"]

MAX_STDIN = 4 * 1024 * 1024
MAX_TIMEOUT = 7 * 24 * 3600
_STDIN = "-"


class UsageError(Exception):
    """The command line is wrong, whatever the workflow."""


def server_url() -> str:
    """Return the server's URL if the command line does not name one."""
    return os.environ.get("NEXUS_URL") or DEFAULT_URL


def split_arguments(arguments: list[str]) -> tuple[str, float, list[str]]:
    """Return the server's URL, the timeout in seconds, and the arguments for the server.

    Raises
    ------
    UsageError
        ``--url`` or ``--timeout`` has no value, or one that cannot be used.
    """
    own = {"--url": server_url(), "--timeout": str(DEFAULT_TIMEOUT)}
    rest = []
    remaining = iter(arguments)
    for argument in remaining:
        option, assigned, value = argument.partition("=")
        if option in own:
            own[option] = value if assigned else next(remaining, "")
            if not own[option]:
                raise UsageError(f"{option} needs a value.")
        else:
            rest.append(argument)
            if argument == "--":
                break
    rest.extend(remaining)
    return own["--url"], _seconds(own["--timeout"]), rest


def check_text(arguments: list[str]) -> None:
    """Refuse arguments that are not text, since they could not be sent unchanged.

    Raises
    ------
    UsageError
        An argument has bytes that are not text in the shell's encoding.
    """
    try:
        " ".join(arguments).encode()
    except UnicodeEncodeError as error:
        around = ascii(error.object[max(error.start - 20, 0) : error.end + 20])
        raise UsageError(f"{around} is not text in your shell's encoding.") from None


def fill_in_stdin(arguments: list[str]) -> list[str]:
    """Return `arguments` with the ``-`` of ``--inputs -`` replaced by standard input.

    Raises
    ------
    UsageError
        Standard input is longer than 4 MiB, not UTF-8, or asked for twice.
    """
    filled = list(arguments)
    places = [
        i
        for i, argument in enumerate(arguments)
        if argument == f"--inputs={_STDIN}"
        or (argument == _STDIN and i > 0 and arguments[i - 1] == "--inputs")
    ]
    if len(places) > 1:
        raise UsageError("--inputs - is given more than once.")
    for place in places:
        filled[place] = filled[place].removesuffix(_STDIN) + _read_stdin()
    return filled


def _read_stdin() -> str:
    data = b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_STDIN + 1)
    if len(data) > MAX_STDIN:
        raise UsageError(f"standard input is longer than {MAX_STDIN} bytes.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError("standard input is not UTF-8.") from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    # Written so that NaN fails, too.
    if not 0 < seconds <= MAX_TIMEOUT:
        raise UsageError(f"--timeout takes seconds, more than 0 and at most {MAX_TIMEOUT}.")
    return seconds
