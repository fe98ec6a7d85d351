"""MCP over standard input and output, for clients that start the server themselves.

Standard output belongs to the protocol alone: what agents and their child processes print goes to
standard error.
"""

from __future__ import annotations

import io
import signal
import sys
import threading
from typing import TYPE_CHECKING

import anyio

from kaizen_nexus.channels.mcp.changes import ToolChanges
from kaizen_nexus.channels.mcp.sdk import stdio_server
from kaizen_nexus.channels.mcp.server import build_server
from kaizen_nexus.channels.mcp.stdin import claimed_stdin

if TYPE_CHECKING:
    from kaizen_nexus.runtime.service import Runtime

__all__ = ["run_stdio", "serve_stdio"]


async def serve_stdio(runtime: Runtime, changes: ToolChanges | None = None) -> None:
    """Serve one client until it closes standard input, or until cancelled.

    Parameters
    ----------
    runtime
        What runs the tools.
    changes
        Where the app gives notice of changed tools; default is one that nobody tells.

    Raises
    ------
    RuntimeError
        Standard output is being served already.
    """
    notices = ToolChanges() if changes is None else changes
    server = build_server(runtime, notices)
    with claimed_stdin() as source:
        lines = None
        if source is not None:
            buffered = io.BufferedReader(source)
            lines = anyio.wrap_file(io.TextIOWrapper(buffered, "utf-8", errors="replace"))
        async with (
            stdio_server(stdin=lines) as (incoming, outgoing),
            anyio.create_task_group() as tasks,
        ):
            # Printed before, but still in the buffer: it is to go to standard error, too.
            sys.stdout.flush()
            tasks.start_soon(notices.deliver)
            try:
                await server.run(incoming, outgoing, server.create_initialization_options())
            finally:
                tasks.cancel_scope.cancel()
                if source is not None:
                    source.interrupt()
                sys.stdout.flush()


def run_stdio(runtime: Runtime, changes: ToolChanges | None = None) -> None:
    """Serve one client, and return when it closes standard input, or on SIGTERM or SIGINT.

    Signals are handled in the main thread only. See `serve_stdio` for the parameters.
    """
    anyio.run(_serve_until_signalled, runtime, changes)


async def _serve_until_signalled(runtime: Runtime, changes: ToolChanges | None) -> None:
    async with anyio.create_task_group() as tasks:
        if threading.current_thread() is threading.main_thread() and sys.platform != "win32":
            tasks.start_soon(_cancel_on_signal, tasks.cancel_scope)
        await serve_stdio(runtime, changes)
        tasks.cancel_scope.cancel()


async def _cancel_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()
            return
