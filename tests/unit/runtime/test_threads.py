"""A pool of threads: places, what is abandoned, and what a function finds in its thread."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import weakref
from collections.abc import Callable
from typing import Any

import anyio.from_thread
import anyio.lowlevel
import pytest

from kaizen_nexus.runtime.threads import MAX_IDLE, ThreadPool

PATIENCE = 30


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - threads set no event of the loop
        await asyncio.sleep(0)


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_so_many_run_at_a_time_and_the_others_in_the_order_of_arrival() -> None:
    running = most = 0
    order: list[int] = []
    lock = threading.Lock()

    async def main() -> None:
        pool = ThreadPool(3)

        def work(number: int) -> int:
            nonlocal running, most
            with lock:
                order.append(number)
                running += 1
                most = max(most, running)
            with lock:
                running -= 1
            return number

        calls = (pool.run(lambda number=number: work(number)) for number in range(100))
        assert await asyncio.gather(*calls) == list(range(100))
        assert most <= 3
        assert sorted(order) == list(range(100))

    asyncio.run(main())


def test_threads_are_used_again_and_do_not_keep_the_process() -> None:
    async def main() -> None:
        pool = ThreadPool(4)
        threads = {await pool.run(threading.current_thread) for _ in range(20)}
        assert len(threads) == 1
        assert all(thread.daemon for thread in threads)

    asyncio.run(main())


def test_what_is_abandoned_before_it_begins_never_does() -> None:
    release, called = threading.Event(), []

    async def main() -> None:
        pool = ThreadPool(1)
        first = asyncio.ensure_future(pool.run(lambda: release.wait(PATIENCE)))
        second = asyncio.ensure_future(pool.run(lambda: called.append("agent")))
        await asyncio.sleep(0)
        await cancelled(second)
        assert pool.abandoned == 0
        release.set()
        assert await first is True
        assert await pool.run(lambda: "next") == "next"
        assert not called

    asyncio.run(main())


def test_what_is_abandoned_while_it_runs_counts_until_its_end_and_gives_its_place_back() -> None:
    release, begun = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        release.wait(PATIENCE)

    async def main() -> None:
        pool = ThreadPool(1)
        call = asyncio.ensure_future(pool.run(hang))
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        await cancelled(call)
        assert pool.abandoned == 1
        assert await pool.run(lambda: "next") == "next"
        release.set()
        await until(lambda: pool.abandoned == 0)

    asyncio.run(main())


def test_a_pool_that_does_not_withdraw_calls_what_nobody_waits_for() -> None:
    release, called = threading.Event(), threading.Event()

    async def main() -> None:
        pool = ThreadPool(1, withdraws=False)
        first = asyncio.ensure_future(pool.run(lambda: release.wait(PATIENCE)))
        second = asyncio.ensure_future(pool.run(called.set))
        await asyncio.sleep(0)
        await cancelled(second)
        release.set()
        assert await first is True
        assert await asyncio.to_thread(called.wait, PATIENCE)
        assert await pool.run(lambda: "next") == "next"

    asyncio.run(main())


@pytest.mark.parametrize("error", [ZeroDivisionError(), SystemExit(3), StopIteration(4)], ids=repr)
def test_whatever_a_function_raises_is_raised(error: BaseException) -> None:
    def fail() -> None:
        raise error

    async def main() -> None:
        # Python turns a StopIteration that leaves a coroutine into a RuntimeError.
        with pytest.raises(RuntimeError if isinstance(error, StopIteration) else type(error)):
            await ThreadPool(1).run(fail)

    asyncio.run(main())


def test_context_variables_are_found_and_what_is_set_stays_there() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")

    def agent() -> str:
        found = variable.get()
        variable.set("agent's")
        return found

    async def main() -> None:
        variable.set("caller's")
        pool = ThreadPool(1)
        assert [await pool.run(agent) for _ in range(2)] == ["caller's"] * 2
        assert variable.get() == "caller's"

    asyncio.run(main())


def test_a_function_may_call_back_into_the_event_loop_with_anyio() -> None:
    async def where() -> int:
        await anyio.lowlevel.checkpoint()
        return threading.get_ident()

    async def main() -> None:
        pool = ThreadPool(1)
        assert await pool.run(lambda: anyio.from_thread.run(where)) == threading.get_ident()

    asyncio.run(main())


def test_the_threads_of_one_event_loop_serve_the_next() -> None:
    pool = ThreadPool(1)

    async def main() -> int:
        pool.reset()
        return int(await pool.run(threading.get_ident))

    assert asyncio.run(main()) == asyncio.run(main())


def test_threads_that_wait_refer_to_no_call() -> None:
    class Agent:
        def __call__(self) -> None:
            pass

    async def main() -> None:
        pool = ThreadPool(1)
        for _ in range(2):
            agent = Agent()
            left = weakref.ref(agent)
            await pool.run(agent)
            del agent
            await until(lambda left=left: left() is None)

    asyncio.run(asyncio.wait_for(main(), MAX_IDLE / 4))  # before idle threads end


def test_no_call_is_lost_while_the_system_has_no_more_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        pool = ThreadPool(1)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)  # no test can use up the real ones
            calls = (pool.run(int) for _ in range(1_000))
            errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [str(error) for error in errors] == ["can't start new thread"] * 1_000
        assert await pool.run(int) == 0

    asyncio.run(main())
