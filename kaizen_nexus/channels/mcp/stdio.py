"""MCP over standard input and output, for clients that start the server themselves.

Standard output belongs to the protocol alone: what agents and their child processes print goes to
standard error.
"""

from __future__ import annotations

import io
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from kaizen_nexus.channels.mcp.changes import ToolChanges
from kaizen_nexus.channels.mcp.sdk import SDK
from kaizen_nexus.channels.mcp.server import build_server
from kaizen_nexus.channels.mcp.stdin import InterruptibleInput, claimed_stdin
from kaizen_nexus.channels.mcp.stdout import claimed_stdout

if TYPE_CHECKING:
    from kaizen_nexus.runtime.service import Runtime

__all__ = ["run_stdio", "serve_stdio"]


async def serve_stdio(
    runtime: Runtime,
    changes: ToolChanges | None = None,
    begin: Callable[[], None] = lambda: None,
) -> None:
    """Serve one client until it closes standard input, or until cancelled.

    Parameters
    ----------
    runtime
        What runs the tools.
    changes
        Where the app gives notice of changed tools; default is one that nobody tells.
    begin
        Called once what is printed can no longer be taken for the protocol.

    Raises
    ------
    RuntimeError
        Standard output is being served already.
    """
    notices = ToolChanges() if changes is None else changes
    server = build_server(runtime, notices)
    # Printed before, but still in the buffer: it must not follow the protocol's first message.
    sys.stdout.flush()
    with claimed_stdout() as sink, claimed_stdin() as source:
        async with (
            SDK.stdio_transport(_lines(source), _file(sink)) as streams,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(notices.deliver)
            begin()
            try:
                await server.serve(streams)
            finally:
                tasks.cancel_scope.cancel()
                if source is not None:
                    source.interrupt()
                sys.stdout.flush()


def _lines(source: InterruptibleInput | None) -> anyio.AsyncFile[str] | None:
    if source is None:
        return None
    return _file(io.TextIOWrapper(io.BufferedReader(source), "utf-8", errors="replace"))


def _file(text: io.TextIOWrapper | None) -> anyio.AsyncFile[str] | None:
    return None if text is None else anyio.wrap_file(text)


def run_stdio(
    runtime: Runtime,
    changes: ToolChanges | None = None,
    begin: Callable[[], None] = lambda: None,
) -> None:
    """Serve one client, and return when it closes standard input, or on SIGTERM or SIGINT.

    Signals are handled in the main thread only. See `serve_stdio` for the parameters.
    """
    anyio.run(_serve_until_signalled, runtime, changes, begin)


async def _serve_until_signalled(
    runtime: Runtime, changes: ToolChanges | None, begin: Callable[[], None]
) -> None:
    async with anyio.create_task_group() as tasks:
        if threading.current_thread() is threading.main_thread() and sys.platform != "win32":
            tasks.start_soon(_cancel_on_signal, tasks.cancel_scope)
        await serve_stdio(runtime, changes, begin)
        tasks.cancel_scope.cancel()


async def _cancel_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()
            return
