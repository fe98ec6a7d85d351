"""MCP over standard input and output, for clients that start the server themselves.

Standard output belongs to the protocol alone: what agents and their child processes print goes to
standard error.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import IO, TYPE_CHECKING

import anyio

from kaizen_nexus.channels.mcp.changes import ToolChanges
from kaizen_nexus.channels.mcp.conversation import Conversation
from kaizen_nexus.channels.mcp.lines import LineReader, LineWriter
from kaizen_nexus.channels.mcp.sdk import SDK
from kaizen_nexus.channels.mcp.server import Methods, build_server
from kaizen_nexus.channels.mcp.stdin import STDIN, claimed_stdin
from kaizen_nexus.channels.mcp.stdout import STDOUT, claimed_stdout
from kaizen_nexus.http.body import DEFAULT_MAX_BODY

if TYPE_CHECKING:
    from kaizen_nexus.channels.mcp.sdk.surface import Server
    from kaizen_nexus.runtime.service import Runtime

__all__ = ["run_stdio", "serve_stdio"]


async def serve_stdio(
    runtime: Runtime,
    changes: ToolChanges | None = None,
    begin: Callable[[], None] = lambda: None,
    *,
    max_line: int = DEFAULT_MAX_BODY,
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
    max_line
        How many bytes a message may have; a longer one is refused. Not on Windows, nor where
        standard input or output are not file descriptors of their own: there the SDK reads and
        writes them.

    Raises
    ------
    RuntimeError
        Standard output is being served already.
    """
    notices = ToolChanges() if changes is None else changes
    methods = Methods(runtime)
    server = build_server(runtime, notices, methods=methods)
    serve = (
        partial(_converse, server, methods, max_line)
        if _are_descriptors()
        else partial(_serve_streams, server)
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(notices.deliver)
        try:
            await serve(begin)
        finally:
            tasks.cancel_scope.cancel()


def _are_descriptors() -> bool:
    """Whether standard input and output are the descriptors that they are by convention."""
    return (
        sys.platform != "win32"
        and _is_descriptor(sys.stdin, STDIN)
        and _is_descriptor(sys.stdout, STDOUT)
    )


def _is_descriptor(stream: IO[str], number: int) -> bool:
    try:
        return stream.fileno() == number
    except (AttributeError, OSError, ValueError):
        return False


async def _converse(
    server: Server, methods: Methods, max_line: int, begin: Callable[[], None]
) -> None:
    with claimed_stdout() as sink, claimed_stdin() as source:
        reader = LineReader(source, max_line)
        writer = LineWriter(sink, reader.end)
        try:
            begin()
            await Conversation(server, methods, reader, writer).run()
        finally:
            reader.end()
            writer.close()


async def _serve_streams(server: Server, begin: Callable[[], None]) -> None:
    async with SDK.stdio_transport() as streams:
        begin()
        await server.serve(streams)


def run_stdio(
    runtime: Runtime,
    changes: ToolChanges | None = None,
    begin: Callable[[], None] = lambda: None,
    *,
    max_line: int = DEFAULT_MAX_BODY,
) -> None:
    """Serve one client, and return when it closes standard input, or on SIGTERM or SIGINT.

    Signals are handled in the main thread only. See `serve_stdio` for the parameters.
    """
    serve = partial(serve_stdio, runtime, changes, begin, max_line=max_line)
    anyio.run(_serve_until_signalled, serve)


async def _serve_until_signalled(serve: Callable[[], Awaitable[None]]) -> None:
    async with anyio.create_task_group() as tasks:
        if threading.current_thread() is threading.main_thread() and sys.platform != "win32":
            tasks.start_soon(_cancel_on_signal, tasks.cancel_scope)
        await serve()
        tasks.cancel_scope.cancel()


async def _cancel_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()
            return
