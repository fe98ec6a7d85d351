"""`Runtime`: one way to execute an invocation, shared by all channels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING

from kaizen_nexus.access.policy import Access
from kaizen_nexus.monitoring import PerformanceMetrics
from kaizen_nexus.runtime.admission import Limits
from kaizen_nexus.runtime.errors import SessionNotFoundError
from kaizen_nexus.runtime.executor import Executor, OtherLoopError
from kaizen_nexus.runtime.forwarding import ForwardedRun
from kaizen_nexus.runtime.invocation import NEW_SESSION, Invocation, Result
from kaizen_nexus.runtime.registry import Registry
from kaizen_nexus.runtime.replays import Replays
from kaizen_nexus.runtime.run import AgentRun, Run
from kaizen_nexus.runtime.watchdog import Watchdog
from kaizen_nexus.sessions import NexusSessionManager
from kaizen_nexus.sessions.rotation import rotated

if TYPE_CHECKING:
    from kaizen_nexus.access.callers import Caller
    from kaizen_nexus.runtime.deployed import Deployment
    from kaizen_nexus.sessions import CrossChannelSession

__all__ = ["Runtime"]


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
        Which caller may do what; by default every caller may do everything.
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

    def find(self, caller: Caller, name: str, channel: str) -> Deployment:
        """Return what answers to `name` on `channel`, if `caller` may use it.

        Raises
        ------
        UnauthenticatedError, ForbiddenError
            The caller may not use anything of that name, whether or not it exists.
        WorkflowNotFoundError
            Nothing does.
        """
        if self.access.enforced:
            self.access.require(caller, name)
        return self.registry.find(name, channel)

    def session_of(
        self, caller: Caller, session_id: str, channel: str | None = None
    ) -> CrossChannelSession:
        """Return a session that `caller` may use, and slide its expiry.

        Parameters
        ----------
        caller, session_id
            Who asks for which session.
        channel
            Where it is used, if that is to be noted.

        Raises
        ------
        SessionNotFoundError
            There is no such session, or it belongs to another caller: the error does not tell
            which. A session of another caller is not touched.
        """
        owner = None
        if self.access.enforced:
            if not caller.authenticated:
                raise SessionNotFoundError
            owner = caller.id
        session = self.sessions.attach(session_id, owner, channel)
        if session is None:
            raise SessionNotFoundError
        return session

    def may_use(self, caller: Caller, session_id: str) -> bool:
        """Return whether there is such a session, and `caller` may use it; it is not touched."""
        session = self.sessions.sessions.get(session_id)
        return session is not None and self.access.owns(caller, session)

    def attach(self, invocation: Invocation) -> CrossChannelSession:
        """Return the session that an invocation names, or a new one.

        Raises
        ------
        SessionNotFoundError
            The caller has no session of that id.
        SessionTableFullError
            There is no room for a new one.
        """
        session_id = invocation.session_id
        started = perf_counter_ns()
        if session_id is None or session_id == NEW_SESSION:
            session = self.sessions.create_session(user_id=invocation.caller.id)
            session.refresh(invocation.channel)
        else:
            session = self.session_of(invocation.caller, session_id, invocation.channel)
        self.metrics.record_session_sync((perf_counter_ns() - started) / 1e9)
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
        async with self.executor.state().turns.take(session_id):
            return rotated(self.sessions, self.session_of(caller, session_id))

    def start(self, invocation: Invocation, ended: Callable[[Run], object]) -> Run:
        """Begin a run, unless it is a retry of an earlier one.

        It runs on the app's event loop, which is the running one as a rule.

        What refuses the invocation is not raised here: the run has ended with that error.

        Parameters
        ----------
        invocation
            What to run.
        ended
            Called once with the run, on the event loop: before this returns if the run ended at
            once, and not at all after the run was given up.
        """
        try:
            state = self.executor.state()
        except OtherLoopError as error:
            forwarded = ForwardedRun(error.loop, ended)
            forwarded.begin(invocation, self.start)
            return forwarded
        if invocation.idempotency_key is not None:
            return self.replays.start(invocation, ended, self.start)
        run = AgentRun(ended)
        run.begin(self, state, invocation)
        return run

    async def execute(self, invocation: Invocation) -> Result:
        """Run a workflow and return its result; cancelling this gives the run up.

        Raises
        ------
        InvalidInputsError, SessionNotFoundError, OverloadedError, QuarantinedError,
        SessionTableFullError, IdempotencyKeyError, IdempotencyKeyReusedError
            The invocation was refused, and the agent was not called.
        DeadlineExceededError, AbandonedError
            The agent was called, and given up.
        AgentFailedError, ResultTooLargeError
            The agent raised, or returned something that has no JSON form, or too much.
        """
        waiter: asyncio.Future[None] | None = None

        def wake(_: Run) -> None:
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

        run = self.start(invocation, wake)
        if not run.ended:
            waiter = asyncio.get_running_loop().create_future()
            try:
                await waiter
            except BaseException:
                run.give_up()
                raise
        return run.outcome()
