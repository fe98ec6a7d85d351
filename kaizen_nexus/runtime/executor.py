"""Runs work within bounds: how much of it, in how many threads, and for how long."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from kaizen_nexus.runtime.errors import (
    AbandonedError,
    AgentExitError,
    DeadlineExceededError,
    OverloadedError,
)
from kaizen_nexus.runtime.runs import Run, Watches, wake
from kaizen_nexus.runtime.streaming import AsyncSteps, Steps, ThreadSteps
from kaizen_nexus.runtime.threads import ThreadPool

if TYPE_CHECKING:
    from kaizen_nexus.agents.workflow import Workflow

__all__ = ["DEFAULT_MAX_PENDING", "DEFAULT_MAX_THREADS", "DEFAULT_TIMEOUT", "Executor"]

T = TypeVar("T")

DEFAULT_MAX_THREADS = 40
DEFAULT_MAX_PENDING = 1_000
DEFAULT_TIMEOUT = 300.0
WATCH_AFTER = 0.05
"""Seconds until a run gets a timer and a watch on its caller; most are over by then."""


class Executor:
    """Runs one piece of work for each caller, within bounds that all callers share.

    Work that is over time, or whose caller has gone, is cancelled. A synchronous agent is left to
    itself, since nothing can stop a thread; so is an asynchronous one that does not let itself be
    cancelled, which counts as pending until it ends.

    Parameters
    ----------
    max_threads
        How many synchronous agents run at the same time; further ones wait for a thread. As many
        again may run on after they were given up; further ones are then refused.
    max_pending
        How many invocations may run or wait at the same time; further ones are refused.
    timeout
        Seconds that an invocation may take, waiting included; None for any time.
    """

    def __init__(
        self,
        max_threads: int = DEFAULT_MAX_THREADS,
        max_pending: int = DEFAULT_MAX_PENDING,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> None:
        for label, bound in (("max_threads", max_threads), ("max_pending", max_pending)):
            if isinstance(bound, bool) or not isinstance(bound, int) or bound < 1:
                raise ValueError(f"{label} must be a whole number of at least 1, not {bound!r}")
        self.max_threads = max_threads
        self.max_pending = max_pending
        self.timeout = _checked_timeout(timeout)
        self.pending = 0
        self.refused = 0
        self.timed_out = 0
        self.given_up = 0
        self._threads = ThreadPool(max_threads)
        self._watches = Watches(WATCH_AFTER)
        self._closing_threads = ThreadPool(max_threads)
        # The loop refers to its tasks weakly, and one that is given up has nobody else.
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def abandoned_threads(self) -> int:
        """How many synchronous agents run on although they were given up."""
        return self._threads.abandoned + self._closing_threads.abandoned

    async def run(
        self,
        work: Callable[[], Coroutine[Any, Any, T]],
        caller_gone: Callable[[], Awaitable[object]] | None = None,
    ) -> T:
        """Return what `work` returns.

        Parameters
        ----------
        work
            What to do; not called if it is refused.
        caller_gone
            Returns when nobody waits for the answer any more; not called for short runs.

        Raises
        ------
        OverloadedError
            `max_pending` pieces of work are in progress.
        DeadlineExceededError
            It took longer than `timeout`.
        AbandonedError
            The caller has gone.
        AgentExitError
            It tried to end more than itself.
        """
        if self.pending >= self.max_pending:
            self.refused += 1
            raise OverloadedError(f"{self.max_pending} invocations are in progress")
        loop = asyncio.get_running_loop()
        began = loop.time()
        run: Run[T] = Run(loop.create_future())
        self.pending += 1
        task = loop.create_task(run.drive(work))
        try:
            if self.timeout is None or self.timeout >= 2 * WATCH_AFTER:
                await self._watches.first(run.waiter)
            if not run.ended:
                await self._watch(run, began, caller_gone)
        finally:
            if run.ended:
                self.pending -= 1
            else:
                self._give_up(task)
        return run.outcome()

    async def call(
        self,
        workflow: Workflow,
        inputs: Mapping[str, Any],
        context: Mapping[str, Any] | None,
        session: object | None,
    ) -> Any:
        """Return what the agent returns: on the event loop, or from a thread if it is synchronous.

        Raises
        ------
        OverloadedError
            Too many threads were abandoned.
        AgentExitError
            The agent raised `SystemExit` or `KeyboardInterrupt`.
        """
        try:
            if workflow.is_async:
                outcome = workflow.invoke(inputs, context=context, session=session)
            else:
                outcome = await self._threads.run(
                    functools.partial(workflow.invoke, inputs, context=context, session=session)
                )
            return await outcome if inspect.isawaitable(outcome) else outcome
        except (SystemExit, KeyboardInterrupt) as error:
            # A task that ends so would end the event loop with it.
            raise AgentExitError(repr(error)) from error

    def steps(self, iterator: Any) -> Steps:
        """Return how to iterate over what `call` returned of a streaming agent."""
        if hasattr(iterator, "__anext__"):
            return AsyncSteps(iterator)
        return ThreadSteps(iterator, self._threads, self._closing_threads)

    async def _watch(
        self, run: Run[T], began: float, caller_gone: Callable[[], Awaitable[object]] | None
    ) -> None:
        """Return once the run has ended, and raise if it has to be given up."""
        loop = asyncio.get_running_loop()
        run.waiter = waiter = loop.create_future()
        timer = watcher = None
        if self.timeout is not None:
            timer = loop.call_at(began + self.timeout, wake, waiter)
        if caller_gone is not None:
            watcher = asyncio.ensure_future(_awaited(caller_gone))
            watcher.add_done_callback(lambda _: wake(waiter))
        try:
            await waiter
        finally:
            gone = watcher is not None and watcher.done()
            if timer is not None:
                timer.cancel()
            if watcher is not None:
                watcher.cancel()
        if run.ended:
            return
        if gone:
            self.given_up += 1
            raise AbandonedError
        self.timed_out += 1
        raise DeadlineExceededError(self.timeout or 0.0)

    def _give_up(self, task: asyncio.Task[None]) -> None:
        """Cancel a run that nobody waits for; it is pending until it ends all the same."""
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.pending -= 1
        self._tasks.discard(task)


async def _awaited(call: Callable[[], Awaitable[object]]) -> None:
    await call()


def _checked_timeout(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise ValueError(f"timeout must be a positive number of seconds or None, not {timeout!r}")
    return float(timeout)
