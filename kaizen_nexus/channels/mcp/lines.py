"""Lines of two file descriptors, read and written on an event loop, where possible without threads.

Neither descriptor is made non-blocking: other processes may share what it refers to. It is read
when there is something to read, and written as much to as is sure to fit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import stat
import sys
import threading
from collections.abc import Callable

__all__ = ["LineReader", "LineTooLongError", "LineWriter"]

CAN_POLL = sys.platform != "win32"
"""Whether descriptors can be waited for; on Windows only sockets can."""
PIPE_BUF = select.PIPE_BUF if CAN_POLL else 4096
CHUNK = 64 * 1024
MAX_BACKLOG = 1024 * 1024
"""How many bytes may wait to be written before nothing more is read."""


class LineTooLongError(ValueError):
    """A line was left out."""


class LineReader:
    """Reads lines from a file descriptor, on one event loop.

    Parameters
    ----------
    fd
        The descriptor, which stays the caller's.
    max_line
        How many bytes a line may have. Up to twice as many are read ahead.
    """

    def __init__(self, fd: int, max_line: int) -> None:
        self._reader = asyncio.StreamReader(max_line)
        self._input = _Input(fd, self._reader)
        self._reader.set_transport(self._input)
        self._input.resume_reading()

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


class _Input(asyncio.ReadTransport):
    """Feeds what is read from a descriptor to a stream."""

    def __init__(self, fd: int, reader: asyncio.StreamReader) -> None:
        super().__init__()
        self._fd = fd
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._is_reading = False
        self._is_closed = False
        self._is_in_thread = False
        # Where a descriptor cannot be waited for, a thread is, one read at a time.
        self._is_polled = CAN_POLL and not stat.S_ISREG(os.fstat(fd).st_mode)

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
        if not self._is_polled and not self._is_in_thread:
            self._read_in_thread()

    def close(self) -> None:
        """Read nothing more."""
        if not self._is_closed:
            self._is_closed = True
            self.pause_reading()
            self._reader.feed_eof()

    def _receive(self) -> None:
        data = self._read()
        if data is not None:
            self._feed(data)

    def _read(self) -> bytes | None:
        try:
            return os.read(self._fd, CHUNK)
        except BlockingIOError:  # somebody else made it so, and was faster
            return None
        except OSError:  # nobody is at the other end
            return b""

    def _read_in_thread(self) -> None:
        """Begin to read in a thread, which nothing can wake: it may outlive the event loop."""
        self._is_in_thread = True

        def read() -> None:
            data = self._read()
            with contextlib.suppress(RuntimeError):  # the event loop has ended
                self._loop.call_soon_threadsafe(self._take, data)

        threading.Thread(target=read, name="kaizen-nexus-stdin", daemon=True).start()

    def _take(self, data: bytes | None) -> None:
        """Take what a thread has read, and let it go on unless there is enough."""
        self._is_in_thread = False
        if data is not None and not self._is_closed:
            self._feed(data)
        if self._is_reading:
            self._read_in_thread()

    def _feed(self, data: bytes) -> None:
        if data:
            self._reader.feed_data(data)  # which may pause
        else:
            self.close()


class LineWriter:
    """Writes whole lines to a file descriptor, in the order given; on one event loop.

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
        if CAN_POLL:
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
            while sent < len(data) and self._has_room():
                sent += os.write(self._fd, data[sent : sent + PIPE_BUF])
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            self._broken()
        return sent

    def _has_room(self) -> bool:
        """Whether something can be written at once; where nothing tells, it is written anyway."""
        return not CAN_POLL or bool(self._poll.poll(0))

    def _continue(self) -> None:
        del self._backlog[: self._send(self._backlog)]
        if not self._backlog and not self._is_closed:
            self._loop.remove_writer(self._fd)
            self._empty.set()
