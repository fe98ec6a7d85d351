"""End the process when a signal asks for it, even if an agent hangs."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

__all__ = ["interrupt_then_leave", "leave", "leave_threads_behind", "leave_within"]

BACKSTOP = 0.05
"""Seconds after which the process is ended from outside Python, if it could not end itself."""


def interrupt_then_leave() -> None:
    """Let the first SIGINT or SIGTERM interrupt the program, and the second end it at once.

    The exit code is then 128 plus the number of the signal, as shells expect.
    """
    signalled = False

    def interrupt(number: int, _: FrameType | None) -> None:
        nonlocal signalled
        if signalled:
            os._exit(128 + number)
        signalled = True
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)


def leave_within(seconds: float) -> None:
    """End the process after so many seconds, with exit code 0, if it still runs then.

    If an agent lets no other thread run, the process still ends shortly after that, with exit
    code 1 and a traceback of every thread.
    """
    threading.Thread(
        target=_leave_after, args=(seconds,), name="nexus-leaving", daemon=True
    ).start()
    with contextlib.suppress(OSError, ValueError, AttributeError):  # standard error is not a file
        faulthandler.dump_traceback_later(seconds + BACKSTOP, exit=True)


def leave_threads_behind(until: float) -> None:
    """Wait for other threads until `until`, monotonic; end the process if one still runs.

    The interpreter would wait for a thread in which an agent hangs, and nothing can stop one.
    """
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                leave(0)
    # The interpreter now ends by itself, however long that takes.
    faulthandler.cancel_dump_traceback_later()


def leave(code: int) -> NoReturn:
    """End the process at once, without the interpreter's clean-up."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    os._exit(code)


def _leave_after(seconds: float) -> None:
    time.sleep(seconds)
    leave(0)
