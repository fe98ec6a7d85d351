"""What is being measured, on one line of a terminal that each report overwrites."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable

__all__ = ["clear", "reporter"]

ERASE = "\r\x1b[K"


def reporter() -> Callable[[str], None]:
    """Return what reports on standard error; it is silent where that is no terminal."""
    if not sys.stderr.isatty():
        return lambda _: None
    started = time.monotonic()

    def say(what: str) -> None:
        line = f"{time.monotonic() - started:4.0f} s  {what} ..."
        sys.stderr.write(ERASE + line[: shutil.get_terminal_size().columns - 1])
        sys.stderr.flush()

    return say


def clear() -> None:
    """Leave the line empty."""
    if sys.stderr.isatty():
        sys.stderr.write(ERASE)
        sys.stderr.flush()
