"""Saying what is being done, to someone who would otherwise wonder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import TextIO

__all__ = ["Progress"]

DELAY = 1.0
"""Seconds in which nobody wonders yet."""
INTERVAL = 0.1
"""Seconds between two changes of the line."""
DEFAULT_COLUMNS = 80
"""For a terminal that does not know its width."""
_CLEAR = "\r\033[K"


class Progress:
    """One line on a terminal that says what is being done; nothing where there is no terminal.

    Parameters
    ----------
    stream
        Where to write.
    clock
        Monotonic seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._due = clock() + DELAY
        self._text = ""
        self._visible = False
        self._enabled = stream.isatty()

    def show(self, text: str) -> None:
        """Say `text`, now if it is time to, or else when `again` is called."""
        self._text = text
        self.again()

    def again(self) -> None:
        """Say what was to be said last, if it is time to."""
        text, now = self._text, self._clock()
        if not self._enabled or not text or now < self._due:
            return
        self._due = now + INTERVAL
        self._visible = True
        columns = shutil.get_terminal_size().columns or DEFAULT_COLUMNS
        width = max(columns - 1, 1)
        self._stream.write(f"{_CLEAR}{text[:width]}")
        self._stream.flush()

    def clear(self) -> None:
        """Take the line away."""
        self._text = ""
        if self._visible:
            self._visible = False
            self._stream.write(_CLEAR)
            self._stream.flush()
