"""The three ways to call an agent: on the event loop, in a thread, or isolated.

Which one a deployment takes is decided here, once, when it is deployed.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol

from kaizen_nexus.runtime.isolation import IsolatedCall, IsolatedSteps
from kaizen_nexus.runtime.streaming import AsyncSteps, Steps, ThreadSteps
from kaizen_nexus.runtime.watchdog import RUNNING

if TYPE_CHECKING:
    from kaizen_nexus.agents.workflow import WorkflowPlan
    from kaizen_nexus.runtime.breaker import Attempt
    from kaizen_nexus.runtime.executor import LoopState

__all__ = ["Way", "way_of"]


class Way(Protocol):
    """How an agent is called; `attempt` notes when it begins, and when it has ended."""

    @property
    def isolated(self) -> Way:
        """The way that keeps the agent from blocking the event loop."""

    async def call(self, state: LoopState, attempt: Attempt, invoke: Callable[[], Any]) -> Any:
        """Return what the agent returns that `invoke` calls."""

    def steps(self, state: LoopState, attempt: Attempt, invoke: Callable[[], Any]) -> Steps:
        """Return how to iterate over what the agent yields that `invoke` calls."""


class _OnLoop:
    """An asynchronous agent on the event loop."""

    @property
    def isolated(self) -> Way:
        return _ISOLATED

    async def call(self, _: LoopState, attempt: Attempt, invoke: Callable[[], Any]) -> Any:
        RUNNING.set(attempt)
        attempt.begin()
        try:
            outcome = invoke()
            if type(outcome) is CoroutineType or inspect.isawaitable(outcome):
                return await outcome
            return outcome
        finally:
            attempt.end()

    def steps(self, _: LoopState, attempt: Attempt, invoke: Callable[[], Any]) -> Steps:
        RUNNING.set(attempt)
        return AsyncSteps(invoke, attempt)


class _InThread:
    """A synchronous agent in a thread."""

    @property
    def isolated(self) -> Way:
        return self

    async def call(self, state: LoopState, attempt: Attempt, invoke: Callable[[], Any]) -> Any:
        outcome = await state.threads.run(partial(attempt.make, invoke))
        return await outcome if inspect.isawaitable(outcome) else outcome

    def steps(self, state: LoopState, attempt: Attempt, invoke: Callable[[], Any]) -> Steps:
        return ThreadSteps(invoke, attempt, state.threads, state.closing_threads)


class _Isolated:
    """An asynchronous agent in a thread, with an event loop of its own."""

    @property
    def isolated(self) -> Way:
        return self

    async def call(self, state: LoopState, attempt: Attempt, invoke: Callable[[], Any]) -> Any:
        call = IsolatedCall(invoke)
        try:
            return await state.threads.run(partial(attempt.make, call))
        except asyncio.CancelledError:
            call.cancel()
            raise

    def steps(self, state: LoopState, attempt: Attempt, invoke: Callable[[], Any]) -> Steps:
        return IsolatedSteps(invoke, attempt, state.threads, state.closing_threads)


_ON_LOOP, _IN_THREAD, _ISOLATED = _OnLoop(), _InThread(), _Isolated()


def way_of(plan: WorkflowPlan) -> Way:
    """Return how agents of this plan are called."""
    return _ON_LOOP if plan.is_async else _IN_THREAD
