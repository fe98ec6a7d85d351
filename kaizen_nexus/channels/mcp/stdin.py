"""Standard input that can be given up while a thread is waiting for it."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["STDERR", "InterruptibleInput", "claimed_stdin", "is_descriptor"]

_STDIN = 0
STDERR = 2


class InterruptibleInput(io.RawIOBase):
    """Reads a file descriptor until its end, or until another thread calls `interrupt`.

    A thread that is blocked in ``read()`` cannot be stopped, and would keep the process alive
    until the other side closes the pipe. This one waits in ``poll()``, which can be woken. POSIX
    only: elsewhere pipes cannot be polled.

    Parameters
    ----------
    fd
        An open file descriptor, which stays the caller's.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waker, self._wakened = os.pipe()
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._poll.register(self._waker, select.POLLIN)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read what is there, at least one byte, into `buffer`; 0 is the end."""
        view = memoryview(buffer).cast("B")
        if any(fd == self._waker for fd, _ in self._poll.poll()):
            return 0
        data = os.read(self._fd, len(view))
        view[: len(data)] = data
        return len(data)

    def interrupt(self) -> None:
        """Make this and every further read return the end of the input at once."""
        os.write(self._wakened, b"\0")

    def close(self) -> None:
        """Release what waking needs."""
        if not self.closed:
            os.close(self._waker)
            os.close(self._wakened)
        super().close()


@contextlib.contextmanager
def claimed_stdin() -> Iterator[InterruptibleInput | None]:
    """Have standard input to oneself; agents and their child processes find it empty meanwhile.

    Yields
    ------
    InterruptibleInput or None
        None where standard input is not a file descriptor of its own, or cannot be polled.
    """
    if sys.platform == "win32" or not is_descriptor(sys.stdin, _STDIN):
        yield None
        return
    import fcntl

    # Above the standard descriptors, of which one may be closed and would be taken for free.
    private = fcntl.fcntl(_STDIN, fcntl.F_DUPFD_CLOEXEC, STDERR + 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(nothing, _STDIN)
        with InterruptibleInput(private) as source:
            yield source
    finally:
        os.dup2(private, _STDIN)
        os.close(private)
        os.close(nothing)


def is_descriptor(stream: IO[str], number: int) -> bool:
    """Whether a standard stream is the file descriptor that its kind has by convention."""
    try:
        return stream.fileno() == number
    except (AttributeError, OSError, ValueError):
        return False
