"""How long agents run, in how many threads, and what becomes of those that are given up."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.runtime.errors import (
    AbandonedError,
    AgentFailedError,
    DeadlineExceededError,
    OverloadedError,
)
from kaizen_nexus.runtime.executor import WATCH_AFTER, Executor
from kaizen_nexus.runtime.invocation import Invocation, Result
from kaizen_nexus.runtime.run import Run
from kaizen_nexus.runtime.service import Runtime

SOON = 0.02
PATIENCE = 30


async def run(executor: Executor, agent: Callable[[], Any], **options: Any) -> Any:
    """Run an agent in an app of its own, and return what it returned."""
    runtime = Runtime(executor=executor)
    workflow = as_workflow(agent, "agent")
    deployment = runtime.registry.deploy(workflow, ["api"], prefix="/p", sessions=False)
    result = await runtime.execute(Invocation(deployment, "api", **options))
    return msgspec.json.decode(result.body)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop and the threads go on until `condition` holds; the test's time limits it."""
    while not condition():  # noqa: ASYNC110 - threads, and callbacks of the loop, set no event
        await asyncio.sleep(0)


def test_an_asynchronous_agent_that_takes_too_long_is_cancelled() -> None:
    ended = []

    async def agent() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def main() -> None:
        executor = Executor(timeout=SOON)
        with pytest.raises(DeadlineExceededError, match=r"no result within 0\.02 s"):
            await run(executor, agent)
        await until(lambda: executor.pending == 0)
        assert (ended, executor.timed_out, executor.given_up) == ([True], 1, 0)

    asyncio.run(main())


def test_one_that_does_not_let_itself_be_cancelled_keeps_nobody_waiting() -> None:
    async def main() -> None:
        executor = Executor(timeout=SOON)
        enough = asyncio.Event()

        async def agent() -> None:
            while not enough.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await enough.wait()

        with pytest.raises(DeadlineExceededError):
            await run(executor, agent)
        await asyncio.sleep(0)
        assert executor.pending == 1  # it is still there, and counts
        enough.set()
        await until(lambda: executor.pending == 0)

    asyncio.run(main())


def test_a_thread_that_is_given_up_leaves_its_place_to_others() -> None:
    release, ended = threading.Event(), threading.Event()

    def hang() -> None:
        release.wait(PATIENCE)
        ended.set()

    async def main() -> None:
        executor = Executor(max_threads=2, timeout=SOON)
        with pytest.raises(DeadlineExceededError):
            await run(executor, hang)
        await until(lambda: (executor.abandoned_threads, executor.pending) == (1, 0))
        executor.timeout = PATIENCE
        done = await asyncio.gather(*(run(executor, lambda: "done") for _ in range(8)))
        assert done == ["done"] * 8
        release.set()
        await until(lambda: executor.abandoned_threads == 0)
        assert ended.is_set()

    asyncio.run(main())


def test_threads_that_nobody_waits_for_are_bounded() -> None:
    release = threading.Event()

    async def main() -> None:
        executor = Executor(max_threads=2, timeout=SOON)
        for _ in range(8):
            with pytest.raises(DeadlineExceededError):
                await run(executor, lambda: release.wait(PATIENCE))
        await until(lambda: executor.abandoned_threads == 8)
        with pytest.raises(OverloadedError, match="8 threads are still running"):
            await run(executor, lambda: "done")
        release.set()
        await until(lambda: executor.abandoned_threads == 0)
        executor.timeout = PATIENCE
        assert await run(executor, lambda: "done") == "done"

    asyncio.run(main())


def test_waiting_for_a_thread_counts_and_what_has_not_begun_never_does() -> None:
    release = threading.Event()
    begun = []

    async def main() -> None:
        executor = Executor(max_threads=1, timeout=None)
        first = asyncio.ensure_future(run(executor, lambda: release.wait(PATIENCE)))
        await asyncio.sleep(0)
        executor.timeout = SOON
        with pytest.raises(DeadlineExceededError):
            await run(executor, lambda: begun.append(True))
        release.set()
        assert await first is True
        assert (begun, executor.abandoned_threads) == ([], 0)

    asyncio.run(main())


