"""Asynchronous agents in threads, with event loops of their own."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.runtime.breaker import Attempt, Breaker, Quarantine
from kaizen_nexus.runtime.errors import AgentExitError, AgentFailedError, DeadlineExceededError
from kaizen_nexus.runtime.executor import Executor
from kaizen_nexus.runtime.invocation import Invocation
from kaizen_nexus.runtime.isolation import IsolatedIterator, IsolatedSteps
from kaizen_nexus.runtime.service import Runtime
from kaizen_nexus.runtime.streaming import END
from kaizen_nexus.runtime.threads import ThreadPool

SOON = 0.05
PATIENCE = 30


def attempt() -> Attempt:
    return Breaker("agent", 1, Quarantine()).attempt()


async def run(executor: Executor, agent: Any) -> Any:
    """Run an agent that has blocked the event loop before."""
    runtime = Runtime(executor=executor)
    workflow = as_workflow(agent, "agent")
    deployment = runtime.registry.deploy(workflow, ["api"], prefix="/p", sessions=False)
    deployment.breaker.isolated = True
    return json.loads((await runtime.execute(Invocation(deployment, "api"))).body)


def steps_of(chunks: Any) -> IsolatedSteps:
    return IsolatedSteps(chunks, attempt(), ThreadPool(2), ThreadPool(2, withdraws=False))


async def until(condition: Any) -> None:
    while not condition():  # noqa: ASYNC110 - threads set no event of the loop
        await asyncio.sleep(0)


def test_it_runs_in_a_thread_and_may_use_its_loop() -> None:
    async def agent() -> list[Any]:
        await anyio.lowlevel.checkpoint()
        both = await asyncio.gather(asyncio.sleep(0, 1), asyncio.wait_for(asyncio.sleep(0, 2), 1))
        return [*both, threading.get_ident()]

    async def main() -> None:
        one, other, thread = await run(Executor(), agent)
        assert (one, other) == (1, 2)
        assert thread != threading.get_ident()

    asyncio.run(main())


def test_what_it_raises_is_raised_and_an_exit_ends_nothing_but_itself() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async def leave() -> None:
        raise SystemExit(3)

    async def cancel() -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        for agent, reason in ((fail, ""), (leave, "SystemExit"), (cancel, "cancelled itself")):
            with pytest.raises(AgentFailedError) as raised:
                await run(Executor(), agent)
            cause = raised.value.__cause__
            assert isinstance(cause, AgentExitError if reason else ZeroDivisionError)
            assert reason in str(cause)

    asyncio.run(main())


def test_one_that_waits_too_long_is_cancelled_in_its_thread() -> None:
    ended = threading.Event()

    async def agent() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def main() -> None:
        executor = Executor(timeout=SOON)
        with pytest.raises(DeadlineExceededError):
            await run(executor, agent)
        assert await asyncio.to_thread(ended.wait, PATIENCE)
        await until(lambda: (executor.pending, executor.abandoned_threads) == (0, 0))

    asyncio.run(main())


def test_a_generator_is_iterated_in_threads_and_closed_once() -> None:
    closed = []
    loop_threads = set()

    async def chunks() -> AsyncIterator[int]:
        try:
            for number in range(3):
                loop_threads.add(threading.get_ident())
                await asyncio.sleep(0)
                yield number
        finally:
            closed.append(True)

    async def main() -> None:
        steps = steps_of(chunks)
        assert [await steps.step() for _ in range(2)] == [0, 1]
        await steps.close()
        await steps.close()
        assert closed == [True]
        assert threading.get_ident() not in loop_threads

    asyncio.run(main())


def test_all_steps_of_a_generator_are_in_one_task_and_its_context() -> None:
    """Or it could not end in one step what it began in another, as it can on the event loop."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")
    tasks = []

    async def chunks() -> AsyncIterator[str]:
        token = variable.set("set")
        try:
            with anyio.CancelScope():
                for _ in range(3):
                    tasks.append(asyncio.current_task())
                    await asyncio.sleep(0)
                    yield variable.get()
        finally:
            variable.reset(token)
            tasks.append(asyncio.current_task())

    async def main() -> None:
        for taken, ended in ((4, [END]), (2, [])):
            steps = steps_of(chunks)
            words = ["set"] * (taken - len(ended))
            assert [await steps.step() for _ in range(taken)] == [*words, *ended]
            await steps.close()
            assert len(set(tasks)) == 1
            tasks.clear()

    asyncio.run(main())


@pytest.mark.parametrize("error", [ZeroDivisionError(), SystemExit(3), asyncio.CancelledError()])
def test_a_generator_that_fails_is_closed_all_the_same(error: BaseException) -> None:
    ended = []

    async def chunks() -> AsyncIterator[int]:
        try:
            yield 1
            raise error
        finally:
            ended.append(True)

    iterator = IsolatedIterator(chunks)
    assert next(iterator) == 1
    with pytest.raises(type(error)):
        next(iterator)
    iterator.close()
    assert ended == [True]


def test_a_step_may_be_cancelled_before_it_has_begun_and_not_when_it_is_over() -> None:
    async def chunks() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    iterator = IsolatedIterator(chunks)
    iterator.cancel()  # there is none
    assert next(iterator) == 0
    iterator.cancel()
    assert next(iterator) == 1
    ask = iterator._asked.put_nowait

    def cancelled_first(asked: Any) -> None:
        iterator.cancel()
        ask(asked)

    iterator._asked.put_nowait = cancelled_first  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        next(iterator)
    iterator._asked.put_nowait = ask  # type: ignore[method-assign]
    assert next(iterator) == 2
    iterator.close()


def test_a_generator_that_is_given_up_in_the_middle_of_a_step_is_cancelled() -> None:
    begun, ended = threading.Event(), threading.Event()

    async def chunks() -> AsyncIterator[int]:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        yield 1

    async def main() -> None:
        steps = steps_of(chunks)
        step = asyncio.ensure_future(steps.step())
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        step.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await step
        await steps.close()
        assert await asyncio.to_thread(ended.wait, PATIENCE)
        await until(lambda: steps._threads.abandoned == 0)

    asyncio.run(main())
