"""The bounds that all runs of an app share, and what they share on their event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypedDict

from kaizen_nexus.runtime.admission import Gate
from kaizen_nexus.runtime.checks import checked_count, checked_timeout
from kaizen_nexus.runtime.clock import Clock
from kaizen_nexus.runtime.tasks import tasks_of
from kaizen_nexus.runtime.threads import ThreadPool
from kaizen_nexus.runtime.turns import Turns

if TYPE_CHECKING:
    from kaizen_nexus.runtime.run import AgentRun

__all__ = [
    "DEFAULT_MAX_PENDING",
    "DEFAULT_MAX_THREADS",
    "DEFAULT_TIMEOUT",
    "WATCH_AFTER",
    "Executor",
    "ExecutorStats",
    "LoopState",
    "OtherLoopError",
]

DEFAULT_MAX_THREADS = 40
DEFAULT_MAX_PENDING = 1_000
DEFAULT_TIMEOUT = 300.0
WATCH_AFTER = 0.05
"""Seconds until a run's deadline and caller are looked after; most runs are over by then."""


class ExecutorStats(TypedDict):
    """How much runs, and what was counted since the start."""

    pending: int
    waiting: int
    max_running: int
    max_pending: int
    max_threads: int
    refused: int
    timed_out: int
    given_up: int
    abandoned_threads: int


class OtherLoopError(RuntimeError):
    """The app runs on another event loop, and this can be done there only."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        super().__init__(
            "the app runs on another event loop: call it there, for example with "
            "asyncio.run_coroutine_threadsafe"
        )


class Executor:
    """Bounds the runs of an app, and counts them.

    Runs that are over time, or whose caller has gone, are given up: an asynchronous agent is
    cancelled; the thread of a synchronous one cannot be stopped and runs on. Either way the run's
    places are free for others at once.

    Parameters
    ----------
    max_threads
        How many synchronous agents run at the same time; further ones wait for a thread.
    max_pending
        How many invocations may run or wait at the same time; further ones are refused. Those that
        wait for the limit of their own workflow do not count.
    timeout
        Seconds that an invocation may take, waiting included; None for any time.
    max_running
        How many of `max_pending` may run; the others wait, in the order of arrival. None for all.
    """

    def __init__(
        self,
        max_threads: int = DEFAULT_MAX_THREADS,
        max_pending: int = DEFAULT_MAX_PENDING,
        timeout: float | None = DEFAULT_TIMEOUT,
        max_running: int | None = None,
    ) -> None:
        self.max_threads = checked_count("max_threads", max_threads)
        self.max_pending = checked_count("max_pending", max_pending)
        self.max_running = max_pending
        if max_running is not None:
            self.max_running = min(checked_count("max_running", max_running), max_pending)
        self.timeout = checked_timeout(timeout)
        self.timed_out = 0
        self.given_up = 0
        self.gate = Gate(self.max_running, max_pending - self.max_running, "invocations")
        self.threads = ThreadPool(max_threads)
        # A full pool of running agents must not keep one from cleaning up.
        self.closing_threads = ThreadPool(max_threads, withdraws=False)
        self._state: LoopState | None = None

    @property
    def pending(self) -> int:
        """How many invocations run or wait, those included that were given up and have not ended.

        Those that wait for the limit of their own workflow do not count.
        """
        abandoned = 0 if self._state is None else len(self._state.abandoned)
        return self.gate.running + self.gate.waiting + abandoned

    @property
    def abandoned_threads(self) -> int:
        """How many synchronous agents run on although they were given up."""
        return self.threads.abandoned + self.closing_threads.abandoned

    def stats(self) -> ExecutorStats:
        """Return the bounds, how they are used, and what was counted since the start."""
        return {
            "pending": self.pending,
            "waiting": self.gate.waiting,
            "max_running": self.max_running,
            "max_pending": self.max_pending,
            "max_threads": self.max_threads,
            "refused": self.gate.refused,
            "timed_out": self.timed_out,
            "given_up": self.given_up,
            "abandoned_threads": self.abandoned_threads,
        }

    def state(self) -> LoopState:
        """Return what the runs of the running event loop share.

        An app has one event loop at a time. When that has ended it may run on another.

        Raises
        ------
        OtherLoopError
            The app runs on another event loop at this moment.
        """
        loop = asyncio.get_running_loop()
        state = self._state
        if state is not None and state.loop is loop:
            return state
        if state is not None:
            if state.loop.is_running():
                raise OtherLoopError(state.loop)
            state.end()
        self.threads.reset()
        self.closing_threads.reset()
        self._state = LoopState(loop, self)
        return self._state


class LoopState:
    """What the runs of one event loop share.

    Parameters
    ----------
    loop
        The running event loop.
    executor
        Whose runs these are.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, executor: Executor) -> None:
        self.loop = loop
        self.tasks = tasks_of(loop)
        self.clock = Clock(loop, WATCH_AFTER)
        self.turns = Turns()
        self.threads = executor.threads
        self.closing_threads = executor.closing_threads
        self.abandoned: set[AgentRun] = set()
        """Runs that were given up, and whose agents have not ended."""

    def end(self) -> None:
        """Give back what runs still hold when the event loop has ended."""
        for run in self.clock:
            run.leave()
        self.abandoned.clear()
