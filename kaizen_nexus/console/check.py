"""The subcommand ``nexus check``: its options, its output and its exit codes."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from kaizen_nexus.console.options import Seconds, output_option

if TYPE_CHECKING:
    from kaizen_nexus.testing.report import Report

__all__ = ["check"]

DEFAULT_TIMEOUT = 30.0
MAX_TIMEOUT = 24 * 3600
EXIT_DIFFERENT = 1
EXIT_CANNOT_CHECK = 2
EXIT_INTERRUPTED = 130
EPILOG = """\
TARGET is module:app or path/to/file.py:app; the app's name is 'app' if left out. An application
that wraps a Nexus is served by uvicorn, and has no MCP over stdio.

Exit codes: 0 nothing differs; 1 something does; 2 there is nothing to compare, or the command
line makes no sense; 130 interrupted."""


@click.command(short_help="Compare the channels of an app.", epilog=EPILOG)
@click.argument("target")
@click.option(
    "--inputs",
    "inputs_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Inputs to call with, as JSON or JSON lines; default is to derive them from the schemas.",
)
@click.option(
    "--workflow",
    "workflows",
    multiple=True,
    metavar="NAME",
    help="Check this workflow alone. May be repeated.",
)
@output_option
@click.option(
    "--timeout",
    type=Seconds(0, MAX_TIMEOUT, min_open=True),
    default=DEFAULT_TIMEOUT,
    show_default=True,
    help="Seconds that one call may take.",
)
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep what the servers print.",
)
def check(
    *,
    target: str,
    inputs_file: Path | None,
    workflows: tuple[str, ...],
    output: str,
    timeout: float,
    log: Path | None,
) -> None:
    """Serve an app, run its workflows over every channel, and report every difference.

    The same inputs go over HTTP, the command line, MCP over stdio, and MCP over HTTP with clients
    of both eras of the protocol. The agents really run, several times on each channel.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    show, clear = _progress()
    try:
        report = _report(
            target, inputs=inputs_file, workflows=workflows, timeout=timeout, log=log, progress=show
        )
    except KeyboardInterrupt:
        show("")
        click.echo("Interrupted.", err=True)
        sys.exit(EXIT_INTERRUPTED)
    finally:
        clear()
    if output == "json":
        click.echo(json.dumps(report.as_data(), ensure_ascii=False, indent=2))
    else:
        from kaizen_nexus.testing.table import format_report

        click.echo(format_report(report))
    sys.exit(0 if report.ok else EXIT_DIFFERENT)


def _report(target: str, **options: Any) -> Report:
    from kaizen_nexus.channels.cli.transport import BadUrlError
    from kaizen_nexus.testing.api import check as run_check
    from kaizen_nexus.testing.report import CannotCheckError

    try:
        return run_check(target, **options)
    except (BadUrlError, CannotCheckError, OSError) as error:
        raise _CannotCheck(str(error)) from None
    except ImportError as error:
        if "pip install 'kaizen-nexus[" not in str(error):
            raise
        raise _CannotCheck(str(error)) from None


class _CannotCheck(click.ClickException):
    """Nothing could be compared."""

    exit_code = EXIT_CANNOT_CHECK


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Interrupt the check, once: further signals must not interrupt the cleaning up."""
    del number, frame
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _progress() -> tuple[Callable[[str], None], Callable[[], None]]:
    """Return what shows what is being done on one line of a terminal, and what takes it away."""
    stream, clear = sys.stderr, "\r\033[K"
    if not stream.isatty():
        return lambda _: None, lambda: None

    def show(text: str) -> None:
        width = max(shutil.get_terminal_size().columns - 1, 1)
        stream.write(f"{clear}{text[:width]}")
        stream.flush()

    return show, lambda: show("")
