"""Runs agents: asynchronous ones on the event loop, synchronous ones in a bounded thread pool."""

from __future__ import annotations

import functools
import inspect
import weakref
from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kaizen_nexus._extras import missing_extra
from kaizen_nexus.runtime.errors import OverloadedError

try:
    from anyio import CapacityLimiter, to_thread
except ModuleNotFoundError as error:
    missing_extra("running workflows", "serve", error)

if TYPE_CHECKING:
    from kaizen_nexus.agents.workflow import Workflow

__all__ = ["Executor"]

DEFAULT_MAX_THREADS = 40
DEFAULT_MAX_PENDING = 1_000


class Executor:
    """Runs one workflow at a time for each caller, within bounds that all callers share.

    Parameters
    ----------
    max_threads
        How many synchronous agents run at the same time; further ones wait for a thread.
    max_pending
        How many invocations may run or wait at the same time; further ones are refused.
    """

    def __init__(
        self, max_threads: int = DEFAULT_MAX_THREADS, max_pending: int = DEFAULT_MAX_PENDING
    ) -> None:
        for label, bound in (("max_threads", max_threads), ("max_pending", max_pending)):
            if isinstance(bound, bool) or not isinstance(bound, int) or bound < 1:
                raise ValueError(f"{label} must be a whole number of at least 1, not {bound!r}")
        self.max_threads = max_threads
        self.max_pending = max_pending
        self.pending = 0
        self.refused = 0
        self._limiters: weakref.WeakKeyDictionary[AbstractEventLoop, CapacityLimiter] = (
            weakref.WeakKeyDictionary()
        )

    async def run(
        self,
        workflow: Workflow,
        inputs: Mapping[str, Any],
        context: Mapping[str, Any] | None,
        session: object | None,
    ) -> Any:
        """Return what the agent returns for `inputs`.

        Raises
        ------
        OverloadedError
            `max_pending` invocations are in progress.
        """
        if self.pending >= self.max_pending:
            self.refused += 1
            raise OverloadedError(self.max_pending)
        self.pending += 1
        try:
            invoke = functools.partial(workflow.invoke, inputs, context=context, session=session)
            if workflow.is_async:
                outcome = invoke()
            else:
                outcome = await to_thread.run_sync(
                    invoke, limiter=self._limiter(), abandon_on_cancel=True
                )
            return await outcome if inspect.isawaitable(outcome) else outcome
        finally:
            self.pending -= 1

    def _limiter(self) -> CapacityLimiter:
        """Return this event loop's share of the pool; there is one loop in all but tests."""
        loop = get_running_loop()
        limiter = self._limiters.get(loop)
        if limiter is None:
            limiter = self._limiters[loop] = CapacityLimiter(self.max_threads)
        return limiter
