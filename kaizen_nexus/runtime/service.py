"""`Runtime`: one way to execute an invocation, shared by all channels."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from kaizen_nexus.access.policy import Access
from kaizen_nexus.agents.streams import StreamOutputs
from kaizen_nexus.monitoring import PerformanceMetrics
from kaizen_nexus.runtime.admission import Limits
from kaizen_nexus.runtime.breaker import Attempt
from kaizen_nexus.runtime.deployed import Deployment
from kaizen_nexus.runtime.errors import (
    AbandonedError,
    AgentExitError,
    AgentFailedError,
    DeadlineExceededError,
    OverloadedError,
    ResultTooLargeError,
    SessionNotFoundError,
)
from kaizen_nexus.runtime.executor import Executor
from kaizen_nexus.runtime.invocation import NEW_SESSION, Invocation, Result
from kaizen_nexus.runtime.registry import Registry
from kaizen_nexus.runtime.replays import Replays
from kaizen_nexus.runtime.streaming import collect
from kaizen_nexus.runtime.turns import Turns
from kaizen_nexus.runtime.watchdog import RUNNING, Watchdog
from kaizen_nexus.sessions import NexusSessionManager
from kaizen_nexus.sessions.rotation import rotated

if TYPE_CHECKING:
    from kaizen_nexus.access.callers import Caller
    from kaizen_nexus.sessions import CrossChannelSession

__all__ = ["Runtime"]

logger = logging.getLogger("kaizen_nexus.runtime")


class Runtime:
    """Finds the workflow, attaches the session, runs the agent and records how long it took.

    Invocations on one session run one after the other, in the order of arrival.

    Parameters
    ----------
    sessions
        Where sessions live.
    metrics
        Where executions are recorded, under their channel.
    executor
        How agents are run.
    registry
        What is deployed.
    replays
        What answers retries.
    access
        Who may do what; by default everybody may do everything.
    """

    def __init__(
        self,
        sessions: NexusSessionManager | None = None,
        metrics: PerformanceMetrics | None = None,
        executor: Executor | None = None,
        registry: Registry | None = None,
        *,
        replays: Replays | None = None,
        access: Access | None = None,
    ) -> None:
        self.sessions = NexusSessionManager() if sessions is None else sessions
        self.metrics = PerformanceMetrics() if metrics is None else metrics
        self.executor = Executor() if executor is None else executor
        self.registry = Registry() if registry is None else registry
        self.replays = Replays() if replays is None else replays
        self.limits = Limits()
        self.access = Access() if access is None else access
        self.watchdog = Watchdog(idle=lambda: not self.executor.pending)
        self._turns = Turns()

    def find(self, caller: Caller, name: str, channel: str) -> Deployment:
        """Return what answers to `name` on `channel`, if `caller` may use it.

        Raises
        ------
        UnauthenticatedError, ForbiddenError
            The caller may not use anything of that name, whether or not it exists.
        WorkflowNotFoundError
            Nothing does.
        """
        self.access.require(caller, name)
        return self.registry.find(name, channel)

    def session_of(self, caller: Caller, session_id: str) -> CrossChannelSession:
        """Return a session that `caller` may use, and slide its expiry.

        Raises
        ------
        SessionNotFoundError
            There is none of this id, or it is somebody else's: nobody is told which, and what
            is somebody else's is not touched.
        """
        if self.access.enforced:
            held = self.sessions.sessions.get(session_id)
            if held is None or not self.access.owns(caller, held):
                raise SessionNotFoundError
        session = self.sessions.get_session(session_id)
        if session is None or not self.access.owns(caller, session):
            raise SessionNotFoundError
        return session

    async def rotate(self, caller: Caller, session_id: str) -> CrossChannelSession:
        """Give a session another id, when nothing runs on it, and return it.

        Raises
        ------
        SessionNotFoundError
            There is no such session of this caller's.
        OverloadedError, SessionTableFullError
            Too many wait for the session, or there is no room; it is as it was.
        """
        self.session_of(caller, session_id)
        async with self._turns.take(session_id):
            return rotated(self.sessions, self.session_of(caller, session_id))

    def execute(self, invocation: Invocation) -> Coroutine[Any, Any, Result]:
        """Run a workflow, unless this is a retry of an invocation that was run; to be awaited.

        Raises
        ------
        UnauthenticatedError, ForbiddenError, WorkflowNotFoundError, InvalidInputsError,
        SessionNotFoundError, OverloadedError, QuarantinedError, SessionTableFullError,
        IdempotencyKeyError, IdempotencyKeyReusedError
            The invocation was refused, and the agent was not called.
        DeadlineExceededError, AbandonedError
            The agent was called, and given up.
        AgentFailedError, ResultTooLargeError
            The agent raised, or returned something that has no JSON form, or too much.
        """
        deployment = self.find(invocation.caller, invocation.name, invocation.channel)
        if invocation.idempotency_key is not None:
            return self.replays.once(invocation, partial(self._perform, deployment))
        return self._perform(deployment, invocation)

    async def _perform(self, deployment: Deployment, invocation: Invocation) -> Result:
        """Run a workflow and record it, whether it fails or not: by channel, and by version."""
        started = perf_counter_ns()
        if invocation.chosen is not None:
            invocation.chosen(deployment.version)
        deployment.meter.begin()
        failed = True
        try:
            inputs = deployment.workflow.validate(invocation.inputs)
            limit = self.limits.of(invocation.name)
            with deployment.breaker.attempt() as attempt:
                work = partial(self._take_turn, deployment, attempt, invocation, inputs)
                body, session_id = await self.executor.run(work, invocation.caller_gone, limit)
            failed = False
        except DeadlineExceededError:
            logger.warning("the agent behind %r took too long and was given up", invocation.name)
            raise
        except AgentExitError as error:
            raise AgentFailedError(invocation.name) from error
        finally:
            elapsed = perf_counter_ns() - started
            self.metrics.record(invocation.channel, elapsed / 1e9, failed=failed)
            deployment.meter.end(invocation.channel, elapsed / 1e9, failed)
        return Result(
            body=body,
            session_id=session_id,
            duration_ns=elapsed,
            version=deployment.version,
        )

    async def _take_turn(
        self,
        deployment: Deployment,
        attempt: Attempt,
        invocation: Invocation,
        inputs: Mapping[str, Any],
    ) -> tuple[bytes, str | None]:
        """Return the encoded result, and the session's id; a session is used by one at a time."""
        session_id = invocation.session_id
        if session_id is None or session_id == NEW_SESSION:
            return await self._run(deployment, attempt, invocation, inputs)
        if self.access.enforced:
            # Nobody waits in the line of another's session, nor makes its owner wait.
            self.session_of(invocation.caller, session_id)
        waiting = self._turns.enter(session_id)
        if waiting is not None:
            await waiting
        try:
            return await self._run(deployment, attempt, invocation, inputs)
        finally:
            self._turns.leave(session_id)

    def _attach(self, deployment: Deployment, invocation: Invocation) -> CrossChannelSession | None:
        session_id = invocation.session_id
        if session_id is None and not deployment.sessions:
            return None
        started = perf_counter_ns()
        if session_id is None or session_id == NEW_SESSION:
            session = self.sessions.create_session(user_id=invocation.caller.id)
        else:
            session = self.session_of(invocation.caller, session_id)
        session.refresh(invocation.channel)
        self.metrics.record_session_sync((perf_counter_ns() - started) / 1e9)
        if invocation.attached is not None:
            invocation.attached(session.session_id)
        return session

    async def _run(
        self,
        deployment: Deployment,
        attempt: Attempt,
        invocation: Invocation,
        inputs: Mapping[str, Any],
    ) -> tuple[bytes, str | None]:
        workflow, plan = deployment.workflow, deployment.workflow.plan
        session = self._attach(deployment, invocation)
        session_id = None if session is None else session.session_id
        context: Mapping[str, Any] | None = None
        if plan.wants_context and session_id is not None:
            context = self.sessions.get_session_state(session_id)
        outputs, executor = plan.outputs, self.executor
        streams = isinstance(outputs, StreamOutputs)
        isolated = plan.is_async and attempt.isolated
        if plan.is_async and not isolated:
            RUNNING.set(attempt)
        try:
            outcome = await executor.call(
                workflow, inputs, context, session, attempt, isolated=isolated and not streams
            )
            if isinstance(outputs, StreamOutputs):
                steps = executor.steps(outcome, isolated)
                return await collect(outputs, steps, invocation.emit), session_id
            return outputs.encode(outcome), session_id
        except (AbandonedError, OverloadedError, ResultTooLargeError):
            raise
        except Exception as error:
            logger.exception("the agent behind %r failed", workflow.name)
            raise AgentFailedError(workflow.name) from error
        finally:
            if plan.is_async and (streams or not isolated):
                attempt.end()
