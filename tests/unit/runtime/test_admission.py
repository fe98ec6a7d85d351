"""How many run at once, of all and of each, and who waits for whom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

import pytest

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.runtime.admission import Gate, Limits
from kaizen_nexus.runtime.errors import DeadlineExceededError, OverloadedError
from kaizen_nexus.runtime.executor import Executor
from kaizen_nexus.runtime.invocation import Invocation
from kaizen_nexus.runtime.service import Runtime

SOON = 0.02
PATIENCE = 30


class Agents:
    """Agents that all run until they are released, and tell how many do at the same time."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.begun: list[int] = []
        self.running = 0
        self.most = 0

    def agent(self, number: int) -> Callable[[], Coroutine[Any, Any, int]]:
        async def run() -> int:
            self.begun.append(number)
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                await self.release.wait()
            finally:
                self.running -= 1
            return number

        return run


async def settle() -> None:
    """Let everything go on that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def refused() -> None:
    raise AssertionError("this was not to be called")


class App:
    """A runtime that runs whatever it is given, under a name that may have a limit."""

    def __init__(self, **bounds: Any) -> None:
        self.runtime = Runtime(executor=Executor(**bounds))
        self.executor, self.limits = self.runtime.executor, self.runtime.limits

    async def run(self, agent: Callable[[], Any], name: str = "other") -> Any:
        deploy = self.runtime.registry.deploy
        deployment = deploy(as_workflow(agent, name), ["api"], prefix="/p", sessions=False)
        return json.loads((await self.runtime.execute(Invocation(deployment, "api"))).body)

    def start(self, agents: Agents, numbers: Iterable[int], name: str = "other") -> list[Any]:
        return [asyncio.ensure_future(self.run(agents.agent(each), name)) for each in numbers]

    @property
    def counts(self) -> tuple[int, int]:
        """How many are pending, and how many wait for the limit of all."""
        return self.executor.pending, self.executor.gate.waiting


def test_those_beyond_the_limit_wait_and_run_in_the_order_of_arrival() -> None:
    async def main() -> None:
        agents = Agents()
        app = App(max_pending=20, max_running=3)
        runs = app.start(agents, range(20))
        await settle()
        assert (agents.begun, app.counts) == ([0, 1, 2], (20, 17))
        with pytest.raises(OverloadedError, match="20 invocations are in progress"):
            await app.run(refused)
        agents.release.set()
        assert await asyncio.gather(*runs) == list(range(20))
        assert (agents.begun, agents.most) == (list(range(20)), 3)
        assert (app.counts, app.executor.gate.refused) == ((0, 0), 1)

    asyncio.run(main())


def test_who_waits_for_one_workflow_takes_no_place_from_the_others() -> None:
    async def main() -> None:
        agents = Agents()
        app = App(max_pending=2)
        app.limits.set("slow", max_running=1, max_waiting=50)
        slow = app.start(agents, range(51), "slow")
        await settle()
        assert (agents.begun, app.counts) == ([0], (1, 0))
        for _ in range(100):
            assert await app.run(healthy, "healthy") == "well"
        with pytest.raises(OverloadedError, match="51 invocations of 'slow' are in progress"):
            await app.run(refused, "slow")
        assert app.limits.stats()["slow"] == {
            "max_running": 1,
            "max_waiting": 50,
            "timeout": None,
            "running": 1,
            "waiting": 50,
            "refused": 1,
        }
        agents.release.set()
        assert await asyncio.gather(*slow) == list(range(51))
        assert agents.most == 1

    async def healthy() -> str:
        return "well"

    asyncio.run(main())


def test_what_a_workflow_s_limit_lets_through_waits_for_the_limit_of_all() -> None:
    async def main() -> None:
        agents = Agents()
        app = App(max_pending=2, max_running=1)
        app.limits.set("some", max_running=2, max_waiting=2)
        first = app.start(agents, [0])
        await settle()
        others = app.start(agents, [1, 2], "some")
        await settle()
        with pytest.raises(OverloadedError, match="2 invocations are in progress"):
            await others[1]  # its workflow had a place for it, the app had none
        assert (app.limits.stats()["some"]["running"], app.counts) == (1, (2, 1))
        agents.release.set()
        assert await asyncio.gather(*first, others[0]) == [0, 1]
        assert (app.counts, app.limits.stats()["some"]["running"]) == ((0, 0), 0)

    asyncio.run(main())


def test_waiting_counts_against_the_deadline_and_a_place_is_given_back() -> None:
    async def main() -> None:
        agents = Agents()
        app = App()
        app.limits.set("slow", max_running=1, timeout=SOON)
        runs = app.start(agents, range(3), "slow")
        ended = await asyncio.gather(*runs, return_exceptions=True)
        assert [type(each) for each in ended] == [DeadlineExceededError] * 3
        assert "no result within 0.02 s" in str(ended[2])
        assert agents.begun[0] == 0
        agents.release.set()
        app.limits.set("slow", max_running=1)
        assert await app.run(agents.agent(3), "slow") == 3
        assert (app.limits.stats()["slow"]["running"], app.counts) == (0, (0, 0))

    asyncio.run(main())


def test_a_workflow_s_own_timeout_may_be_longer() -> None:
    async def main() -> None:
        async def agent() -> str:
            await asyncio.sleep(2 * SOON)
            return "done"

        app = App(timeout=SOON)
        app.limits.set("slow", timeout=PATIENCE)
        assert await app.run(agent, "slow") == "done"

    asyncio.run(main())


def test_one_that_is_given_up_while_it_is_let_in_lets_the_next_one_in() -> None:
    async def main() -> None:
        gate = Gate(1, 2, "things")
        assert gate.enter() is None
        second, third = gate.enter(), gate.enter()
        gate.leave()  # lets the second in, who does not get to know
        gate.leave(second)
        assert third is not None
        assert third.done()
        assert (gate.running, gate.waiting) == (1, 0)
        gate.leave(third)
        assert (gate.running, gate.waiting) == (0, 0)

    asyncio.run(main())


def test_limits_change_while_something_runs_from_any_thread() -> None:
    async def main() -> None:
        agents = Agents()
        app = App()
        limit = partial(asyncio.to_thread, app.limits.set, "some")
        await limit(max_running=1)
        runs = app.start(agents, range(6), "some")
        await settle()
        assert agents.running == 1
        await limit(max_running=3)
        await settle()
        assert agents.running == 3
        await limit(max_running=1)
        assert app.limits.stats()["some"]["running"] == 3  # nobody is turned away
        await limit()
        await settle()
        assert (agents.running, app.limits.of("some"), app.limits.stats()) == (6, None, {})
        agents.release.set()
        await asyncio.gather(*runs)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"max_running": 0}, "max_running must be a whole number of at least 1, not 0"),
        ({"max_running": True}, "max_running must be a whole number"),
        ({"max_running": 1, "max_waiting": -1}, "max_waiting must be a whole number of at least 0"),
        ({"max_waiting": 1}, "max_waiting needs max_running"),
        ({"timeout": 0}, "timeout must be a positive number of seconds or None"),
    ],
)
def test_limits_that_make_no_sense_are_refused(options: dict[str, Any], complaint: str) -> None:
    limits = Limits()
    with pytest.raises(ValueError, match=complaint):
        limits.set("name", **options)
    assert limits.of("name") is None


def test_how_many_names_have_limits_is_limited() -> None:
    limits = Limits(max_names=1)
    limits.set("one", timeout=1)
    with pytest.raises(RuntimeError, match="1 workflows have limits"):
        limits.set("other", timeout=1)
    limits.set("one", timeout=2)
    limits.set("one")
    limits.set("other", timeout=1)


@pytest.mark.parametrize("bound", ["max_threads", "max_pending", "max_running"])
def test_bounds_of_all_are_whole_numbers(bound: str) -> None:
    for wrong in (0, True, "1"):
        with pytest.raises(ValueError, match=f"{bound} must be a whole number of at least 1"):
            Executor(**{bound: wrong})  # type: ignore[arg-type]
