"""Lines of two file descriptors, read and written on an event loop without threads.

Neither descriptor is made non-blocking: other processes may share what it refers to. It is read
when there is something to read, and written as much to as is sure to fit.
"""

from __future__ import annotations

import asyncio
import os
import select
import stat
import threading
from collections.abc import Callable
from typing import BinaryIO, Protocol

__all__ = [
    "LineReader",
    "LineTooLongError",
    "LineWriter",
    "Reader",
    "StreamReader",
    "StreamWriter",
    "Writer",
]

CHUNK = 64 * 1024
MAX_BACKLOG = 1024 * 1024
"""How many bytes may wait to be written before nothing more is read."""


class LineTooLongError(ValueError):
    """A line was left out."""


class Reader(Protocol):
    """Reads lines."""

    async def read(self) -> bytes | None:
        """Return the next line; None after the last."""

    def end(self) -> None:
        """Read nothing more."""


class Writer(Protocol):
    """Writes lines."""

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is written, or could be."""

    def write(self, line: bytes) -> None:
        """Write a line."""

    async def ready(self) -> None:
        """Wait while much is waiting to be written."""

    async def flushed(self) -> None:
        """Wait until all is written, or lost."""

    def close(self) -> None:
        """Write nothing more."""


class _Lines:
    """The lines of what a transport reads.

    Parameters
    ----------
    max_line
        How many bytes a line may have. Up to twice as many are read ahead.
    """

    def __init__(self, max_line: int) -> None:
        self._reader = asyncio.StreamReader(max_line)
        self._input: asyncio.ReadTransport

    def _begin(self, transport: asyncio.ReadTransport) -> None:
        self._input = transport
        self._reader.set_transport(transport)
        transport.resume_reading()

    async def read(self) -> bytes | None:
        """Return the next line, with its end if it has one; None after the last.

        Raises
        ------
        LineTooLongError
            It is too long; the one after it can be read.
        """
        is_rest = False
        while True:
            try:
                line = await self._reader.readuntil()
            except asyncio.LimitOverrunError as overrun:
                await self._reader.readexactly(overrun.consumed)
                is_rest = True
                continue
            except asyncio.IncompleteReadError as end:
                line = end.partial
            if is_rest:
                raise LineTooLongError
            return line or None

    def end(self) -> None:
        """Read nothing more from the descriptor, as if it had ended."""
        self._input.close()


class LineReader(_Lines):
    """Reads lines from a file descriptor; POSIX only, on one event loop.

    Parameters
    ----------
    fd
        The descriptor, which stays the caller's.
    max_line
        How many bytes a line may have. Up to twice as many are read ahead.
    """

    def __init__(self, fd: int, max_line: int) -> None:
        super().__init__(max_line)
        self._begin(_Input(fd, self._reader))


class StreamReader(_Lines):
    """Reads lines from a file object, in a thread: where descriptors cannot be waited for.

    Parameters
    ----------
    stream
        The file.
    max_line
        How many bytes a line may have. Up to twice as many, and 64 KiB, are read ahead.
    """

    def __init__(self, stream: BinaryIO, max_line: int) -> None:
        super().__init__(max_line)
        self._begin(_ThreadedInput(stream, self._reader))


class _ThreadedInput(asyncio.ReadTransport):
    """Feeds what a thread reads from a file to a stream."""

    def __init__(self, stream: BinaryIO, reader: asyncio.StreamReader) -> None:
        super().__init__()
        self._stream = stream
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._may_read = threading.Event()
        self._is_closed = False
        # A daemon, since nothing can wake it from reading.
        threading.Thread(target=self._read, name="kaizen-nexus-stdin", daemon=True).start()

    def pause_reading(self) -> None:
        """Read nothing until told to resume."""
        self._may_read.clear()

    def resume_reading(self) -> None:
        """Read when there is something to read."""
        self._may_read.set()

    def close(self) -> None:
        """Read nothing more."""
        if not self._is_closed:
            self._is_closed = True
            self._reader.feed_eof()

    def _read(self) -> None:
        data = b" "
        while data and not self._is_closed:
            self._may_read.wait()
            try:
                data = os.read(self._stream.fileno(), CHUNK)
            except OSError:  # it is not a descriptor's, or nobody is at the other end
                data = self._stream.readline(CHUNK)
            try:
                self._loop.call_soon_threadsafe(self._feed, data)
            except RuntimeError:  # the event loop has ended
                return

    def _feed(self, data: bytes) -> None:
        if not data:
            self.close()
        elif not self._is_closed:
            self._reader.feed_data(data)


class StreamWriter:
    """Writes lines to a file object, and waits for each: where descriptors cannot be waited for.

    Parameters
    ----------
    stream
        The file.
    broken
        Called when nobody reads any more.
    """

    def __init__(self, stream: BinaryIO, broken: Callable[[], None]) -> None:
        self._stream = stream
        self._broken = broken
        self.is_closed = False
        """Whether nothing more is written, or could be."""

    def write(self, line: bytes) -> None:
        """Write a line, its end included."""
        if self.is_closed:
            return
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError):
            self.is_closed = True
            self._broken()

    async def ready(self) -> None:
        """Return at once: nothing waits to be written."""

    async def flushed(self) -> None:
        """Return at once: nothing waits to be written."""

    def close(self) -> None:
        """Write nothing more."""
        self.is_closed = True


class _Input(asyncio.ReadTransport):
    """Feeds what is read from a descriptor to a stream."""

    def __init__(self, fd: int, reader: asyncio.StreamReader) -> None:
        super().__init__()
        self._fd = fd
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._is_reading = False
        self._is_closed = False
        # What never lets one wait cannot be waited for.
        self._is_polled = not stat.S_ISREG(os.fstat(fd).st_mode)

    def pause_reading(self) -> None:
        """Read nothing until told to resume."""
        self._is_reading = False
        if self._is_polled:
            self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        """Read when there is something to read."""
        if self._is_closed or self._is_reading:
            return
        self._is_reading = True
        if self._is_polled:
            try:
                self._loop.add_reader(self._fd, self._receive)
            except PermissionError:  # a device like /dev/null
                self._is_polled = False
        if not self._is_polled:
            self._loop.call_soon(self._receive)

    def close(self) -> None:
        """Read nothing more."""
        if not self._is_closed:
            self._is_closed = True
            self.pause_reading()
            self._reader.feed_eof()

    def _receive(self) -> None:
        if not self._is_reading:
            return
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:  # somebody else made it so, and was faster
            data = None
        except OSError:  # nobody is at the other end
            data = b""
        if data == b"":
            self.close()
            return
        if not self._is_polled:
            self._loop.call_soon(self._receive)
        if data:
            self._reader.feed_data(data)  # which may pause


class LineWriter:
    """Writes whole lines to a file descriptor, in the order given; POSIX only, on one event loop.

    Parameters
    ----------
    fd
        The descriptor, which stays the caller's.
    broken
        Called when nobody reads any more; what is written from then on is lost.
    """

    def __init__(self, fd: int, broken: Callable[[], None]) -> None:
        self._fd = fd
        self._broken = broken
        self._loop = asyncio.get_running_loop()
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._backlog = bytearray()
        self._empty = asyncio.Event()
        self._empty.set()
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is written, or could be."""
        return self._is_closed

    def write(self, line: bytes) -> None:
        """Write a line, its end included, now or when there is room for it; never blocks."""
        if self._is_closed:
            return
        if self._backlog:
            self._backlog += line
            return
        sent = self._send(line)
        if sent < len(line) and not self._is_closed:
            self._backlog += line[sent:]
            self._empty.clear()
            self._loop.add_writer(self._fd, self._continue)

    async def ready(self) -> None:
        """Wait while much is waiting to be written."""
        if len(self._backlog) > MAX_BACKLOG:
            await self.flushed()

    async def flushed(self) -> None:
        """Wait until all is written, or lost."""
        await self._empty.wait()

    def close(self) -> None:
        """Write nothing more."""
        if not self._is_closed:
            self._is_closed = True
            if not self._empty.is_set():
                self._loop.remove_writer(self._fd)
            self._backlog.clear()
            self._empty.set()

    def _send(self, data: bytes | bytearray) -> int:
        """Write what fits at once, and return how much that is."""
        sent = 0
        try:
            # Of a descriptor that is ready, so much is written without waiting for the other side.
            while sent < len(data) and self._poll.poll(0):
                sent += os.write(self._fd, data[sent : sent + select.PIPE_BUF])
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            self._broken()
        return sent

    def _continue(self) -> None:
        del self._backlog[: self._send(self._backlog)]
        if not self._backlog and not self._is_closed:
            self._loop.remove_writer(self._fd)
            self._empty.set()
