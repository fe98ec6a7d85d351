"""Ending the process when it is told to, whatever an agent does."""

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
    """Let the first SIGINT or SIGTERM interrupt what runs, and the second end the process at once.

    As the shell has it, the exit code then is 128 and the number of the signal.
    """
    told = False

    def tell(number: int, _: FrameType | None) -> None:
        nonlocal told
        if told:
            os._exit(128 + number)
        told = True
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, tell)


def leave_within(seconds: float) -> None:
    """End the process after so many seconds if it still runs then, with exit code 0.

    If an agent does not even let other threads run, the process ends shortly after that all the
    same, with exit code 1 and a traceback of every thread.
    """
    threading.Thread(
        target=_leave_after, args=(seconds,), name="nexus-leaving", daemon=True
    ).start()
    with contextlib.suppress(OSError, ValueError, AttributeError):  # standard error is no file
        faulthandler.dump_traceback_later(seconds + BACKSTOP, exit=True)


def leave_threads_behind(until: float) -> None:
    """Wait until a time of the monotonic clock for other threads, and end the process if one runs.

    An interpreter that ends would wait for them, and nothing can stop one in which an agent hangs.
    """
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                leave(0)
    # What remains is the interpreter's own end, which takes as long as it takes.
    faulthandler.cancel_dump_traceback_later()


def leave(code: int) -> NoReturn:
    """End the process at once, without what an interpreter does at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    os._exit(code)


def _leave_after(seconds: float) -> None:
    time.sleep(seconds)
    leave(0)
