"""Agents that go on although they were given up: they count until they end, and are bounded."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.runtime.breaker import Quarantine
from kaizen_nexus.runtime.deployed import Deployment
from kaizen_nexus.runtime.errors import AbandonedError, DeadlineExceededError, QuarantinedError
from kaizen_nexus.runtime.executor import Executor
from kaizen_nexus.runtime.invocation import Invocation
from kaizen_nexus.runtime.registry import Registry
from kaizen_nexus.runtime.service import Runtime

SOON = 0.05
PATIENCE = 30


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - threads set no event of the loop
        await asyncio.sleep(0)


class Hanging:
    """Agents of all kinds that hang in one place until they are released."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.reached = threading.Semaphore(0)

    def hang(self) -> None:
        self.reached.release()
        self.released.wait(PATIENCE)

    def function(self) -> None:
        self.hang()

    def first_step(self) -> Iterator[int]:
        self.hang()
        yield 1

    def later_step(self) -> Iterator[int]:
        yield 1
        self.hang()

    def closing(self) -> Iterator[int]:
        try:
            yield 1
        finally:
            self.hang()

    async def isolated_function(self) -> None:
        self.hang()

    async def isolated_step(self) -> AsyncIterator[int]:
        yield 1
        self.hang()

    async def isolated_closing(self) -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            self.hang()


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    agents = Hanging()
    yield agents
    agents.released.set()


def deployed(agent: Any, **bounds: Any) -> tuple[Runtime, Deployment]:
    registry = Registry(quarantine=Quarantine(max_abandoned=2))
    runtime = Runtime(executor=Executor(**bounds), registry=registry)
    workflow = as_workflow(agent, "it")
    return runtime, registry.deploy(workflow, ["api"], prefix="/p", sessions=False)


class Unread:
    """A reader that takes a chunk and asks for no more."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()

    async def __call__(self, _: bytes) -> None:
        self.reached.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    "name",
    [
        "function",
        "first_step",
        "later_step",
        "closing",
        "isolated_function",
        "isolated_step",
        "isolated_closing",
    ],
)
def test_agents_that_hang_in_threads_are_counted_and_quarantined(
    hanging: Hanging, name: str
) -> None:
    async def main() -> None:
        runtime, deployment = deployed(getattr(hanging, name))
        breaker = deployment.breaker
        breaker.isolated = name.startswith("isolated")
        for number in range(2):
            reader = Unread() if name.endswith("closing") else None
            run = runtime.start(Invocation(deployment, "api", emit=reader), lambda _: None)
            if reader is not None:
                await reader.reached.wait()
                run.give_up()
            assert await asyncio.to_thread(hanging.reached.acquire, timeout=PATIENCE)
            run.give_up()
            assert breaker.abandoned == number + 1
        for _ in range(3):
            with pytest.raises(QuarantinedError):
                await runtime.execute(Invocation(deployment, "api"))
        assert breaker.refused == 3
        hanging.released.set()
        await until(lambda: breaker.abandoned == runtime.executor.abandoned_threads == 0)
        await until(lambda: runtime.executor.pending == 0)

    asyncio.run(main())


@pytest.mark.parametrize("isolated", [False, True])
def test_a_generator_that_is_given_up_between_two_steps_is_closed_and_counts_no_longer(
    isolated: bool,
) -> None:
    closed = threading.Event()

    def agent() -> Iterator[int]:
        try:
            yield 1
        finally:
            closed.set()

    async def isolated_agent() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            closed.set()

    async def main() -> None:
        runtime, deployment = deployed(isolated_agent if isolated else agent)
        deployment.breaker.isolated = isolated
        reader = Unread()
        run = runtime.start(Invocation(deployment, "api", emit=reader), lambda _: None)
        await reader.reached.wait()
        run.give_up()
        assert deployment.breaker.abandoned == 1
        assert await asyncio.to_thread(closed.wait, PATIENCE)
        await until(lambda: deployment.breaker.abandoned == runtime.executor.pending == 0)

    asyncio.run(main())


def test_an_agent_that_is_given_up_before_it_began_is_never_called(hanging: Hanging) -> None:
    called: list[bool] = []

    async def main() -> None:
        runtime, deployment = deployed(hanging.function, max_threads=1)
        other = as_workflow(lambda: called.append(True), "other")
        waits = runtime.registry.deploy(other, ["api"], prefix="/p", sessions=False)
        runtime.limits.set("other", timeout=SOON)
        first = asyncio.ensure_future(runtime.execute(Invocation(deployment, "api")))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceededError):
            await runtime.execute(Invocation(waits, "api"))
        assert (waits.breaker.abandoned, waits.breaker.stats()) == (0, None)
        hanging.released.set()
        await first
        assert not called

    asyncio.run(main())


def test_one_that_hangs_on_the_event_loop_counts_until_it_ends() -> None:
    async def main() -> None:
        enough = asyncio.Event()

        async def agent() -> None:
            while not enough.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await enough.wait()

        runtime, deployment = deployed(agent)
        runtime.executor.timeout = SOON
        for _ in range(2):
            with pytest.raises(DeadlineExceededError):
                await runtime.execute(Invocation(deployment, "api"))
        with pytest.raises(QuarantinedError):
            await runtime.execute(Invocation(deployment, "api"))
        assert (deployment.breaker.abandoned, runtime.executor.pending) == (2, 2)
        enough.set()
        await until(lambda: deployment.breaker.abandoned == runtime.executor.pending == 0)

    asyncio.run(main())


def test_nobody_is_told_of_a_run_that_was_given_up(hanging: Hanging) -> None:
    told: list[object] = []

    async def main() -> None:
        runtime, deployment = deployed(hanging.function)
        run = runtime.start(Invocation(deployment, "api"), told.append)
        assert not run.ended
        run.give_up()
        assert run.ended
        run.give_up()
        with pytest.raises(AbandonedError):
            run.outcome()
        hanging.released.set()
        await until(lambda: runtime.executor.pending == 0)
        assert (told, runtime.executor.given_up) == ([], 1)

    asyncio.run(main())
