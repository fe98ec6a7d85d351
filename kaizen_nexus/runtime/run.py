"""One run of an agent, from the moment it is asked for until everything it held is given back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from kaizen_nexus.agents.streams import StreamOutputs
from kaizen_nexus.runtime.breaker import Attempt, Breaker
from kaizen_nexus.runtime.errors import (
    AbandonedError,
    AgentExitError,
    AgentFailedError,
    DeadlineExceededError,
    OverloadedError,
    ResultTooLargeError,
    SessionNotFoundError,
)
from kaizen_nexus.runtime.invocation import NEW_SESSION, Invocation, Result
from kaizen_nexus.runtime.streaming import collect

if TYPE_CHECKING:
    from contextvars import Context

    from kaizen_nexus.runtime.admission import Gate
    from kaizen_nexus.runtime.executor import LoopState
    from kaizen_nexus.runtime.service import Runtime

__all__ = ["AgentRun", "Run"]

logger = logging.getLogger("kaizen_nexus.runtime")

NS_PER_SECOND = 1_000_000_000
NO_ATTEMPT = Attempt(Breaker("", 0, None), 0)
"""That of a run which was refused before."""
PASSED_ON = (AbandonedError, OverloadedError, ResultTooLargeError)
"""What is not the agent's failure although it is raised while the agent runs."""


