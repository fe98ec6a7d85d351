"""``nexus serve`` and ``nexus mcp``: running an app."""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from kaizen_nexus.channels.cli.protocol import DEFAULT_URL
from kaizen_nexus.console.leaving import (
    interrupt_then_leave,
    leave,
    leave_threads_behind,
    leave_within,
)
from kaizen_nexus.console.loading import folder_of, load_app
from kaizen_nexus.console.logs import LogFormatter

if TYPE_CHECKING:
    from kaizen_nexus.nexus import Nexus

__all__ = ["serve", "serve_stdio"]

POLL_SECONDS = 0.25
LEAVING_MARGIN = 0.2
"""Seconds that threads, and the process, get to end after the server has."""
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # where to reach, not to bind


def serve(
    target: str,
    *,
    host: str | None,
    port: int | None,
    mcp_port: int | None,
    insecure: bool,
    allow_hosts: Sequence[str],
    allow_origins: Sequence[str],
    grace: float | None,
    drain: float,
    reload: bool,
    server: str,
    loop: str,
    workers: int,
    log_level: str,
) -> int:
    """Serve the app that `target` names until SIGINT or SIGTERM; return the exit code.

    Parameters
    ----------
    target
        As `load_app` takes it.
    host, port, mcp_port, grace
        What to use instead of the app's own settings.
    insecure, allow_hosts, allow_origins
        What to allow besides what the app's own settings do.
    drain
        Seconds in which requests are still accepted after the signal.
    reload
        Whether to load the app's modules again when their files change.
    server
        What speaks HTTP, as `Nexus.start` takes it.
    loop
        The event loop, as `Nexus.start` takes it.
    workers
        The number of processes, which must be 1.
    log_level
        From which level on log messages go to standard error.

    Raises
    ------
    click.ClickException
        There is no such app, or it cannot listen.
    """
    if workers != 1:
        raise click.UsageError("--workers must be 1: sessions are not shared between processes yet")
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter())
    logging.basicConfig(level=log_level.upper(), handlers=[handler])
    interrupt_then_leave()
    # A cached .pyc stays valid if the file changes again within the same second.
    sys.dont_write_bytecode = sys.dont_write_bytecode or reload
    since = time.time_ns()
    app = load_app(target)
    _change(app, host=host, api_port=port, mcp_port=mcp_port, shutdown_grace=grace)
    app.insecure = app.insecure or insecure
    try:
        app.allow(allow_hosts, allow_origins)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        poll = _nothing
        if reload:
            from kaizen_nexus.console.reloading import Reloader

            poll = Reloader(app, target, folder_of(target), since).poll
        app.start(blocking=False, server=server, loop=loop)
        if not reload:  # old modules must be collected
            _keep_what_is_loaded()
        click.echo(_announcement(app), err=True)
        while app.health_check()["status"] == "healthy":
            time.sleep(POLL_SECONDS)
            poll()
    except KeyboardInterrupt:
        _stop(app, drain)
        return 0
    except OSError as error:
        hint = " Here, --host, --port and --mcp-port set where to listen."
        raise click.ClickException(f"{error.strerror or error}.{hint}") from None
    except RuntimeError as error:
        raise click.ClickException(str(error)) from None
    finally:
        app.close()
    raise click.ClickException("the server stopped by itself; its log says why")


def _change(app: Nexus, **settings: object) -> None:
    """Change those settings of an app that are given."""
    for setting, value in settings.items():
        if value is not None:
            setattr(app, setting, value)


def _keep_what_is_loaded() -> None:
    """Exclude what is loaded when serving begins from garbage collection: it stays for good.

    A full collection looks at every object of every library, which would stop all requests for 50
    to 150 ms, several times a minute under load.
    """
    gc.collect()
    gc.freeze()


def _nothing() -> None:
    """Do nothing between two looks at the server's health."""


def _stop(app: Nexus, drain: float) -> None:
    """Stop serving, within the grace period and less than a second, whatever agents do."""
    from kaizen_nexus.http.server.graceful import STOP_MARGIN

    click.echo("Stopping: running requests may finish.", err=True)
    patience = drain + app.shutdown_grace
    leave_within(patience + STOP_MARGIN + LEAVING_MARGIN)
    until = time.monotonic() + patience + LEAVING_MARGIN
    if not app.stop(drain):
        leave(0)
    app.close()
    leave_threads_behind(until)


def serve_stdio(target: str, at_end: Callable[[Nexus], None] = lambda _: None) -> None:
    """Serve the app that `target` names to one MCP client, over standard input and output.

    Parameters
    ----------
    target
        As `load_app` takes it.
    at_end
        Takes the app when it has stopped, before it is closed.
    """
    # Standard output is the protocol's, from the first byte.
    with contextlib.redirect_stdout(sys.stderr):
        app = load_app(target)
    try:
        app.run_stdio()
        at_end(app)
    finally:
        app.close()


def _announcement(app: Nexus) -> str:
    """Return the message that the server has started, with its URL and workflows."""
    url = _reachable(app)
    lines = [f"Serving on {app.url}"]
    if app.mcp_port is not None and app.mcp_port != app.api_port:
        lines[0] += f", and for MCP on port {app.mcp_port}"
    names = app.runtime.registry.names()
    if names:
        lines.append(f"Workflows: {', '.join(names)}")
    else:
        lines.append("No workflow is deployed: call deploy_multi_channel(agent, app, name)")
    if url != DEFAULT_URL:
        lines.append(f"For 'nexus run' in another terminal: export NEXUS_URL={url}")
    lines.append("Ctrl-C stops it.")
    return "\n".join(lines)


def _reachable(app: Nexus) -> str:
    """Return the URL at which a program on this machine reaches the app."""
    host = ANY_ADDRESS.get(app.host, app.host)
    authority = f"[{host}]" if ":" in host else host
    return f"http://{authority}:{app.api_port}"
