"""The clock that short runs share, and what becomes of a run's outcome."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from kaizen_nexus.runtime.errors import DeadlineExceededError
from kaizen_nexus.runtime.executor import WATCH_AFTER, Executor
from kaizen_nexus.runtime.runs import Run, Watches

INTERVAL = 0.002


async def until_idle(watches: Watches) -> None:
    while any(watch.ticking for watch in watches._by_loop.values()):  # noqa: ASYNC110
        await asyncio.sleep(INTERVAL)


async def first(watches: Watches, waiter: asyncio.Future[None]) -> None:
    """Return when `waiter` is done, by itself or because it has waited for long."""
    watch = watches.on(waiter.get_loop())
    watch.add(waiter)
    try:
        await waiter
    finally:
        watch.discard(waiter)


def test_who_waits_for_long_is_woken_and_the_clock_stops_when_nobody_waits() -> None:
    async def main() -> None:
        watches = Watches(INTERVAL)
        loop = asyncio.get_running_loop()
        began = loop.time()
        waiters = [loop.create_future() for _ in range(3)]
        await asyncio.gather(*(first(watches, waiter) for waiter in waiters))
        assert loop.time() - began > 0.9 * INTERVAL
        assert all(waiter.done() for waiter in waiters)
        await until_idle(watches)

    asyncio.run(main())


def test_who_is_woken_otherwise_or_cancelled_is_forgotten() -> None:
    async def main() -> None:
        watches = Watches(30.0)
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.call_soon(done.set_result, None)
        await first(watches, done)
        cancelled = asyncio.ensure_future(first(watches, loop.create_future()))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        (watch,) = watches._by_loop.values()
        assert not watch.young
        assert not watch.old

    asyncio.run(main())


def test_each_event_loop_has_a_clock_of_its_own() -> None:
    watches = Watches(INTERVAL)

    async def main() -> None:
        await first(watches, asyncio.get_running_loop().create_future())

    for _ in range(2):
        asyncio.run(main())
    gc.collect()
    assert not watches._by_loop


def test_a_deadline_counts_from_the_start_and_not_from_the_first_look() -> None:
    async def main() -> None:
        executor = Executor(timeout=4 * WATCH_AFTER)
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(DeadlineExceededError):
            await executor.run(lambda: asyncio.sleep(30))
        assert loop.time() - began > 3.9 * WATCH_AFTER
        assert executor.timed_out == 1

    asyncio.run(main())


def test_an_outcome_leaves_no_cycle_behind() -> None:
    class NotHereError(Exception):
        pass

    async def fail() -> None:
        raise NotHereError

    async def main() -> weakref.ref[NotHereError]:
        run: Run[None] = Run(asyncio.get_running_loop().create_future())
        await run.drive(fail)
        try:
            run.outcome()
        except NotHereError as error:
            return weakref.ref(error)
        raise AssertionError

    gc.disable()
    try:
        assert asyncio.run(main())() is None
    finally:
        gc.enable()
