"""One at a time for each key, in the order of arrival."""

from __future__ import annotations

import asyncio
import threading

import pytest

from kaizen_nexus.runtime.errors import OverloadedError
from kaizen_nexus.runtime.turns import Turns


def test_turns_come_in_the_order_of_arrival_one_at_a_time() -> None:
    async def main() -> None:
        turns = Turns()
        order: list[int] = []
        working = 0

        async def work(number: int) -> None:
            nonlocal working
            async with turns.take("key"):
                working += 1
                assert working == 1
                for _ in range(3):
                    await asyncio.sleep(0)
                order.append(number)
                working -= 1

        await asyncio.gather(*map(work, range(20)))
        assert order == list(range(20))
        assert len(turns) == 0

    asyncio.run(main())


def test_other_keys_do_not_wait() -> None:
    async def main() -> None:
        turns = Turns()
        async with turns.take("one"), turns.take("other"):
            assert len(turns) == 2
        assert len(turns) == 0

    asyncio.run(main())


def test_a_failure_hands_the_turn_on() -> None:
    async def main() -> None:
        turns = Turns()
        with pytest.raises(ZeroDivisionError):
            async with turns.take("key"):
                raise ZeroDivisionError
        async with turns.take("key"):
            pass

    asyncio.run(main())


@pytest.mark.parametrize("handed_over", [False, True])
def test_who_gives_up_waiting_holds_nobody_up(handed_over: bool) -> None:
    async def main() -> None:
        turns = Turns()
        done = []

        async def work(name: str) -> None:
            async with turns.take("key"):
                done.append(name)

        async with turns.take("key"):
            impatient = asyncio.ensure_future(work("impatient"))
            patient = asyncio.ensure_future(work("patient"))
            await asyncio.sleep(0)
            if not handed_over:
                impatient.cancel()
        # With the turn handed over, but not taken yet, this is the moment between the two.
        impatient.cancel()
        await asyncio.wait((impatient, patient))
        assert (done, impatient.cancelled(), len(turns)) == (["patient"], True, 0)

    asyncio.run(main())


def test_the_queue_is_bounded() -> None:
    async def main() -> None:
        turns = Turns(max_waiting=1)

        async def work() -> None:
            async with turns.take("key"):
                pass

        async with turns.take("key"):
            second = asyncio.ensure_future(work())
            await asyncio.sleep(0)
            with pytest.raises(OverloadedError, match="1 requests wait for this session"):
                await work()
        await second

    asyncio.run(main())


def test_threads_with_loops_of_their_own_take_turns_too() -> None:
    turns = Turns()
    total = 0

    async def work() -> None:
        nonlocal total
        for _ in range(200):
            async with turns.take("key"):
                before = total
                await asyncio.sleep(0)
                total = before + 1

    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (total, len(turns)) == (800, 0)


def test_a_loop_that_is_closed_is_passed_over() -> None:
    turns = Turns()
    gone = asyncio.new_event_loop()
    queued = threading.Event()

    async def main() -> None:
        async with turns.take("key"):
            thread = threading.Thread(target=leave)
            thread.start()
            thread.join()
            assert queued.is_set()
        assert len(turns) == 0

    def leave() -> None:
        async def wait() -> None:
            async with turns.take("key"):
                raise AssertionError("its loop is gone")

        waiter = gone.create_task(wait())
        gone.call_soon(gone.stop)
        gone.run_forever()
        queued.set()
        gone.close()
        waiter._log_destroy_pending = False  # type: ignore[attr-defined]  # that is the case here

    asyncio.run(main())
