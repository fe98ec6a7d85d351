"""Standard output that belongs to the protocol alone."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator

from kaizen_nexus.channels.mcp.stdin import STDERR, is_descriptor

__all__ = ["claimed_stdout"]

_STDOUT = 1

_claimed = threading.Lock()


@contextlib.contextmanager
def claimed_stdout() -> Iterator[io.TextIOWrapper | None]:
    """Have standard output to oneself; what agents and their child processes print is diverted.

    It goes to standard error, or nowhere if that is closed.

    Yields
    ------
    io.TextIOWrapper or None
        None where standard output is not a file descriptor of its own, and on Windows.

    Raises
    ------
    RuntimeError
        It is claimed already.
    """
    if sys.platform == "win32" or not is_descriptor(sys.stdout, _STDOUT):
        yield None
        return
    if not _claimed.acquire(blocking=False):
        raise RuntimeError("standard output is being served already")
    try:
        with _diverted() as private:
            # Not closed with the last reference to it, which may outlive the descriptor.
            text = io.TextIOWrapper(open(private, "wb", closefd=False), "utf-8")  # noqa: SIM115
            try:
                yield text
            finally:
                # What a client that hung up never read is lost; no other text may follow it here.
                with contextlib.suppress(OSError):
                    text.close()
    finally:
        _claimed.release()


@contextlib.contextmanager
def _diverted() -> Iterator[int]:
    """Point standard output elsewhere; yields what it pointed at."""
    import fcntl

    # Above the standard descriptors, of which one may be closed and would be taken for free.
    private = fcntl.fcntl(_STDOUT, fcntl.F_DUPFD_CLOEXEC, STDERR + 1)
    try:
        try:
            os.dup2(STDERR, _STDOUT)
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, _STDOUT)
            os.close(nothing)
        yield private
    finally:
        os.dup2(private, _STDOUT)
        os.close(private)
