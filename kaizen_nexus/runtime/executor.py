"""Runs work within bounds: how much of it, in how many threads, and for how long."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from time import monotonic
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeVar

from kaizen_nexus.runtime.admission import Entry, Gate, Limit
from kaizen_nexus.runtime.checks import checked_count, checked_timeout
from kaizen_nexus.runtime.errors import AbandonedError, DeadlineExceededError
from kaizen_nexus.runtime.isolation import IsolatedCall, IsolatedIterator, IsolatedSteps
from kaizen_nexus.runtime.runs import Run, Watches, wake
from kaizen_nexus.runtime.streaming import AsyncSteps, Steps, ThreadSteps
from kaizen_nexus.runtime.threads import ThreadPool

if TYPE_CHECKING:
    from kaizen_nexus.agents.workflow import Workflow
    from kaizen_nexus.runtime.breaker import Attempt

__all__ = ["DEFAULT_MAX_PENDING", "DEFAULT_MAX_THREADS", "DEFAULT_TIMEOUT", "Executor"]

T = TypeVar("T")

logger = logging.getLogger("kaizen_nexus.runtime")

DEFAULT_MAX_THREADS = 40
DEFAULT_MAX_PENDING = 1_000
DEFAULT_TIMEOUT = 300.0
WATCH_AFTER = 0.05
"""Seconds until a run gets a timer and a watch on its caller; most are over by then."""


class Executor:
    """Runs one piece of work for each caller, within bounds that all callers share.

    Work that is over time, or whose caller has gone, is cancelled. A synchronous agent is left to
    itself, since nothing can stop a thread; so is an asynchronous one that does not let itself be
    cancelled. Neither keeps its place: others find one.

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
        self._gate = Gate(self.max_running, max_pending - self.max_running, "invocations")
        self._threads = ThreadPool(max_threads)
        self._watches = Watches(WATCH_AFTER)
        self._closing_threads = ThreadPool(max_threads)
        # The loop refers to its tasks weakly, and one that is given up has nobody else.
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> int:
        """How many invocations run or wait, those included that were given up and have not ended.

        Those that wait for the limit of their own workflow do not count.
        """
        return self._gate.running + self._gate.waiting + len(self._tasks)

    @property
    def waiting(self) -> int:
        """How many invocations wait until fewer than `max_running` run."""
        return self._gate.waiting

    @property
    def refused(self) -> int:
        """How many invocations were refused because of `max_pending`."""
        return self._gate.refused

    @property
    def abandoned_threads(self) -> int:
        """How many synchronous agents run on although they were given up."""
        return self._threads.abandoned + self._closing_threads.abandoned

    async def run(
        self,
        work: Callable[[], Coroutine[Any, Any, T]],
        caller_gone: Callable[[], Awaitable[object]] | None = None,
        limit: Limit | None = None,
    ) -> T:
        """Return what `work` returns.

        Parameters
        ----------
        work
            What to do; not called if it is refused.
        caller_gone
            Returns when nobody waits for the answer any more; not called for short runs. If it
            raises, the caller is taken to be there.
        limit
            What this kind of work may use, where that is less than all.

        Raises
        ------
        OverloadedError
            As many pieces of work as may be are in progress, of this kind or of all.
        DeadlineExceededError
            It took longer than it may.
        AbandonedError
            The caller has gone.
        AgentExitError
            It tried to end more than itself.
        """
        entry = None if limit is None and self._gate.try_enter() else self._enter(limit)
        timeout = self.timeout if limit is None or limit.timeout is None else limit.timeout
        loop = asyncio.get_running_loop()
        began = monotonic()
        waiter = loop.create_future()
        run: Run[T] = Run(waiter)
        task = loop.create_task(
            run.drive(work if entry is None else functools.partial(entry.then, work))
        )
        try:
            if timeout is None or timeout >= 2 * WATCH_AFTER:
                watch = self._watches.on(loop)
                watch.add(waiter)
                try:
                    await waiter
                finally:
                    watch.discard(waiter)
            if not run.ended:
                await self._watch(run, began, timeout, caller_gone)
        finally:
            if entry is None:
                self._gate.leave()
            else:
                entry.leave()
            if not run.ended:
                self._give_up(task)
        return run.outcome()

    async def call(
        self,
        workflow: Workflow,
        inputs: Mapping[str, Any],
        context: Mapping[str, Any] | None,
        session: object | None,
        attempt: Attempt,
        *,
        isolated: bool = False,
    ) -> Any:
        """Return what the agent returns: on the event loop, or from a thread if it is synchronous.

        Parameters
        ----------
        workflow, inputs, context, session
            What is called, and with what.
        attempt
            Is told when the agent begins, and, of one in a thread, when it ends.
        isolated
            Whether it is to run in a thread although it is asynchronous.

        Raises
        ------
        OverloadedError
            Too many threads were abandoned.
        """
        if workflow.plan.is_async and not isolated:
            attempt.begin()
            outcome = workflow.invoke(inputs, context=context, session=session)
        else:
            invoke = functools.partial(workflow.invoke, inputs, context=context, session=session)
            if isolated:
                outcome = await self._call_isolated(IsolatedCall(invoke), attempt)
            else:
                outcome = await self._threads.run(functools.partial(attempt.make, invoke))
        if type(outcome) is CoroutineType or inspect.isawaitable(outcome):
            return await outcome
        return outcome

    async def _call_isolated(self, call: IsolatedCall, attempt: Attempt) -> Any:
        try:
            return await self._threads.run(functools.partial(attempt.make, call))
        except asyncio.CancelledError:
            call.cancel()
            raise

    def steps(self, iterator: Any, isolated: bool = False) -> Steps:
        """Return how to iterate over what `call` returned of a streaming agent.

        `isolated` says that it is to run in threads although it is asynchronous.
        """
        if isolated:
            own = IsolatedIterator(iterator)
            return IsolatedSteps(own, self._threads, self._closing_threads)
        if hasattr(iterator, "__anext__"):
            return AsyncSteps(iterator)
        return ThreadSteps(iterator, self._threads, self._closing_threads)

    def _enter(self, limit: Limit | None) -> Entry:
        if limit is None or limit.gate is None:
            return Entry(self._gate)
        return Entry(limit.gate, self._gate)

    async def _watch(
        self,
        run: Run[T],
        began: float,
        timeout: float | None,
        caller_gone: Callable[[], Awaitable[object]] | None,
    ) -> None:
        """Return once the run has ended, and raise if it has to be given up."""
        loop = asyncio.get_running_loop()
        run.waiter = waiter = loop.create_future()
        timer = watcher = None
        if timeout is not None:
            timer = loop.call_later(timeout - (monotonic() - began), wake, waiter)
        if caller_gone is not None:
            watcher = asyncio.ensure_future(_gone(caller_gone))
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
        raise DeadlineExceededError(timeout or 0.0)

    def _give_up(self, task: asyncio.Task[None]) -> None:
        """Cancel a run that nobody waits for."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.cancel()


async def _gone(call: Callable[[], Awaitable[object]]) -> None:
    """Return when the caller has gone; never if that cannot be told."""
    try:
        await call()
    except Exception:
        logger.exception("cannot tell whether a caller has gone, so the run goes on")
        await asyncio.Event().wait()
