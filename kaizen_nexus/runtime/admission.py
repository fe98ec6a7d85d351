"""Admission: how many invocations run at once, of all workflows and of each; the others wait.

An invocation that waits for the limit of its own workflow takes no place from the others: it enters
the queue that all share only when that limit has let it through.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

from kaizen_nexus.runtime.checks import checked_count, checked_timeout
from kaizen_nexus.runtime.errors import OverloadedError

__all__ = ["DEFAULT_MAX_WAITING", "Gate", "Limit", "LimitStats", "Limits"]

DEFAULT_MAX_WAITING = 64


class Gate:
    """Lets a bounded number through at a time; others wait in order of arrival, or are refused.

    It belongs to one event loop; `resize` alone may be called from any thread.

    Parameters
    ----------
    max_running
        How many may be inside.
    max_waiting
        How many may wait; further ones are refused.
    what
        What these are, for the message of a refusal.
    """

    def __init__(self, max_running: int, max_waiting: int, what: str) -> None:
        self.max_running = max_running
        self.max_waiting = max_waiting
        self.what = what
        self.running = 0
        self.refused = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    def enter(self) -> asyncio.Future[None] | None:
        """Return what to wait for before going in, or None if one is in at once.

        Raises
        ------
        OverloadedError
            `max_waiting` others wait already.
        """
        if self.running < self.max_running:
            self.running += 1
            return None
        if len(self._queue) < self.max_waiting:
            turn = asyncio.get_running_loop().create_future()
            self._queue.append(turn)
            return turn
        self.refused += 1
        raise OverloadedError(f"{self.max_running + self.max_waiting} {self.what} are in progress")

    def leave(self, turn: asyncio.Future[None] | None = None) -> None:
        """Go out, or stop waiting for `turn`, and let the next one in."""
        if turn is not None and turn in self._queue:
            self._queue.remove(turn)
            return
        self.running -= 1
        if self._queue:
            self._admit()

    def resize(self, max_running: int, max_waiting: int) -> None:
        """Change the bounds; invocations that are inside or wait are not refused by that."""
        self.max_running = max_running
        self.max_waiting = max_waiting
        for turn in self._queue.copy():
            with contextlib.suppress(RuntimeError):  # its event loop has ended
                turn.get_loop().call_soon_threadsafe(self._admit)
            break

    def _admit(self) -> None:
        """Let in whom there is room for."""
        while self._queue and self.running < self.max_running:
            turn = self._queue.popleft()
            self.running += 1
            # One that was cancelled is about to leave, and lets the next one in then.
            if not turn.done():
                with contextlib.suppress(RuntimeError):  # its event loop has ended
                    turn.set_result(None)


@dataclass(frozen=True)
class Limit:
    """What one workflow may use."""

    gate: Gate | None = None
    """How many of its invocations run and wait; None for no limit but that of all."""
    timeout: float | None = None
    """Seconds that an invocation may take, waiting included; None for the app's."""


class _Timeout(TypedDict):
    timeout: float | None


class LimitStats(_Timeout, total=False):
    """One limit, and how it is used; without `max_running`, it is but a timeout."""

    max_running: int
    max_waiting: int
    running: int
    waiting: int
    refused: int


class Limits:
    """The limits of single workflows, by name, whether or not anything is deployed under it.

    Parameters
    ----------
    max_names
        How many names may have a limit.
    """

    def __init__(self, max_names: int = 10_000) -> None:
        self.max_names = max_names
        self._lock = threading.Lock()
        self._limits: dict[str, Limit] = {}
        self.of: Callable[[str], Limit | None] = self._limits.get
        """Returns the limit of a name, if it has one."""

    def set(
        self,
        name: str,
        max_running: int | None = None,
        max_waiting: int | None = None,
        timeout: float | None = None,
    ) -> None:
        """Limit the workflow called `name`, or no longer if all are None.

        What runs or waits at this moment counts from the start, and is not turned away.

        Parameters
        ----------
        name
            The workflow's name.
        max_running
            How many invocations run at the same time; None for no limit.
        max_waiting
            How many wait for that; default is 64.
        timeout
            Seconds that an invocation may take; None for what holds for all.

        Raises
        ------
        ValueError
            A limit makes no sense.
        RuntimeError
            `max_names` names have a limit already.
        """
        if max_running is not None:
            checked_count("max_running", max_running)
        elif max_waiting is not None:
            raise ValueError("max_waiting needs max_running: without that no invocation waits")
        max_waiting = DEFAULT_MAX_WAITING if max_waiting is None else max_waiting
        checked_count("max_waiting", max_waiting, least=0)
        timeout = checked_timeout(timeout)
        with self._lock:
            gate = self._limits.get(name, _NO_LIMIT).gate
            if max_running is None:
                if gate is not None:
                    gate.resize(sys.maxsize, 0)
                gate = None
            elif gate is None:
                gate = Gate(max_running, max_waiting, f"invocations of {name!r}")
            else:
                gate.resize(max_running, max_waiting)
            if gate is None and timeout is None:
                self._limits.pop(name, None)
                return
            if name not in self._limits and len(self._limits) >= self.max_names:
                raise RuntimeError(
                    f"{self.max_names} workflows have limits, which is the limit: remove one with "
                    "app.limit(name)"
                )
            self._limits[name] = Limit(gate, timeout)

    def stats(self) -> dict[str, LimitStats]:
        """Return each limit, and how it is used."""
        return {name: _stats(limit) for name, limit in self._limits.copy().items()}


_NO_LIMIT = Limit()


def _stats(limit: Limit) -> LimitStats:
    stats: LimitStats = {"timeout": limit.timeout}
    gate = limit.gate
    if gate is not None:
        stats["max_running"] = gate.max_running
        stats["max_waiting"] = gate.max_waiting
        stats["running"] = gate.running
        stats["waiting"] = gate.waiting
        stats["refused"] = gate.refused
    return stats