def test_nobody_works_for_a_caller_who_has_gone() -> None:
    async def main() -> None:
        executor = Executor()
        begun, ended = asyncio.Event(), asyncio.Event()

        async def agent() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        with pytest.raises(AbandonedError):
            await run(executor, agent, caller_gone=begun.wait)
        await ended.wait()
        await until(lambda: executor.pending == 0)
        assert (executor.given_up, executor.timed_out) == (1, 0)

    asyncio.run(main())


def test_a_caller_who_stays_gets_the_result_and_is_watched_no_longer() -> None:
    async def main() -> None:
        executor = Executor()
        watched, unwatched = asyncio.Event(), asyncio.Event()

        async def gone() -> None:
            watched.set()
            try:
                await asyncio.Event().wait()
            finally:
                unwatched.set()

        async def agent() -> str:
            await watched.wait()
            return "done"

        assert await run(executor, agent, caller_gone=gone) == "done"
        await unwatched.wait()

    asyncio.run(main())


def test_a_caller_who_is_cancelled_takes_the_agent_along() -> None:
    async def main() -> None:
        executor = Executor()
        begun, ended = asyncio.Event(), asyncio.Event()

        async def agent() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        caller = asyncio.ensure_future(run(executor, agent))
        await begun.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await ended.wait()
        await until(lambda: executor.pending == 0)

    asyncio.run(main())


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("leaving", [SystemExit(3), KeyboardInterrupt()])
def test_an_agent_that_exits_ends_nothing_but_itself(
    leaving: BaseException, is_async: bool
) -> None:
    def leave() -> None:
        raise leaving

    async def leave_asynchronously() -> None:
        raise leaving

    async def main() -> None:
        executor = Executor()
        with pytest.raises(AgentFailedError) as raised:
            await run(executor, leave_asynchronously if is_async else leave)
        assert type(leaving).__name__ in str(raised.value.__cause__)
        assert executor.pending == 0

    asyncio.run(main())


def test_an_agent_that_cancels_itself_has_failed() -> None:
    async def agent() -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        with pytest.raises(AgentFailedError) as raised:
            await run(Executor(), agent)
        assert "cancelled itself" in str(raised.value.__cause__)

    asyncio.run(main())


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), True, "1"])
def test_a_timeout_is_a_positive_number_of_seconds(timeout: Any) -> None:
    with pytest.raises(ValueError, match="timeout must be a positive number of seconds or None"):
        Executor(timeout=timeout)


def test_whether_a_caller_has_gone_that_cannot_be_told_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        asked = asyncio.Event()

        async def broken() -> None:
            asked.set()
            raise OSError("the connection cannot be read")

        async def agent() -> str:
            await asked.wait()
            for _ in range(5):
                await asyncio.sleep(0)
            return "done"

        executor = Executor()
        assert await run(executor, agent, caller_gone=broken) == "done"
        assert executor.given_up == 0

    asyncio.run(main())
    assert "cannot tell whether a caller has gone" in caplog.text


def test_a_deadline_counts_from_the_start_and_not_from_the_first_look() -> None:
    async def main() -> None:
        executor = Executor(timeout=4 * WATCH_AFTER)
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(DeadlineExceededError):
            await run(executor, asyncio.Event().wait)
        assert loop.time() - began > 3.9 * WATCH_AFTER
        assert executor.timed_out == 1

    asyncio.run(main())


def test_an_app_moves_to_the_next_event_loop_when_the_first_has_ended() -> None:
    executor = Executor(max_pending=1)

    async def work() -> str:
        return "done"

    for _ in range(2):
        assert asyncio.run(run(executor, work)) == "done"