class Run:
    """An invocation in progress, for whoever waits for its end.

    Parameters
    ----------
    on_end
        Called once with the run when it has ended, unless it was given up before.
    """

    __slots__ = ("_error", "_on_end", "_result", "ended")

    def __init__(self, on_end: Callable[[Run], object]) -> None:
        self._on_end: Callable[[Run], object] | None = on_end
        self._result: Result | None = None
        self._error: BaseException | None = None
        self.ended = False

    def outcome(self) -> Result:
        """Return the result of a run that has ended, or raise what ended it; to be called once."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # or it would refer to itself, by its traceback
        if self._result is None:
            raise RuntimeError("the run has not ended, or its outcome was taken before")
        return self._result

    def give_up(self) -> None:
        """Wait no longer: `on_end` is not called."""
        self._on_end = None

    def client_gone(self) -> None:
        """Give up, because nobody waits for the outcome any more."""
        self.give_up()

    def notify(self) -> None:
        """Call `on_end`, once."""
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(self)


class AgentRun(Run):
    """One run of a deployment's agent: it takes the places that the run needs, and gives them back.

    Parameters
    ----------
    on_end
        Called once with the run when it has ended, unless it was given up before.
    """

    _runtime: Runtime
    _state: LoopState
    _invocation: Invocation
    _started = 0
    _timeout: float | None = None
    _attempt = NO_ATTEMPT
    _inside: list[tuple[Gate, asyncio.Future[None] | None]]
    """The gates passed, and the one it waits at."""
    _turn: tuple[str, asyncio.Future[None] | None] | None = None
    """The session that it uses or waits for."""
    _session_id: str | None = None
    # Of a run that has to wait:
    _task: asyncio.Task[Any] | None = None
    _context: Context | None = None
    """The caller's; what the agent sets in its own is not seen there."""
    _watcher: asyncio.Task[None] | None = None

    def begin(self, runtime: Runtime, state: LoopState, invocation: Invocation) -> None:
        """Take the first step; the run has ended with that, or goes on in a task.

        Parameters
        ----------
        runtime
            Where it runs.
        state
            What the runs of the event loop share.
        invocation
            What to run.
        """
        self._runtime, self._state, self._invocation = runtime, state, invocation
        self._inside = []
        self._started = perf_counter_ns()
        invocation.deployment.meter.begin()
        task = state.tasks.start(self._work(), self._over)
        if task is None:
            self.notify()
            return
        self._task = task
        if self.ended:  # something that the first step did has given it up
            state.abandoned.add(self)
            task.cancel()
            return
        self._context = copy_context()
        clock, timeout = state.clock, self._timeout
        clock.add(self)
        if timeout is not None and timeout < 2 * clock.interval:
            self.look(clock.interval)
            if self.ended:  # the first step took too long
                self.notify()

    def give_up(self) -> None:
        """End the run, because its client has gone: the agent is cancelled, or left to itself."""
        self._on_end = None
        if not self.ended:
            self._runtime.executor.given_up += 1
            self._abandon(AbandonedError())

    def look(self, interval: float) -> None:
        """Give up if it is time to; called every `interval` seconds until the run ends."""
        if self.ended:
            return
        elapsed = (perf_counter_ns() - self._started) / NS_PER_SECOND
        timeout = self._timeout
        if timeout is not None and timeout - elapsed < interval:
            if elapsed < timeout:
                self._state.loop.call_later(timeout - elapsed, self.look, interval)
                return
            self._runtime.executor.timed_out += 1
            name = self._invocation.name
            logger.warning("the agent behind %r took too long and was given up", name)
            self._abandon(DeadlineExceededError(timeout))
            return
        gone, context = self._invocation.caller_gone, self._context
        if (
            elapsed >= interval
            and gone is not None
            and context is not None
            and self._watcher is None
        ):
            self._watcher = context.run(self._state.loop.create_task, self._watch(gone))

    async def _watch(self, caller_gone: Callable[[], Awaitable[object]]) -> None:
        """Give the run up when its caller has gone."""
        try:
            await caller_gone()
        except Exception:
            logger.exception("cannot tell whether a caller has gone, so the run goes on")
            return
        if not self.ended:
            self._runtime.executor.given_up += 1
            self._abandon(AbandonedError())

    def leave(self) -> None:
        """Give everything back, because the event loop has ended, and the agent with it."""
        self._on_end = None
        self._task = None
        self._end(AbandonedError())

    def _abandon(self, error: Exception) -> None:
        """End a run whose agent has not ended."""
        self._end(error)
        if self._task is not None:
            self._state.abandoned.add(self)
            self._state.loop.call_soon(self.notify, context=self._context)
            self._task.cancel()

    def _over(self) -> None:
        """Call `on_end` of a run that had to wait, in the caller's context."""
        if self._context is not None:
            self._context.run(self.notify)

    async def _work(self) -> None:
        """Run from the first check to the result, and handle whatever goes wrong."""
        try:
            self._end(None, await self._call(await self._admit()))
        except BaseException as error:
            # A task that ended with SystemExit would end the event loop with it.
            self._end(self._reason(error))
        finally:
            if self._turn is not None:
                self._state.turns.leave(*self._turn)
            self._state.abandoned.discard(self)

    async def _admit(self) -> dict[str, Any]:
        """Wait for a place and for the session; return the validated inputs."""
        invocation, runtime, turns = self._invocation, self._runtime, self._state.turns
        deployment = invocation.deployment
        if invocation.chosen is not None:
            invocation.chosen(deployment.version)
        inputs = deployment.workflow.plan.inputs.convert(invocation.inputs)
        self._timeout = runtime.executor.timeout
        gates = [runtime.executor.gate]
        limit = runtime.limits.of(deployment.workflow.name)
        if limit is not None:
            if limit.timeout is not None:
                self._timeout = limit.timeout
            if limit.gate is not None:
                gates.insert(0, limit.gate)
        self._attempt = deployment.breaker.attempt()
        for gate in gates:
            place = gate.enter()
            self._inside.append((gate, place))
            if place is not None:
                await place
        session_id = invocation.session_id
        if session_id is not None and session_id != NEW_SESSION:
            if session_id in turns.queues and not runtime.may_use(invocation.caller, session_id):
                raise SessionNotFoundError  # or its owner would wait for this run
            turn = turns.enter(session_id)
            self._turn = (session_id, turn)
            if turn is not None:
                await turn
        return inputs

    async def _call(self, inputs: dict[str, Any]) -> bytes:
        """Attach the session, if there is one, call the agent and return its encoded result."""
        invocation, attempt = self._invocation, self._attempt
        deployment = invocation.deployment
        workflow = deployment.workflow
        session = context = None
        if invocation.session_id is not None or deployment.sessions:
            session = self._runtime.attach(invocation)
            self._session_id = session.session_id
            if workflow.plan.wants_context:
                context = session.state  # which `invoke` copies
            if invocation.attached is not None:
                invocation.attached(self._session_id)
        invoke = partial(workflow.invoke, inputs, context=context, session=session)
        way, outputs = deployment.way, workflow.plan.outputs
        if attempt.isolated:
            way = way.isolated
        try:
            if isinstance(outputs, StreamOutputs):
                steps = way.steps(self._state, attempt, invoke)
                return await collect(outputs, steps, invocation.emit)
            return outputs.encode(await way.call(self._state, attempt, invoke))
        except PASSED_ON:
            raise
        except Exception as error:
            logger.exception("the agent behind %r failed", workflow.name)
            raise AgentFailedError(workflow.name) from error

    def _reason(self, error: BaseException) -> Exception:
        """Return why the run has failed, for whoever asked for it."""
        if isinstance(error, Exception):
            return error
        said = repr(error)
        if isinstance(error, asyncio.CancelledError):
            # Whoever cancels a run looks no further, so it was the agent itself.
            said = "the agent has cancelled itself"
        failure = AgentFailedError(self._invocation.name)
        failure.__cause__ = AgentExitError(said)
        if not self.ended:
            logger.error("the agent behind %r failed", self._invocation.name, exc_info=error)
        return failure

    def _end(self, error: Exception | None, body: bytes = b"") -> None:
        """Note how the run ended, unless it was given up before, and give back its places."""
        if self.ended:
            return
        self.ended = True
        elapsed = perf_counter_ns() - self._started
        invocation, failed = self._invocation, error is not None
        version = invocation.deployment.version
        if failed:
            self._error = error
        else:
            self._result = Result(body, self._session_id, elapsed, version)
        while self._inside:
            gate, place = self._inside.pop()
            gate.leave(place)
        self._attempt.close(error)
        seconds = elapsed / NS_PER_SECOND
        self._runtime.metrics.record(invocation.channel, seconds, failed=failed)
        invocation.deployment.meter.end(invocation.channel, seconds, failed)
        if self._task is not None:
            self._state.clock.discard(self)
            if self._watcher is not None:
                self._watcher.cancel()
