"""Asynchronous agents in threads, with event loops of their own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio.lowlevel
import pytest

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.runtime.breaker import Attempt, Breaker, Quarantine
from kaizen_nexus.runtime.errors import AgentExitError, DeadlineExceededError
from kaizen_nexus.runtime.executor import Executor

SOON = 0.05
PATIENCE = 30


def attempt() -> Attempt:
    return Breaker("agent", 1, Quarantine()).attempt()


async def run(executor: Executor, agent: Any, made: Attempt | None = None) -> Any:
    workflow = as_workflow(agent, "agent")
    call = partial(
        executor.call, workflow, {}, None, None, attempt() if made is None else made, isolated=True
    )
    return await executor.run(call)


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
        with pytest.raises(ZeroDivisionError):
            await run(Executor(), fail)
        with pytest.raises(AgentExitError, match="SystemExit"):
            await run(Executor(), leave)
        with pytest.raises(AgentExitError, match="cancelled itself"):
            await run(Executor(), cancel)

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


def test_one_that_blocks_is_abandoned_like_a_synchronous_one() -> None:
    release = threading.Event()
    breaker = Breaker("agent", 1, Quarantine())

    async def agent() -> None:
        release.wait(PATIENCE)

    async def main() -> None:
        executor = Executor(max_threads=1, timeout=SOON)
        with pytest.raises(DeadlineExceededError), breaker.attempt() as made:
            await run(executor, agent, made)
        await until(lambda: executor.abandoned_threads == 1)
        assert breaker.abandoned == 1
        release.set()
        await until(lambda: (executor.abandoned_threads, breaker.abandoned) == (0, 0))

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
        steps = Executor().steps(chunks(), isolated=True)
        assert [await steps.step() for _ in range(2)] == [0, 1]
        await steps.close()
        await steps.close()
        assert closed == [True]
        assert threading.get_ident() not in loop_threads

    asyncio.run(main())


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
        executor = Executor()
        steps = executor.steps(chunks(), isolated=True)
        step = asyncio.ensure_future(steps.step())
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        step.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await step
        await steps.close()
        assert await asyncio.to_thread(ended.wait, PATIENCE)
        await until(lambda: executor.abandoned_threads == 0)

    asyncio.run(main())
