"""Streaming agents in the runtime: chunks as they are made, limits, and one end of each."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.runtime import streaming
from kaizen_nexus.runtime.errors import (
    AbandonedError,
    AgentFailedError,
    DeadlineExceededError,
    ResultTooLargeError,
)
from kaizen_nexus.runtime.executor import Executor
from kaizen_nexus.runtime.invocation import Invocation, Result
from kaizen_nexus.runtime.service import Runtime

SOON = 0.1
PATIENCE = 30


def runtime_with(agent: Callable[..., Any], **limits: Any) -> Runtime:
    runtime = Runtime(executor=Executor(**limits))
    runtime.registry.deploy(as_workflow(agent, "it"), ["api"], prefix="/p", sessions=False)
    return runtime


def execute(runtime: Runtime, emit: Any = None, session_id: str | None = None) -> Any:
    deployment = runtime.registry.find("it", "api")
    return runtime.execute(Invocation(deployment, "api", emit=emit, session_id=session_id))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - threads set no event of the loop
        await asyncio.sleep(0)


class Ends:
    """Counts how often a generator's ``finally`` ran, and in which thread."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def note(self) -> None:
        self.threads.append(threading.get_ident())

    def __len__(self) -> int:
        return len(self.threads)


class Kind:
    """The same agent as a generator of either kind, which waits where it is told to.

    On a slow machine a deadline may pass before it has begun; then there is nothing to end.
    """

    def __init__(self, asynchronous: bool) -> None:
        self.asynchronous = asynchronous
        self.ends = Ends()
        self.released = threading.Event()
        self.begun = 0

    def agent(self, count: int = 3, *, hangs: bool = False, fails: bool = False) -> Any:
        def chunks() -> Iterator[int]:
            self.begun += 1
            try:
                yield from range(count)
                if hangs:
                    self.released.wait(PATIENCE)
                if fails:
                    raise ValueError("no more")
            finally:
                self.ends.note()

        async def chunks_later() -> AsyncIterator[int]:
            self.begun += 1
            try:
                for number in range(count):
                    yield number
                if hangs:
                    await asyncio.Event().wait()
                if fails:
                    raise ValueError("no more")
            finally:
                await asyncio.sleep(0)
                self.ends.note()

        return chunks_later if self.asynchronous else chunks


@pytest.fixture(params=[True, False], ids=["async", "sync"])
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    made = Kind(request.param)
    yield made
    made.released.set()


def test_the_whole_result_is_returned_with_or_without_a_listener(kind: Kind) -> None:
    heard: list[bytes] = []

    async def emit(chunk: bytes) -> None:
        heard.append(chunk)

    async def main() -> tuple[Result, Result]:
        runtime = runtime_with(kind.agent())
        return await execute(runtime, emit), await execute(runtime)

    told, untold = asyncio.run(main())
    assert told.body == untold.body == b"[0,1,2]"
    assert heard == [b"0", b"1", b"2"]
    assert len(kind.ends) == 2


def test_each_chunk_is_handed_over_before_the_next_is_made() -> None:
    order: list[str] = []

    def agent() -> Iterator[int]:
        for number in range(3):
            order.append(f"made {number}")
            yield number

    async def emit(chunk: bytes) -> None:
        await asyncio.sleep(0)
        order.append(f"told {chunk.decode()}")

    asyncio.run(execute(runtime_with(agent), emit))
    assert order == [f"{what} {number}" for number in range(3) for what in ("made", "told")]


def test_a_failing_generator_is_closed_and_reported(kind: Kind) -> None:
    with pytest.raises(AgentFailedError):
        asyncio.run(execute(runtime_with(kind.agent(fails=True))))
    assert len(kind.ends) == 1


def test_one_that_yields_what_it_did_not_declare_is_closed(kind: Kind) -> None:
    agent = kind.agent()
    agent.__annotations__["return"] = AsyncIterator[str] if kind.asynchronous else Iterator[str]
    with pytest.raises(AgentFailedError):
        asyncio.run(execute(runtime_with(agent)))
    assert len(kind.ends) == 1


