"""Standard input that belongs to the protocol alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

__all__ = ["STDERR", "STDIN", "claimed_stdin"]

STDIN = 0
STDERR = 2


@contextlib.contextmanager
def claimed_stdin() -> Iterator[int]:
    """Have standard input to oneself; agents and their child processes find it empty meanwhile.

    POSIX only.

    Yields
    ------
    int
        The file descriptor to read instead.
    """
    import fcntl

    # Above the standard descriptors, of which one may be closed and would be taken for free.
    private = fcntl.fcntl(STDIN, fcntl.F_DUPFD_CLOEXEC, STDERR + 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(nothing, STDIN)
        yield private
    finally:
        os.dup2(private, STDIN)
        os.close(private)
        os.close(nothing)
