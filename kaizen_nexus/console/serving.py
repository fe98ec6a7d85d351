"""``nexus serve`` and ``nexus mcp``: running an app."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from kaizen_nexus.channels.cli.protocol import DEFAULT_URL
from kaizen_nexus.console.loading import load_app

if TYPE_CHECKING:
    from kaizen_nexus.nexus import Nexus

__all__ = ["serve", "serve_stdio"]

POLL_SECONDS = 0.5
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
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
    log_level: str,
) -> int:
    """Serve the app that `target` names until SIGINT or SIGTERM; return the exit code.

    Parameters
    ----------
    target
        As `load_app` takes it.
    host, port, mcp_port
        What to use instead of the app's own settings.
    insecure, allow_hosts, allow_origins
        What to allow besides what the app's own settings do.
    log_level
        From which level on log messages go to standard error.

    Raises
    ------
    click.ClickException
        There is no such app, or it cannot listen.
    """
    logging.basicConfig(level=log_level.upper(), format=LOG_FORMAT)
    # As Ctrl-C does: whatever runs is interrupted, and the app is closed on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app = load_app(target)
    if host is not None:
        app.host = host
    if port is not None:
        app.api_port = port
    if mcp_port is not None:
        app.mcp_port = mcp_port
    app.insecure = app.insecure or insecure
    try:
        app.allow(allow_hosts, allow_origins)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        app.start(blocking=False)
        click.echo(_announcement(app), err=True)
        while app.health_check()["status"] == "healthy":
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        click.echo("Stopping: running requests may finish.", err=True)
        return 0
    except OSError as error:
        hint = " Here, --host, --port and --mcp-port set where to listen."
        raise click.ClickException(f"{error.strerror or error}.{hint}") from None
    except RuntimeError as error:
        raise click.ClickException(str(error)) from None
    finally:
        app.close()
    raise click.ClickException("the server stopped by itself; its log says why")


def serve_stdio(target: str) -> None:
    """Serve the app that `target` names to one MCP client, over standard input and output."""
    # Standard output is the protocol's, from the first byte.
    with contextlib.redirect_stdout(sys.stderr):
        app = load_app(target)
    try:
        app.run_stdio()
    finally:
        app.close()


def _announcement(app: Nexus) -> str:
    """Return what is to be known of a server that has started."""
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
    """Return the URL that a program on this machine reaches the app at."""
    host = ANY_ADDRESS.get(app.host, app.host)
    authority = f"[{host}]" if ":" in host else host
    return f"http://{authority}:{app.api_port}"
