"""The thread that removes expired sessions."""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from kaizen_nexus._common.session_arguments import NS_PER_SECOND, duration_ns

if TYPE_CHECKING:
    from kaizen_nexus._accel import SessionTable

__all__ = ["CleanupStatus", "Sweeper"]

_logger = logging.getLogger("kaizen_nexus.sessions")

_STOP: Final = True
_SWEEP: Final = False
_JOIN_SECONDS: Final = 5.0

_sweepers: WeakSet[Sweeper] = WeakSet()


def _after_fork_in_child() -> None:
    """Forget the parent's threads, and the locks that they may have held."""
    for sweeper in list(_sweepers):
        sweeper._lock = threading.RLock()
        sweeper._commands = None
        sweeper._thread = None
        sweeper._tend()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


@dataclass(frozen=True)
class CleanupStatus:
    """How the cleanup of expired sessions is doing.

    Attributes
    ----------
    running
        Whether the thread is there. It starts with the first session.
    interval
        Seconds between two automatic cleanups; None if there are none.
    runs, failures
        Cleanups completed, and cleanups that raised.
    removed
        Sessions removed by all of them.
    seconds_since_last
        Since the last completed cleanup, by the manager's clock; None before the first.
    last_duration
        How long the last one took, in seconds; None before the first.
    """

    running: bool
    interval: float | None
    runs: int
    failures: int
    removed: int
    seconds_since_last: float | None
    last_duration: float | None


class Sweeper:
    """Sweeps a table now and then from a daemon thread.

    The thread starts at the first `start` and again when one is called after it died or after a
    fork. An error in a sweep is logged and counted; the next interval tries again.

    Parameters
    ----------
    table
        The table to sweep.
    interval
        Seconds between two sweeps; None or 0 for no thread at all.

    Raises
    ------
    TypeError, ValueError
        If `interval` is neither None nor a number of seconds, or negative.
    """

    def __init__(self, table: SessionTable, interval: float | None) -> None:
        self._table = table
        self._interval = _checked(interval)
        self._closed = False
        # Re-entrant, since a destructor that runs anywhere may ask for a cleanup.
        self._lock = threading.RLock()
        # What the running thread listens to; None when none is running. Putting into a SimpleQueue
        # is safe even from a destructor, which setting an Event is not.
        self._commands: SimpleQueue[bool] | None = None
        self._thread: threading.Thread | None = None
        self._runs = 0
        self._failures = 0
        self._removed = 0
        self._made_ns = table.now()
        self._last_ns: int | None = None
        self._last_duration: float | None = None
        _sweepers.add(self)
        self._tend()

    @property
    def interval(self) -> float | None:
        """Seconds between two sweeps, None or 0 for none."""
        return self._interval

    @interval.setter
    def interval(self, interval: float | None) -> None:
        self._interval = _checked(interval)
        self._tend()
        self.wake()

    @property
    def last_ns(self) -> int:
        """When the last sweep ended on the table's clock; before the first, when this was made."""
        last = self._last_ns
        return self._made_ns if last is None else last

    def start(self) -> None:
        """Start the thread unless it runs, is not wanted, or was stopped for good."""
        if self._commands is not None or not self._interval or self._closed:
            return
        with self._lock:
            if self._commands is not None:
                return
            commands = self._commands = SimpleQueue()
            thread = threading.Thread(
                target=self._loop, args=(commands,), name="kaizen-nexus-sweeper", daemon=True
            )
            self._thread = thread
            try:
                thread.start()
            except RuntimeError as error:
                self._commands = self._thread = None
                self._failures += 1
                _logger.warning("cannot start the session cleanup thread: %s", error)
            self._tend()

    def run(self) -> int:
        """Sweep the whole table once; return how many sessions that removed."""
        started = time.perf_counter()
        removed = self._table.sweep_all()
        duration = time.perf_counter() - started
        now = self._table.now()
        with self._lock:
            self._runs += 1
            self._removed += removed
            self._last_ns = now
            self._last_duration = duration
        return removed

    def wake(self) -> None:
        """Have the thread sweep now, if it runs."""
        commands = self._commands
        if commands is not None:
            commands.put(_SWEEP)

    def stop(self) -> None:
        """Tell the thread to end, and start no other."""
        self._closed = True
        self._tend()
        commands = self._commands
        if commands is not None:
            commands.put(_STOP)

    def join(self) -> None:
        """Wait for the thread to end, some seconds at most."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_SECONDS)

    def status(self) -> CleanupStatus:
        """Return how the cleanup is doing."""
        now = self._table.now()
        with self._lock:
            last = self._last_ns
            return CleanupStatus(
                running=self._commands is not None,
                interval=self._interval,
                runs=self._runs,
                failures=self._failures,
                removed=self._removed,
                seconds_since_last=None if last is None else (now - last) / NS_PER_SECOND,
                last_duration=self._last_duration,
            )

    def _tend(self) -> None:
        """Let the table know whether `start` has to be called with the next session."""
        self._table.tended = self._commands is not None or not self._interval or self._closed

    def _loop(self, commands: SimpleQueue[bool]) -> None:
        try:
            while not self._closed and self._interval:
                try:
                    command = commands.get(timeout=self._interval)
                except Empty:
                    command = _SWEEP
                if command is _STOP or not self._interval:
                    return
                self._attempt()
        finally:
            with self._lock:
                if self._commands is commands:
                    self._commands = None
                self._tend()

    def _attempt(self) -> None:
        try:
            self.run()
        except Exception:
            with self._lock:
                self._failures += 1
            _logger.exception("session cleanup failed; it will be tried again")


def _checked(interval: float | None) -> float | None:
    if interval is None or (interval == 0 and not isinstance(interval, bool)):
        return interval
    seconds = duration_ns(interval, "cleanup_interval") / NS_PER_SECOND
    if seconds > threading.TIMEOUT_MAX:
        raise ValueError(f"cleanup_interval must be at most {threading.TIMEOUT_MAX:.0f} seconds")
    return seconds
