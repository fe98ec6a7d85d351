"""A watch on the event loop: an agent that blocks it keeps everybody waiting, and is found out.

A thread schedules a callback on the loop several times a second. While one is overdue, it looks at
the task that the loop is in, and at the agent which that runs. So watching costs a run no more than
one context variable. What holds the interpreter's lock as well, such as a long computation in an
extension module, stops the watch, too, and is not seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import kaizen_nexus
from kaizen_nexus.runtime.tasks import context_of

if TYPE_CHECKING:
    from kaizen_nexus.runtime.breaker import Attempt

__all__ = ["RUNNING", "Watchdog"]

logger = logging.getLogger("kaizen_nexus.runtime")

RUNNING: ContextVar[Attempt] = ContextVar("kaizen_nexus_running")
"""The call of an agent that a task of the event loop belongs to, and the tasks that it starts."""

BLOCKED_AFTER = 0.25
INTERVAL = 0.05
TOLERANCE = 0.1
"""Seconds that the watch itself may be late; if it is more so, the whole process was held up."""
REPORT_EVERY = 60.0
"""Seconds between two reports of a loop that no agent blocks."""

_OURS = f"{Path(kaizen_nexus.__file__).parent}{os.sep}"
_LIBRARIES = tuple(
    {sysconfig.get_path(each) + os.sep for each in ("stdlib", "platstdlib", "purelib", "platlib")}
)


class Watchdog:
    """Tells runs that block an event loop.

    Parameters
    ----------
    idle
        Whether nothing runs, so that there is nothing to watch.
    blocked_after
        Seconds that the loop may be in the same task.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        idle: Callable[[], bool] = lambda: False,
        blocked_after: float = BLOCKED_AFTER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.blocked_after = blocked_after
        self._idle = idle
        self._clock = clock
        self._looked_at = clock()
        # Of the last callback: whether it was called, whether a run was blamed, and which may be.
        self._answered = True
        self._accused = True
        self._suspect: Attempt | asyncio.Task[Any] | None = None
        self._since = 0.0
        self._reported_at = -REPORT_EVERY
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._stopped = threading.Event()

    def start(self) -> None:
        """Watch the event loop that calls this, until `stop`."""
        self.attach()
        self._stopped = threading.Event()
        threading.Thread(
            target=self._watch, args=(self._stopped,), name="kaizen-nexus-watchdog", daemon=True
        ).start()

    def attach(self) -> None:
        """Say which event loop, and thread, `look` is about: those that call this."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._looked_at = self._clock()
        self._answered = True

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()
        self._loop = self._suspect = None

    def look(self) -> None:
        """Ask for a sign of life; if one is overdue, see why and tell the run."""
        loop, now = self._loop, self._clock()
        late = now - self._looked_at > INTERVAL + TOLERANCE
        self._looked_at = now
        if loop is None:
            return
        if self._answered:
            self._suspect = None
            if self._idle():
                return
            self._answered, self._accused, self._since = False, False, now
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._answer)
            return
        suspect = _running(loop)
        if late or suspect is not self._suspect:
            # A busy loop goes from run to run: the one that it is in at last has not blocked it.
            self._suspect, self._since = suspect, now
        elif now - self._since >= self.blocked_after and not self._accused:
            self._accused = True
            try:
                self._accuse(suspect, now)
            except Exception:
                logger.exception("cannot tell who blocks the event loop")

    def _answer(self) -> None:
        self._answered = True

    def _watch(self, stopped: threading.Event) -> None:
        while not stopped.wait(INTERVAL):
            self.look()

    def _accuse(self, suspect: Attempt | asyncio.Task[Any] | None, now: float) -> None:
        where = _place(sys._current_frames().get(self._loop_thread))
        if suspect is not None and not isinstance(suspect, asyncio.Task):
            suspect.caught(self.blocked_after, where)
        elif now - self._reported_at >= REPORT_EVERY:
            self._reported_at = now
            logger.warning(
                "the event loop has been blocked for more than %g s at %s, by no agent",
                self.blocked_after,
                where,
            )


def _running(loop: asyncio.AbstractEventLoop) -> Attempt | asyncio.Task[Any] | None:
    """Return the call of an agent that the loop is in, or else the task."""
    task = asyncio.current_task(loop)
    # One task may serve many calls, one after the other.
    return task and (context_of(task).get(RUNNING) or task)


def _place(frame: FrameType | None) -> str:
    """Return the innermost line that is neither ours nor a library's, or else the innermost."""
    if frame is None:
        return "an unknown place"
    chosen = each = frame
    while each is not None and not each.f_code.co_filename.startswith(_OURS):
        if not each.f_code.co_filename.startswith((*_LIBRARIES, "<")):
            chosen = each
            break
        if each.f_back is None:
            break
        each = each.f_back
    return f"{chosen.f_code.co_filename}:{chosen.f_lineno}"
