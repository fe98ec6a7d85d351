"""Who blocks the event loop is found out, and nobody else."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kaizen_nexus.runtime.breaker import Breaker, Quarantine
from kaizen_nexus.runtime.watchdog import INTERVAL, RUNNING, Watchdog

PATIENCE = 30


class Watched:
    """A watchdog, and a clock that says whatever time it is told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.breaker = Breaker("agent", 1, Quarantine())
        self.dog = Watchdog(clock=lambda: self.now)

    def look(self, times: int = 1, every: float = INTERVAL) -> None:
        for _ in range(times):
            self.now += every
            self.dog.look()

    def block(self, looks: Callable[[], None]) -> None:
        """Block the event loop while another thread looks."""
        thread = threading.Thread(target=looks)
        thread.start()
        thread.join(PATIENCE)

    def run(self, agent: Callable[[], Awaitable[Any]]) -> bool:
        """Run an agent, and return whether it was caught."""
        attempt = self.breaker.attempt()

        async def run() -> None:
            RUNNING.set(attempt)
            await agent()

        async def main() -> None:
            self.dog.attach()
            await asyncio.create_task(run())

        asyncio.run(main())
        return attempt.blocked


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_run_that_blocks_the_loop_is_caught_once_and_its_place_is_named(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    async def agent() -> None:
        watched.block(lambda: watched.look(20))

    assert watched.run(agent)
    assert watched.breaker.blocked == 1
    said = re.search(rf"more than 0\.25 s, at {re.escape(__file__)}:(\d+);", caplog.text)
    assert said is not None
    # The innermost that is neither ours nor a library's: where it starts or joins the thread.
    first = Watched.block.__code__.co_firstlineno
    assert first < int(said[1]) <= first + 4


def test_so_is_a_task_that_it_has_started(watched: Watched) -> None:
    async def part() -> None:
        watched.block(lambda: watched.look(20))

    async def agent() -> None:
        await asyncio.gather(part(), asyncio.sleep(0))

    assert watched.run(agent)


def test_one_that_blocks_for_less_is_not(watched: Watched) -> None:
    async def agent() -> None:
        for _ in range(5):
            watched.block(lambda: watched.look(5))
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    assert not watched.run(agent)


def test_one_that_awaits_is_not(watched: Watched) -> None:
    async def agent() -> None:
        for _ in range(20):
            watched.look()
            await asyncio.sleep(0)

    assert not watched.run(agent)


def test_who_is_met_in_a_busy_loop_is_not(watched: Watched) -> None:
    """One round of many tasks takes long, and each of them little."""

    async def main() -> None:
        watched.dog.attach()
        watched.look()
        attempts = [watched.breaker.attempt() for _ in range(20)]

        async def one(number: int) -> None:
            RUNNING.set(attempts[number])
            watched.block(watched.look)

        await asyncio.gather(*map(one, range(20)))
        assert not any(attempt.blocked for attempt in attempts)

    asyncio.run(main())


def test_one_that_was_held_up_with_the_whole_process_is_not(watched: Watched) -> None:
    async def agent() -> None:
        watched.block(lambda: watched.look(20, every=1.0))

    assert not watched.run(agent)


def test_a_loop_that_no_agent_blocks_is_reported_now_and_then(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        watched.dog.attach()
        for _ in range(3):
            asyncio.get_running_loop().call_soon(watched.block, lambda: watched.look(20))
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    asyncio.run(main())
    (record,) = caplog.records
    assert "has been blocked for more than 0.25 s at " in record.getMessage()
    assert record.getMessage().endswith(", by no agent")


def test_an_idle_loop_is_left_alone() -> None:
    async def main() -> None:
        idle = True
        asked: list[object] = []
        loop = asyncio.get_running_loop()
        dog = Watchdog(idle=lambda: idle)
        dog.attach()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "call_soon_threadsafe", asked.append)
            dog.look()
            assert not asked
            idle = False
            dog.look()
            assert len(asked) == 1
            dog.stop()
            dog.look()
            assert len(asked) == 1

    asyncio.run(main())


def test_the_thread_ends_with_the_watch() -> None:
    def threads() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each.name == "kaizen-nexus-watchdog"]

    async def main() -> None:
        before = len(threads())
        dog = Watchdog()
        dog.start()
        (thread,) = threads()[before:]
        dog.stop()
        await asyncio.to_thread(thread.join, PATIENCE)
        assert not thread.is_alive()

    asyncio.run(main())
