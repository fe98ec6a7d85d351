"""Standard input and output that belong to the protocol alone."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

__all__ = ["STDERR", "STDIN", "STDOUT", "claimed_stdin", "claimed_stdout"]

STDIN, STDOUT, STDERR = range(3)

_claimed = threading.Lock()


@contextlib.contextmanager
def claimed_stdout() -> Iterator[int]:
    """Have standard output to oneself; what agents and their child processes print is diverted.

    It goes to standard error, or nowhere if that is closed.

    Yields
    ------
    int
        The file descriptor to write to instead.

    Raises
    ------
    RuntimeError
        It is claimed already.
    """
    if not _claimed.acquire(blocking=False):
        raise RuntimeError("standard output is being served already")
    try:
        # Printed before, but still in the buffer: it must not follow the protocol's first message.
        sys.stdout.flush()
        with _diverted() as private:
            try:
                yield private
            finally:
                # Printed meanwhile: it must not follow the protocol's last message either.
                sys.stdout.flush()
    finally:
        _claimed.release()


@contextlib.contextmanager
def _diverted() -> Iterator[int]:
    """Point standard output elsewhere; yields what it pointed at."""
    private = _duplicate(STDOUT)
    try:
        try:
            os.dup2(STDERR, STDOUT)
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, STDOUT)
            os.close(nothing)
        yield private
    finally:
        os.dup2(private, STDOUT)
        os.close(private)


@contextlib.contextmanager
def claimed_stdin() -> Iterator[int]:
    """Have standard input to oneself; agents and their child processes find it empty meanwhile.

    Yields
    ------
    int
        The file descriptor to read instead.
    """
    private = _duplicate(STDIN)
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(nothing, STDIN)
        yield private
    finally:
        os.dup2(private, STDIN)
        os.close(private)
        os.close(nothing)


def _duplicate(fd: int) -> int:
    """Return another descriptor of the same file, which child processes do not inherit."""
    if sys.platform == "win32":
        return os.dup(fd)
    import fcntl

    # Above the standard descriptors, of which one may be closed and would be taken for free.
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, STDERR + 1)