def test_what_is_asked_for_on_another_event_loop_runs_on_the_app_s() -> None:
    runtime = Runtime()
    heard: list[tuple[bytes, int]] = []
    ended: list[int] = []
    begun, cancelled = threading.Event(), threading.Event()

    async def chunks() -> AsyncIterator[int]:
        yield threading.get_ident()

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def emit(chunk: bytes) -> None:
        await asyncio.sleep(0)
        heard.append((chunk, threading.get_ident()))

    def invocation(agent: Any, **options: Any) -> Invocation:
        workflow = as_workflow(agent, agent.__name__)
        deployment = runtime.registry.deploy(workflow, ["api"], prefix="/p", sessions=False)
        return Invocation(deployment, "api", **options)

    async def elsewhere() -> Result:
        result = await runtime.execute(invocation(chunks, emit=emit, idempotency_key="key"))
        again = await runtime.execute(invocation(chunks, emit=emit, idempotency_key="key"))
        assert (result.replayed, again.replayed) == (False, True)
        left = runtime.start(invocation(hang), lambda _: ended.append(threading.get_ident()))
        assert not left.ended
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        left.give_up()
        with pytest.raises(AbandonedError):
            left.outcome()
        with pytest.raises(OverloadedError):
            await runtime.execute(invocation(refused))
        return result

    async def refused() -> None:
        raise OverloadedError("nothing is to be done")

    async def main() -> None:
        await runtime.execute(invocation(chunks))
        result = await asyncio.to_thread(asyncio.run, elsewhere())
        own = threading.get_ident()
        assert msgspec.json.decode(result.body) == [own]
        assert [msgspec.json.decode(chunk) for chunk, _ in heard] == [own]
        assert heard[0][1] != own
        assert await asyncio.to_thread(cancelled.wait, PATIENCE)
        await until(lambda: runtime.executor.pending == 0)
        assert not ended

    asyncio.run(main())


def test_what_an_event_loop_left_behind_takes_no_place_on_the_next() -> None:
    executor = Executor(max_pending=1)
    left = asyncio.new_event_loop()
    waiting = left.create_task(run(executor, asyncio.Event().wait))
    left.call_soon(left.call_soon, left.stop)
    left.run_forever()
    assert executor.pending == 1
    left.close()
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]  # that is the case here

    async def work() -> str:
        return "done"

    assert asyncio.run(run(executor, work)) == "done"
    assert executor.pending == 0


def test_one_whose_first_step_takes_too_long_is_told_of_before_start_returns() -> None:
    told: list[Run] = []

    async def agent() -> None:
        time.sleep(2 * SOON)  # noqa: ASYNC251 - that is what it does
        await asyncio.Event().wait()

    async def main() -> None:
        runtime = Runtime(executor=Executor(timeout=SOON))
        workflow = as_workflow(agent, "agent")
        deployment = runtime.registry.deploy(workflow, ["api"], prefix="/p", sessions=False)
        run = runtime.start(Invocation(deployment, "api"), told.append)
        assert run.ended
        assert told == [run]
        with pytest.raises(DeadlineExceededError):
            run.outcome()
        await until(lambda: runtime.executor.pending == 0)
        assert told == [run]

    asyncio.run(main())


@pytest.mark.parametrize("waits", [False, True])
def test_a_failure_that_was_raised_leaves_no_cycle_behind(
    waits: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "kaizen_nexus")  # what is captured keeps the exception

    class NotHereError(Exception):
        pass

    async def fail() -> None:
        if waits:
            await asyncio.sleep(0)
        raise NotHereError

    async def main() -> weakref.ref[BaseException]:
        try:
            await run(Executor(), fail)
        except AgentFailedError as error:
            return weakref.ref(error.__cause__ or error)
        raise AssertionError

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(main())() is None
    finally:
        gc.enable()


def test_the_clock_stops_when_no_run_waits() -> None:
    async def main() -> None:
        executor = Executor()
        assert await run(executor, partial(asyncio.sleep, 2 * WATCH_AFTER, "done")) == "done"
        await until(lambda: not executor.state().clock.ticking)

    asyncio.run(main())
