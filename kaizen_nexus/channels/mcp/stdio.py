"""MCP over standard input and output, for clients that start the server themselves.

Standard output belongs to the protocol alone: what agents and their child processes print goes to
standard error.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from kaizen_nexus.channels.mcp.claimed import claimed_stdin, claimed_stdout
from kaizen_nexus.channels.mcp.conversation import Conversation
from kaizen_nexus.channels.mcp.lines import LineReader, LineWriter
from kaizen_nexus.http.ending import end_tasks

if TYPE_CHECKING:
    from kaizen_nexus.channels.mcp.changes import ToolChanges
    from kaizen_nexus.channels.mcp.server import McpServer

__all__ = ["run_stdio", "serve_stdio"]


async def serve_stdio(
    server: McpServer, changes: ToolChanges, begin: Callable[[], None], *, max_line: int
) -> None:
    """Serve one client until it closes standard input, or until cancelled.

    Parameters
    ----------
    server, changes
        What is served, and who tells of changed tools.
    begin
        Called once what is printed can no longer be taken for the protocol.
    max_line
        How many bytes a message may have; a longer one is refused.

    Raises
    ------
    RuntimeError
        Standard output is being served already.
    """
    with claimed_stdout() as sink, claimed_stdin() as source:
        reader = LineReader(source, max_line)
        writer = LineWriter(sink, reader.end)
        try:
            begin()
            await Conversation(server, changes, reader, writer).run()
        finally:
            reader.end()
            writer.close()


def run_stdio(
    server: McpServer, changes: ToolChanges, begin: Callable[[], None], *, max_line: int
) -> None:
    """Serve one client, and return when it closes standard input, or on SIGTERM or SIGINT.

    Signals are handled in the main thread only. See `serve_stdio` for the parameters.
    """

    def stop(serving: asyncio.Future[None], number: signal.Signals) -> None:
        serving.cancel()
        # A second one ends the process at once.
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)

    async def serve() -> None:
        serving = asyncio.ensure_future(serve_stdio(server, changes, begin, max_line=max_line))
        if threading.current_thread() is threading.main_thread() and sys.platform != "win32":
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop, serving, number)
        await asyncio.wait({serving})
        if not serving.cancelled():
            serving.result()

    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
    finally:
        try:
            end_tasks(loop)
        finally:
            asyncio.set_event_loop(None)
            loop.close()
