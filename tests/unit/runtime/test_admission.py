"""How many run at once, of all and of each, and who waits for whom."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from kaizen_nexus.runtime.admission import Entry, Gate, Limits
from kaizen_nexus.runtime.errors import DeadlineExceededError, OverloadedError
from kaizen_nexus.runtime.executor import Executor

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


def limits_of(name: str, **options: Any) -> Limits:
    limits = Limits()
    limits.set(name, **options)
    return limits


def test_those_beyond_the_limit_wait_and_run_in_the_order_of_arrival() -> None:
    async def main() -> None:
        agents = Agents()
        executor = Executor(max_pending=20, max_running=3)
        runs = [asyncio.ensure_future(executor.run(agents.agent(each))) for each in range(20)]
        await settle()
        assert (agents.begun, executor.pending, executor.waiting) == ([0, 1, 2], 20, 17)
        with pytest.raises(OverloadedError, match="20 invocations are in progress"):
            await executor.run(refused)
        agents.release.set()
        assert await asyncio.gather(*runs) == list(range(20))
        assert (agents.begun, agents.most) == (list(range(20)), 3)
        assert (executor.pending, executor.waiting, executor.refused) == (0, 0, 1)

    asyncio.run(main())


def test_who_waits_for_one_workflow_takes_no_place_from_the_others() -> None:
    async def main() -> None:
        agents = Agents()
        limits = limits_of("slow", max_running=1, max_waiting=50)
        executor = Executor(max_pending=2)
        slow = [
            asyncio.ensure_future(executor.run(agents.agent(each), limit=limits.of("slow")))
            for each in range(51)
        ]
        await settle()
        assert (agents.begun, executor.pending) == ([0], 1)
        for _ in range(100):
            assert await executor.run(healthy, limit=limits.of("healthy")) == "well"
        with pytest.raises(OverloadedError, match="51 invocations of 'slow' are in progress"):
            await executor.run(refused, limit=limits.of("slow"))
        assert limits.numbers()["slow"] == {
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
        limits = limits_of("some", max_running=2, max_waiting=2)
        executor = Executor(max_pending=2, max_running=1)
        first = asyncio.ensure_future(executor.run(agents.agent(0)))
        await settle()
        others = [
            asyncio.ensure_future(executor.run(agents.agent(each), limit=limits.of("some")))
            for each in (1, 2)
        ]
        await settle()
        with pytest.raises(OverloadedError, match="2 invocations are in progress"):
            await others[1]  # its workflow had a place for it, the app had none
        assert (limits.numbers()["some"]["running"], executor.waiting) == (1, 1)
        agents.release.set()
        assert await asyncio.gather(first, others[0]) == [0, 1]
        assert (executor.pending, limits.numbers()["some"]["running"]) == (0, 0)

    asyncio.run(main())


def test_waiting_counts_against_the_deadline_and_a_place_is_given_back() -> None:
    async def main() -> None:
        agents = Agents()
        limits = limits_of("slow", max_running=1, timeout=SOON)
        executor = Executor()
        limit = limits.of("slow")
        runs = [executor.run(agents.agent(each), limit=limit) for each in range(3)]
        ended = await asyncio.gather(*runs, return_exceptions=True)
        assert [type(each) for each in ended] == [DeadlineExceededError] * 3
        assert "no result within 0.02 s" in str(ended[2])
        assert agents.begun[0] == 0
        agents.release.set()
        assert await executor.run(agents.agent(3), limit=limit) == 3
        assert (limits.numbers()["slow"]["running"], executor.waiting) == (0, 0)

    asyncio.run(main())


def test_a_workflow_s_own_timeout_may_be_longer() -> None:
    async def main() -> None:
        async def agent() -> str:
            await asyncio.sleep(2 * SOON)
            return "done"

        limits = limits_of("slow", timeout=PATIENCE)
        assert await Executor(timeout=SOON).run(agent, limit=limits.of("slow")) == "done"

    asyncio.run(main())


def test_one_that_is_cancelled_while_it_is_let_in_lets_the_next_one_in() -> None:
    async def main() -> None:
        gate = Gate(1, 2, "things")
        assert gate.enter() is None
        second, third = Entry(gate), Entry(gate)
        waiting = asyncio.ensure_future(second.then(refused))
        await settle()
        gate.leave()  # lets the second in, who does not get to know
        waiting.cancel()
        second.leave()
        second.leave()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (gate.running, gate.waiting) == (1, 0)
        third.leave()
        assert (gate.running, gate.waiting) == (0, 0)

    asyncio.run(main())


def test_limits_change_while_something_runs() -> None:
    async def main() -> None:
        agents = Agents()
        limits = limits_of("some", max_running=1, max_waiting=9)
        executor = Executor()

        def start(count: int) -> list[asyncio.Future[int]]:
            limit = limits.of("some")
            return [
                asyncio.ensure_future(executor.run(agents.agent(each), limit=limit))
                for each in range(count)
            ]

        runs = start(6)
        await settle()
        assert agents.running == 1
        limits.set("some", max_running=3)
        await settle()
        assert agents.running == 3
        limits.set("some", max_running=1)
        assert limits.numbers()["some"]["running"] == 3  # nobody is turned away
        limits.set("some")
        await settle()
        assert (agents.running, limits.of("some"), limits.numbers()) == (6, None, {})
        agents.release.set()
        await asyncio.gather(*runs)

    asyncio.run(main())


def test_gates_are_shared_by_threads_that_have_loops_of_their_own() -> None:
    gate = Gate(2, 1_000, "things")
    lock = threading.Lock()
    inside = most = done = 0

    async def work() -> None:
        nonlocal inside, most, done
        with lock:
            inside += 1
            most = max(most, inside)
        await asyncio.sleep(0)
        with lock:
            inside -= 1
            done += 1

    async def one() -> None:
        entry = Entry(gate)
        try:
            await entry.then(work)
        finally:
            entry.leave()

    async def many() -> None:
        await asyncio.wait_for(asyncio.gather(*(one() for _ in range(50))), PATIENCE)

    threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert (done, inside, gate.running, gate.waiting) == (200, 0, 0, 0)
    assert most <= 2


def test_a_turn_of_an_event_loop_that_is_closed_goes_to_the_next_one() -> None:
    gate = Gate(1, 2, "things")

    async def occupy() -> None:
        assert gate.enter() is None

    async def wait_and_vanish() -> None:
        assert gate.enter() is not None

    asyncio.run(occupy())
    asyncio.run(wait_and_vanish())

    async def main() -> None:
        turn = gate.enter()
        gate.leave()
        assert turn is not None
        await turn
        gate.leave()
        assert (gate.running, gate.waiting) == (0, 0)

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