def test_one_that_takes_too_long_is_closed_once_it_can_be(kind: Kind) -> None:
    async def main() -> None:
        runtime = runtime_with(kind.agent(hangs=True), timeout=SOON)
        with pytest.raises(DeadlineExceededError):
            await execute(runtime)
        # A thread cannot be stopped: whoever is in it closes the generator on the way out.
        assert kind.asynchronous or len(kind.ends) == 0
        kind.released.set()
        await until(lambda: runtime.executor.abandoned_threads == 0)
        await until(lambda: len(kind.ends) == kind.begun)
        await until(lambda: runtime.executor.pending == 0)

    asyncio.run(main())
    assert len(kind.ends) == kind.begun


def test_one_whose_reader_is_too_slow_is_over_time(kind: Kind) -> None:
    async def emit(_: bytes) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        runtime = runtime_with(kind.agent(), timeout=SOON)
        with pytest.raises(DeadlineExceededError):
            await execute(runtime, emit)
        await until(lambda: len(kind.ends) == kind.begun)
        await until(lambda: runtime.executor.pending == 0)

    asyncio.run(main())
    assert threading.get_ident() not in kind.ends.threads or kind.asynchronous


def test_one_whose_chunk_cannot_be_handed_over_is_given_up(kind: Kind) -> None:
    async def emit(_: bytes) -> None:
        raise OSError("gone")

    with pytest.raises(AbandonedError):
        asyncio.run(execute(runtime_with(kind.agent()), emit))
    assert len(kind.ends) == 1


@pytest.mark.parametrize("bound", ["MAX_CHUNKS", "MAX_BYTES"])
def test_one_that_does_not_end_is_stopped(
    kind: Kind, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, bound, 5)
    with pytest.raises(ResultTooLargeError, match="which is the limit"):
        asyncio.run(execute(runtime_with(kind.agent(10**6))))
    assert len(kind.ends) == 1


def test_as_much_as_the_bound_is_not_too_much(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MAX_CHUNKS", 5)
    monkeypatch.setattr(streaming, "MAX_BYTES", 5)
    assert asyncio.run(execute(runtime_with(kind.agent(5)))).body == b"[0,1,2,3,4]"


@pytest.mark.parametrize("leaving", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_one_that_tries_to_end_the_process_fails_alone(leaving: BaseException) -> None:
    def agent() -> Iterator[int]:
        yield 1
        raise leaving

    async def agent_later() -> AsyncIterator[int]:
        yield 1
        raise leaving

    for each in (agent, agent_later):
        with pytest.raises(AgentFailedError):
            asyncio.run(execute(runtime_with(each)))


def test_what_fails_while_it_cleans_up_does_not_hide_the_reason() -> None:
    async def emit(_: bytes) -> None:
        raise OSError("gone")

    def agent() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise ValueError("cannot clean up")

    with pytest.raises(AbandonedError):
        asyncio.run(execute(runtime_with(agent), emit))


def test_context_variables_last_from_step_to_step() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    def agent() -> Iterator[int]:
        token = variable.set(1)
        yield variable.get()
        yield variable.get()
        variable.reset(token)
        yield variable.get()

    assert asyncio.run(execute(runtime_with(agent))).body == b"[1,1,0]"


def test_a_generator_that_waits_for_nothing_lets_others_go_on() -> None:
    async def agent() -> AsyncIterator[int]:
        number = 0
        while True:
            yield (number := number + 1)

    async def main() -> None:
        with pytest.raises(DeadlineExceededError):
            await execute(runtime_with(agent, timeout=SOON))

    asyncio.run(main())


def test_a_session_is_told_before_the_agent_is_called() -> None:
    order: list[str] = []

    def agent(session: Any) -> Iterator[int]:
        order.append(session.session_id)
        yield 1

    runtime = runtime_with(agent)
    deployment = runtime.registry.find("it", "api")
    invocation = Invocation(deployment, "api", session_id="new", attached=order.append)
    result = asyncio.run(runtime.execute(invocation))
    assert order == [result.session_id, result.session_id]
