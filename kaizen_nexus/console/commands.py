"""The subcommands of ``nexus``."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

import click

from kaizen_nexus.console.cache import cache
from kaizen_nexus.console.check import check
from kaizen_nexus.console.completion import ForwardedCommand, complete_argument
from kaizen_nexus.console.keys import keys
from kaizen_nexus.console.listing import list_workflows
from kaizen_nexus.console.options import Seconds
from kaizen_nexus.runtime.checks import MAX_SECONDS

__all__ = ["nexus", "run_command"]

SUITES = ("core", "guide", "kaizen", "serve", "walk")
SERVERS = ("uvicorn", "granian")
LOOPS = ("auto", "asyncio", "uvloop")
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
PORT = click.IntRange(0, 65_535)
SECONDS = Seconds(0, MAX_SECONDS)
TARGET_HELP = "TARGET is module:app or path/to/file.py:app; the app's name is 'app' if left out."


def run_command(arguments: list[str]) -> int:
    """Run the subcommand that `arguments` name, and return the exit code."""
    called = Path(sys.argv[0]).name
    alias = "kaizen-nexus" if called.startswith("kaizen-nexus") else "nexus"
    try:
        nexus.main(arguments, prog_name=alias)
    except SystemExit as leaving:
        if isinstance(leaving.code, str):  # an app that refuses to be loaded says why
            click.echo(leaving.code, err=True)
        return leaving.code if isinstance(leaving.code, int) else 1
    except ImportError as error:
        # The message of a missing extra says all; any other import error is a bug.
        if "pip install 'kaizen-nexus[" not in str(error):
            raise
        click.echo(f"Error: {error}", err=True)
        return 1
    return 0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def nexus(ctx: click.Context) -> None:
    """Serve agents over HTTP, the command line and MCP; run and list what is deployed."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False


@nexus.command(short_help="Serve an app.", epilog=TARGET_HELP)
@click.argument("target")
@click.option("--host", metavar="ADDRESS", help="Where to listen; default is the app's host.")
@click.option("--port", type=PORT, help="Default is the app's api_port; 0 takes any free one.")
@click.option("--mcp-port", type=PORT, help="A second port, for MCP clients that expect one.")
@click.option(
    "--insecure",
    is_flag=True,
    help="Let other machines reach an app that has no authentication.",
)
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="HOST",
    help="A host name by which clients may address the app; may be repeated.",
)
@click.option(
    "--allow-origin",
    "allow_origins",
    multiple=True,
    metavar="ORIGIN",
    help="An origin whose web pages may call the app; may be repeated.",
)
@click.option(
    "--grace",
    type=SECONDS,
    metavar="SECONDS",
    help="How long running requests may take to finish; default is the app's shutdown_grace.",
)
@click.option(
    "--drain",
    type=SECONDS,
    default=0.0,
    metavar="SECONDS",
    help="How long to accept requests after the signal, while /health/ready answers 503.",
)
@click.option(
    "--reload",
    is_flag=True,
    help="For development: load the app's files again when they change.",
)
@click.option(
    "--server",
    type=click.Choice(SERVERS),
    default=SERVERS[0],
    show_default=True,
    help="The HTTP server; granian is an extra.",
)
@click.option(
    "--loop",
    type=click.Choice(LOOPS),
    default=LOOPS[0],
    show_default=True,
    help="The event loop; auto is uvloop, an extra, if it is installed.",
)
@click.option(
    "--workers",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="The number of processes; only 1 so far, since they would not share sessions.",
)
@click.option(
    "--log-level",
    type=click.Choice(LOG_LEVELS),
    default="warning",
    show_default=True,
    help="The lowest level that is logged.",
)
def serve(target: str, **settings: Any) -> None:
    """Serve an app over HTTP, the command line and MCP until Ctrl-C or SIGTERM."""
    from kaizen_nexus.console.serving import serve as serve_app

    sys.exit(serve_app(target, **settings))


@nexus.command("mcp", short_help="Serve an app to an MCP client over stdio.", epilog=TARGET_HELP)
@click.argument("target")
def mcp(target: str) -> None:
    """Serve an app to the MCP client that starts this command, over standard input and output."""
    from kaizen_nexus.console.serving import serve_stdio

    serve_stdio(target)


@nexus.command(
    cls=ForwardedCommand,
    short_help="Run a deployed workflow.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    add_help_option=False,
)
@click.argument(
    "argv",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="NAME [OPTIONS]",
    shell_complete=complete_argument,
)
def run(argv: tuple[str, ...]) -> None:
    """Run a deployed workflow on a server and print its result."""
    from kaizen_nexus.console.run import main

    sys.exit(main(list(argv)))


@nexus.command(short_help="Show the version.")
def version() -> None:
    """Show the version, which core is in use, and the Python that runs it."""
    import kaizen_nexus

    core = {"c": "compiled", "py": "pure Python"}[kaizen_nexus.IMPLEMENTATION]
    click.echo(
        f"kaizen-nexus {kaizen_nexus.__version__}, {core} core ({kaizen_nexus.IMPLEMENTATION}), "
        f"{platform.python_implementation()} {platform.python_version()}"
    )


@nexus.command(short_help="Show one agent on three channels.")
def demo() -> None:
    """Serve an example agent and ask it over HTTP, the command line and MCP in one conversation."""
    from kaizen_nexus.console.demo import main

    sys.exit(main())


@nexus.command(
    short_help="Run the benchmarks.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    add_help_option=False,
)
@click.argument(
    "arguments",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="SUITE [OPTIONS]",
    shell_complete=lambda _, __, incomplete: [s for s in SUITES if s.startswith(incomplete)],
)
def bench(arguments: tuple[str, ...]) -> None:
    """Run a benchmark suite, and print its tables."""
    from kaizen_nexus.console.bench import main

    sys.exit(main(arguments))


for command in (list_workflows, cache, keys, check):
    nexus.add_command(command)
