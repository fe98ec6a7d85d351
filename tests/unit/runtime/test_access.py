"""What the runtime lets whom do, whatever the channel."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kaizen_nexus.access.callers import ANONYMOUS, LOCAL, Caller
from kaizen_nexus.access.errors import ForbiddenError, UnauthenticatedError
from kaizen_nexus.access.policy import Access, granted
from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.runtime.errors import SessionNotFoundError
from kaizen_nexus.runtime.invocation import NEW_SESSION, Invocation
from kaizen_nexus.runtime.service import Runtime

ADA = Caller("ada", frozenset({"wait", "note"}), authenticated=True)
EVE = Caller("eve", None, authenticated=True)


def note(word: str = "", session: Any = None) -> str:
    if session is not None:
        session.update_state({word: True})
    return word


def runtime_with(agent: Any, enforced: bool = True) -> Runtime:
    runtime = Runtime(access=Access(enforced))
    workflow = as_workflow(agent, agent.__name__)
    runtime.registry.deploy(workflow, ["api"], prefix="/api/workflows", sessions=False)
    return runtime


def run(runtime: Runtime, caller: Caller, name: str = "note", session: str | None = None) -> Any:
    deployment = runtime.find(caller, name, "api")
    return runtime.execute(Invocation(deployment, "api", session_id=session, caller=caller))


def test_a_scope_is_a_workflows_name() -> None:
    access = Access(enforced=True)
    access.require(ADA, "note")
    access.require(EVE, "anything")
    with pytest.raises(ForbiddenError):
        access.require(ADA, "other")
    with pytest.raises(UnauthenticatedError):
        access.require(ANONYMOUS, "note")
    assert granted(["a", "*"]) is None
    assert granted([]) == frozenset()


def test_nobody_is_let_in_who_is_not_known() -> None:
    runtime = runtime_with(note)
    with pytest.raises(UnauthenticatedError):
        asyncio.run(run(runtime, ANONYMOUS))
    assert asyncio.run(run(runtime, LOCAL)).body == b'""'  # who started the process


def test_without_authentication_sessions_are_everybodys() -> None:
    runtime = runtime_with(note, enforced=False)
    session = asyncio.run(run(runtime, ADA, session=NEW_SESSION)).session_id
    assert asyncio.run(run(runtime, EVE, session=session)).session_id == session


def test_nobody_waits_in_the_line_of_anothers_session() -> None:
    async def scenario() -> None:
        running, go_on = asyncio.Event(), asyncio.Event()

        async def wait(session: Any = None) -> str:
            running.set()
            await go_on.wait()
            return "done"

        runtime = runtime_with(wait)
        session = runtime.sessions.create_session(user_id=ADA.id).session_id
        own = asyncio.ensure_future(run(runtime, ADA, "wait", session))
        await running.wait()
        with pytest.raises(SessionNotFoundError):
            await run(runtime, EVE, "wait", session)
        assert not own.done()
        go_on.set()
        assert (await own).body == b'"done"'

    asyncio.run(scenario())


def test_who_loses_a_session_while_waiting_for_it_does_not_get_it() -> None:
    async def scenario() -> None:
        running, go_on = asyncio.Event(), asyncio.Event()

        async def wait(session: Any = None) -> str:
            running.set()
            await go_on.wait()
            return "done"

        runtime = runtime_with(wait)
        session = runtime.sessions.create_session(user_id=ADA.id)
        first = asyncio.ensure_future(run(runtime, ADA, "wait", session.session_id))
        await running.wait()
        second = asyncio.ensure_future(run(runtime, ADA, "wait", session.session_id))
        await asyncio.sleep(0)
        session.user_id = EVE.id
        go_on.set()
        await first
        with pytest.raises(SessionNotFoundError):
            await second

    asyncio.run(scenario())


def test_a_session_is_rotated_when_nothing_runs_on_it() -> None:
    async def scenario() -> None:
        running, go_on = asyncio.Event(), asyncio.Event()

        async def wait(session: Any = None) -> str:
            running.set()
            await go_on.wait()
            session.update_state({"late": True})
            return "done"

        runtime = runtime_with(wait)
        session = runtime.sessions.create_session(user_id=ADA.id)
        old = session.session_id
        own = asyncio.ensure_future(run(runtime, ADA, "wait", old))
        await running.wait()
        with pytest.raises(SessionNotFoundError):
            await runtime.rotate(EVE, old)
        rotating = asyncio.ensure_future(runtime.rotate(ADA, old))
        await asyncio.sleep(0)
        assert not rotating.done()
        go_on.set()
        await own
        successor = await rotating
        assert successor.session_id != old
        assert successor.state == {"late": True}
        assert successor.ttl == session.ttl
        assert runtime.sessions.get_session(old) is None
        assert runtime.session_of(ADA, successor.session_id) == successor
        with pytest.raises(SessionNotFoundError):
            await runtime.rotate(ADA, old)

    asyncio.run(scenario())
