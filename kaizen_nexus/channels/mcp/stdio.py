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
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING

from kaizen_nexus.channels.mcp.claimed import STDIN, STDOUT, claimed_stdin, claimed_stdout
from kaizen_nexus.channels.mcp.conversation import Conversation
from kaizen_nexus.channels.mcp.lines import LineReader, LineWriter, StreamReader, StreamWriter

if TYPE_CHECKING:
    from kaizen_nexus.channels.mcp.changes import ToolChanges
    from kaizen_nexus.channels.mcp.lines import Reader, Writer
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
    with ExitStack() as claimed:
        reader: Reader
        writer: Writer
        if _are_descriptors():
            sink = claimed.enter_context(claimed_stdout())
            reader = LineReader(claimed.enter_context(claimed_stdin()), max_line)
            writer = LineWriter(sink, reader.end)
        else:
            reader = StreamReader(sys.stdin.buffer, max_line)
            writer = StreamWriter(sys.stdout.buffer, reader.end)
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

    async def serve() -> None:
        serving = asyncio.ensure_future(serve_stdio(server, changes, begin, max_line=max_line))
        if threading.current_thread() is threading.main_thread() and sys.platform != "win32":
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
        await asyncio.wait({serving})
        if not serving.cancelled():
            serving.result()

    asyncio.run(serve())


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
