"""An agent whose first step is taken at once finds everything as it would in a task of its own."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.runtime import tasks
from kaizen_nexus.runtime.errors import AgentFailedError, DeadlineExceededError
from kaizen_nexus.runtime.executor import Executor
from kaizen_nexus.runtime.invocation import Invocation
from kaizen_nexus.runtime.run import Run
from kaizen_nexus.runtime.service import Runtime
from kaizen_nexus.runtime.tasks import MAX_SPARE, SpareTasks, tasks_of
from kaizen_nexus.runtime.watchdog import INTERVAL, Watchdog

SOON = 0.02
PATIENCE = 30

Main = Callable[[], Coroutine[Any, Any, Any]]


def _loops() -> Iterator[Any]:
    yield pytest.param(asyncio.new_event_loop, id="asyncio")
    with contextlib.suppress(ImportError):
        yield pytest.param(importlib.import_module("uvloop").new_event_loop, id="uvloop")


@pytest.fixture(params=_loops())
def run_main(request: pytest.FixtureRequest) -> Callable[[Main], None]:
    """Run a coroutine function to its end on an event loop, as `asyncio.run` does."""

    def run(main: Main) -> None:
        loop = request.param()
        complaints: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, complaint: complaints.append(complaint))
        try:
            loop.run_until_complete(main())
        finally:
            loop.run_until_complete(cancel_the_others())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
        assert not complaints

    return run


async def cancel_the_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class App:
    """A runtime; agents are given to it as they are."""

    def __init__(self, **bounds: Any) -> None:
        self.runtime = Runtime(executor=Executor(**bounds))

    def invocation(
        self, agent: Callable[[], Any], keep_in: list[Any] | None = None, **options: Any
    ) -> Invocation:
        async def keep() -> None:
            result = await agent()
            if keep_in is not None:
                keep_in.append(result)

        workflow = as_workflow(keep, "it")
        deploy = self.runtime.registry.deploy
        return Invocation(deploy(workflow, ["api"], prefix="/p", sessions=False), "api", **options)

    async def run(self, agent: Callable[[], Any], **options: Any) -> Any:
        """Return what an agent returned: not all that these do can be sent."""
        results: list[Any] = []
        await self.runtime.execute(self.invocation(agent, results, **options))
        return results.pop()

    def start(
        self, agent: Callable[[], Any], keep_in: list[Any] | None = None
    ) -> tuple[Run, asyncio.Event]:
        over = asyncio.Event()
        return self.runtime.start(self.invocation(agent, keep_in), lambda _: over.set()), over


async def nothing() -> None:
    """Wait for nothing."""


async def a_turn() -> None:
    await asyncio.sleep(0)


async def a_moment() -> None:
    await asyncio.sleep(0.001)


@pytest.mark.parametrize("wait", [nothing, a_turn, a_moment])
def test_only_what_waits_is_over_later(run_main: Callable[[Main], None], wait: Main) -> None:
    async def main() -> None:
        app = App()
        run, over = app.start(wait)
        assert run.ended is over.is_set() is (wait is nothing)
        await asyncio.wait_for(over.wait(), PATIENCE)
        assert run.ended
        assert run.outcome().body == b"null"
        assert app.runtime.executor.pending == 0

    run_main(main)


@pytest.mark.parametrize("wait", [nothing, a_turn, a_moment])
def test_it_is_one_task_from_the_first_step_to_the_last_and_not_the_caller_s(
    run_main: Callable[[Main], None], wait: Main
) -> None:
    async def agent() -> tuple[Any, Any, str]:
        first = asyncio.current_task()
        await wait()
        assert first is not None
        return first, asyncio.current_task(), first.get_name()

    async def main() -> None:
        caller = asyncio.current_task()
        app = App()
        first, last, name = await app.run(agent)
        assert first is last
        assert isinstance(first, asyncio.Task)
        assert first is not caller
        assert name
        assert asyncio.current_task() is caller
        results: list[Any] = []
        asyncio.get_running_loop().call_soon(app.start, agent, results)  # outside any task
        while not results:  # noqa: ASYNC110 - the agent sets no event
            await asyncio.sleep(0)
        first, last, _ = results.pop()
        assert first is last

    run_main(main)


@pytest.mark.parametrize("wait", [nothing, a_turn, a_moment])
def test_context_variables_are_inherited_and_do_not_leak(
    run_main: Callable[[Main], None], wait: Main
) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    async def agent() -> list[str]:
        found = [variable.get()]
        variable.set("agent's")
        await wait()
        found.append(variable.get())
        child = asyncio.ensure_future(look())
        await child
        return [*found, child.result()]

    async def look() -> str:
        return variable.get()

    async def main() -> None:
        app = App()
        told: list[str] = []
        assert await app.run(agent) == ["unset", "agent's", "agent's"]
        assert variable.get() == "unset"
        assert await app.run(agent) == ["unset", "agent's", "agent's"]
        variable.set("caller's")
        assert await app.run(agent) == ["caller's", "agent's", "agent's"]
        over = asyncio.Event()

        def ended(_: Run) -> None:
            told.append(variable.get())
            over.set()

        app.runtime.start(app.invocation(agent), ended)
        await over.wait()
        assert told == [variable.get()] == ["caller's"]

    run_main(main)


@pytest.mark.parametrize("wait", [nothing, a_turn, a_moment])
def test_timeouts_and_groups(run_main: Callable[[Main], None], wait: Main) -> None:
    async def agent() -> list[Any]:
        await wait()
        done = [await asyncio.wait_for(asyncio.sleep(0, "waited for"), PATIENCE)]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), SOON)
        done.extend(await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2)))
        if sys.version_info >= (3, 11):
            async with asyncio.timeout(PATIENCE):
                await asyncio.sleep(0)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(SOON):
                    await asyncio.Event().wait()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(-1):
                    await asyncio.Event().wait()
            async with asyncio.TaskGroup() as group:
                child = group.create_task(asyncio.sleep(0, 3))
            done.append(child.result())
            with pytest.raises(BaseExceptionGroup):  # noqa: F821 - from 3.11 on
                await failing_group()
        return done

    async def failing_group() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.Event().wait()

    async def fail() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        app = App()
        for _ in range(3):  # a task that was cancelled must not be used again
            done = await app.run(agent)
            assert done == ["waited for", 1, 2, 3][: len(done)]
            await app.run(nothing)
            await app.run(a_turn)

    run_main(main)


@pytest.mark.parametrize("wait", [nothing, a_turn, a_moment])
def test_cancel_scopes_and_groups_of_anyio(run_main: Callable[[Main], None], wait: Main) -> None:
    limiter = []

    async def agent() -> str:
        await wait()
        with anyio.move_on_after(SOON) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        with anyio.CancelScope() as own:
            own.cancel()
            await anyio.lowlevel.checkpoint()
        assert own.cancelled_caught
        limiter.append(anyio.CapacityLimiter(1))
        async with limiter[0], anyio.create_task_group() as group:
            assert limiter[0].statistics().borrowers == (asyncio.current_task(),)
            group.start_soon(anyio.sleep, 0)
        with pytest.raises(Exception, match="unhandled errors"):
            await failing_group()
        assert (
            await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(asyncio.sleep, 0)) is None
        )
        return "done"

    async def failing_group() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(fail)
            await anyio.sleep_forever()

    async def fail() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        app = App()
        for _ in range(3):
            limiter.clear()
            assert await app.run(agent) == "done"

    run_main(main)


@pytest.mark.parametrize("wait", [nothing, a_turn, a_moment])
@pytest.mark.parametrize("caught", [True, False])
@pytest.mark.parametrize("then", [nothing, a_turn, a_moment])
def test_an_agent_may_cancel_itself(
    run_main: Callable[[Main], None], wait: Main, caught: bool, then: Main
) -> None:
    async def agent() -> str:
        await wait()
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await then()
        except asyncio.CancelledError:
            if not caught:
                raise
            if sys.version_info >= (3, 11):
                assert task.cancelling() == 1
                task.uncancel()
            return "caught"
        return "not yet"

    async def main() -> None:
        app = App()
        for _ in range(3):
            if then is nothing or caught:
                expected = "not yet" if then is nothing else "caught"
                assert await app.run(agent) == expected
            else:
                with pytest.raises(AgentFailedError) as raised:
                    await app.run(agent)
                assert "cancelled itself" in str(raised.value.__cause__)
            assert await app.run(others) == "well"  # nobody else is cancelled for it

    async def others() -> str:
        for _ in range(3):
            await asyncio.sleep(0)
        return "well"

    run_main(main)


def test_what_it_waits_for_is_cancelled_with_it(run_main: Callable[[Main], None]) -> None:
    async def main() -> None:
        app = App()
        inner = asyncio.get_running_loop().create_future()

        async def agent() -> None:
            await inner

        run, _ = app.start(agent)
        run.give_up()
        await asyncio.sleep(0.001)
        assert inner.cancelled()
        shielded = asyncio.get_running_loop().create_future()

        async def careful() -> None:
            await asyncio.shield(shielded)

        run, _ = app.start(careful)
        await asyncio.sleep(0)
        run.give_up()
        await asyncio.sleep(0.001)
        assert not shielded.done()
        assert app.runtime.executor.pending == 0

    run_main(main)


@pytest.mark.parametrize("wait", [nothing, a_turn, a_moment])
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_whatever_it_raises_ends_nothing_but_itself(
    run_main: Callable[[Main], None], wait: Main, error: BaseException
) -> None:
    async def agent() -> None:
        await wait()
        raise error

    async def main() -> None:
        app = App()
        for _ in range(3):
            with pytest.raises(AgentFailedError) as raised:
                await app.run(agent)
            assert repr(error) in repr(raised.value.__cause__)
            assert await app.run(a_turn) is None

    run_main(main)


def test_an_exception_of_what_it_awaits_arrives(run_main: Callable[[Main], None]) -> None:
    async def main() -> None:
        app = App()
        failing = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(failing.set_exception, ZeroDivisionError())

        async def agent() -> str:
            with pytest.raises(ZeroDivisionError):
                await failing
            return "survived"

        async def waits_for_itself() -> None:
            await asyncio.current_task()  # type: ignore[misc]

        assert await app.run(agent) == "survived"
        with pytest.raises(AgentFailedError) as raised:
            await app.run(waits_for_itself)
        assert isinstance(raised.value.__cause__, RuntimeError)

    run_main(main)


@pytest.mark.parametrize("wait", [nothing, a_turn, a_moment])
def test_agents_may_run_and_deploy_others(run_main: Callable[[Main], None], wait: Main) -> None:
    async def main() -> None:
        app = App()

        async def agent(depth: int = 5) -> int:
            task = asyncio.current_task()
            await wait()
            found = 0 if depth == 0 else await app.run(lambda: agent(depth - 1))
            assert asyncio.current_task() is task
            return int(found) + 1

        assert await app.run(agent) == 6
        results = await asyncio.gather(*(app.run(agent) for _ in range(20)))
        assert results == [6] * 20

    run_main(main)


def test_a_deadline_ends_what_waits_since_its_first_step(run_main: Callable[[Main], None]) -> None:
    async def agent() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        app = App(timeout=SOON)
        with pytest.raises(DeadlineExceededError):
            await app.run(agent)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert app.runtime.executor.pending == 0

    run_main(main)


def test_many_runs_at_a_time_have_a_task_each(run_main: Callable[[Main], None]) -> None:
    count = 3 * MAX_SPARE
    seen: set[Any] = set()

    async def main() -> None:
        app = App()
        go = asyncio.Event()

        async def agent() -> int:
            seen.add(asyncio.current_task())
            await go.wait()
            return len(seen)

        for _ in range(2):
            seen.clear()
            go.clear()
            runs = [asyncio.ensure_future(app.run(agent)) for _ in range(count)]
            await asyncio.sleep(0)
            assert len(seen) == count
            go.set()
            assert await asyncio.gather(*runs) == [count] * count
        await asyncio.sleep(0)
        state = app.runtime.executor.state()
        if isinstance(state.tasks, SpareTasks):
            assert len(state.tasks._idle) == MAX_SPARE
        assert len(asyncio.all_tasks()) <= MAX_SPARE + 1

    run_main(main)


def test_somebody_who_cancels_all_tasks_does_not_cancel_later_runs(
    run_main: Callable[[Main], None],
) -> None:
    async def main() -> None:
        app = App()
        await asyncio.gather(*(app.run(a_moment) for _ in range(5)))
        own = asyncio.current_task()
        for task in asyncio.all_tasks() - {own}:  # type: ignore[arg-type]
            task.cancel()
        assert await app.run(a_moment) is None
        assert await app.run(nothing) is None

    run_main(main)


@pytest.mark.parametrize("wait", [nothing, a_turn])
@pytest.mark.parametrize("part", [False, True], ids=["itself", "a task it started"])
def test_an_agent_that_blocks_the_loop_is_found_out(
    run_main: Callable[[Main], None], wait: Main, part: bool
) -> None:
    async def main() -> None:
        now = [100.0]
        app = App()
        dog = Watchdog(clock=lambda: now[0])
        dog.attach()

        def looks() -> None:
            for _ in range(20):
                now[0] += INTERVAL
                dog.look()

        async def block() -> None:
            thread = threading.Thread(target=looks)
            thread.start()
            thread.join(PATIENCE)

        async def agent() -> None:
            await wait()
            await (asyncio.ensure_future(block()) if part else block())

        invocation = app.invocation(agent)
        await app.runtime.execute(invocation)
        assert invocation.deployment.breaker.blocked == 1
        assert invocation.deployment.breaker.history == 1  # a run that blocks has failed
        await app.run(nothing)
        assert invocation.deployment.breaker.blocked == 1

    run_main(main)


def test_a_stack_shows_where_the_agent_is(run_main: Callable[[Main], None]) -> None:
    async def main() -> None:
        app = App()
        found: list[Any] = []

        async def agent() -> None:
            found.append(asyncio.current_task())
            await asyncio.sleep(0.01)

        run, over = app.start(agent)
        await asyncio.sleep(0)
        assert found[0].get_stack()
        assert repr(found[0])
        await over.wait()
        assert run.ended

    run_main(main)


def test_others_may_await_what_a_first_step_waits_for(run_main: Callable[[Main], None]) -> None:
    async def main() -> None:
        loading = asyncio.get_running_loop().create_future()

        async def load() -> int:
            value: int = await loading
            return value

        app = App()
        results: list[int] = []
        runs = [app.start(load, results) for _ in range(2)]
        bystander = asyncio.ensure_future(load())
        await asyncio.sleep(0)
        loading.set_result(7)
        for run, over in runs:
            await over.wait()
            run.outcome()
        assert await bystander == 7
        assert results == [7, 7]

    run_main(main)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="asyncio's own tasks are used")
def test_a_task_that_ended_with_an_error_is_not_used_again() -> None:
    complaints = []

    def fail() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, complaint: complaints.append(complaint))
        starter = SpareTasks(loop)
        failed = starter.start(a_turn(), fail)
        assert failed is not None
        with pytest.raises(ZeroDivisionError):
            await failed
        over = asyncio.Event()
        later = starter.start(a_turn(), over.set)
        assert later is not failed
        await asyncio.wait_for(over.wait(), PATIENCE)

    asyncio.run(main())


def test_the_eager_tasks_of_asyncio_are_used_where_there_are_any() -> None:
    expected = "EagerTasks" if sys.version_info >= (3, 12) else "SpareTasks"
    assert tasks_of is getattr(tasks, expected)
