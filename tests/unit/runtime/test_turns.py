"""One at a time for each key, in the order of arrival."""

from __future__ import annotations

import asyncio

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
