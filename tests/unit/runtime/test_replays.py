"""Idempotency keys: what runs once, what is kept of it and for whom, and what is refused."""

from __future__ import annotations

import asyncio
import functools
import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kaizen_nexus.access.callers import Caller
from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.runtime.deployed import Deployment
from kaizen_nexus.runtime.errors import (
    AbandonedError,
    AgentFailedError,
    DeadlineExceededError,
    IdempotencyKeyError,
    IdempotencyKeyReusedError,
    OverloadedError,
    SessionNotFoundError,
)
from kaizen_nexus.runtime.invocation import Invocation, Result
from kaizen_nexus.runtime.registry import Registry
from kaizen_nexus.runtime.replays import MAX_KEY_LENGTH, Replays
from kaizen_nexus.runtime.run import Run

Work = Callable[[Invocation], Awaitable[Result]]


@functools.cache
def deployed(name: str) -> Deployment:
    workflow = as_workflow(lambda query: query, name)
    return Registry().deploy(workflow, ["api", "cli"], prefix="/p", sessions=False)


def invocation(
    key: str = "k", caller: str = "ada", name: str = "echo", **changes: Any
) -> Invocation:
    values = {"channel": "api", "inputs": {"query": "hi"}, **changes}
    return Invocation(deployed(name), caller=Caller(caller), idempotency_key=key, **values)


class Working(Run):
    """A run of a coroutine function."""

    __slots__ = ("task",)

    def begin(self, work: Awaitable[Result]) -> None:
        self.task = asyncio.ensure_future(self._work(work))

    async def _work(self, work: Awaitable[Result]) -> None:
        try:
            self._result = await work
        except Exception as error:
            self._error = error
        self.ended = True
        self.notify()


async def once(replays: Replays, asked: Invocation, work: Work) -> Result:
    """Do what the runtime does with an invocation that has a key."""

    def begin(alone: Invocation, ended: Callable[[Run], object]) -> None:
        Working(ended).begin(work(alone))

    over = asyncio.Event()
    run = replays.start(asked, lambda _: over.set(), begin)
    try:
        await over.wait()
    except asyncio.CancelledError:
        run.give_up()
        raise
    return run.outcome()


class Agent:
    """Counts its runs; each waits for `go` if there is one, then succeeds or fails as it should."""

    def __init__(self, error: Exception | None = None, size: int = 2) -> None:
        self.runs = 0
        self.cancelled = 0
        self.error = error
        self.size = size
        self.go: asyncio.Event | None = None

    async def __call__(self, invocation: Invocation) -> Result:
        self.runs += 1
        assert invocation.caller_gone is None
        try:
            if self.go is not None:
                await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return Result(b"x" * self.size, f"session {self.runs}", self.runs, version=1)


async def turns(number: int = 10) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def test_a_retry_gets_the_same_result_without_a_run() -> None:
    async def main() -> None:
        agent, replays = Agent(), Replays()
        first = await once(replays, invocation(), agent)
        again = [await once(replays, invocation(), agent) for _ in range(3)]
        assert agent.runs == 1
        assert not first.replayed
        assert all(each.replayed for each in again)
        assert {(each.body, each.session_id, each.duration_ns) for each in [first, *again]} == {
            (b"xx", "session 1", 1)
        }
        assert replays.stats()["replayed"] == 3

    asyncio.run(main())


def test_those_who_ask_meanwhile_wait_for_the_run() -> None:
    async def main() -> None:
        agent, replays = Agent(), Replays()
        agent.go = asyncio.Event()
        asked = [asyncio.ensure_future(once(replays, invocation(), agent)) for _ in range(20)]
        await turns()
        assert (agent.runs, replays.stats()["waiting"]) == (1, 19)
        agent.go.set()
        results = await asyncio.gather(*asked)
        assert agent.runs == 1
        assert [result.replayed for result in results] == [False] + [True] * 19
        assert {result.session_id for result in results} == {"session 1"}
        assert (replays.stats()["waiting"], replays.stats()["running"]) == (0, 0)

    asyncio.run(main())


@pytest.mark.parametrize(
    "change",
    [{"name": "other"}, {"channel": "cli"}, {"session_id": "new"}, {"inputs": {"query": "ho"}}],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.parametrize("over", [True, False])
def test_a_key_stands_for_one_request(change: dict[str, Any], over: bool) -> None:
    async def main() -> None:
        agent, replays = Agent(), Replays()
        agent.go = asyncio.Event()
        asked = asyncio.ensure_future(once(replays, invocation(), agent))
        await turns()
        if over:
            agent.go.set()
            await asked
        with pytest.raises(IdempotencyKeyReusedError):
            await once(replays, invocation(**change), agent)
        agent.go.set()
        assert not (await asked).replayed
        assert (await once(replays, invocation(), agent)).replayed
        assert (agent.runs, replays.stats()["reused"]) == (1, 1)

    asyncio.run(main())


@pytest.mark.parametrize("other", ["b" + "\u00e4" * 49_999, "\u00e4" * 49_999 + "b", "\u00e4"])
def test_long_texts_are_told_apart_wherever_they_are(other: str) -> None:
    async def main() -> None:
        agent, replays = Agent(), Replays()
        for text in ("\u00e4" * 50_000, "\u00e4" * 50_000):
            await once(replays, invocation(inputs={"a": [1, {"b": text}]}), agent)
        with pytest.raises(IdempotencyKeyReusedError):
            await once(replays, invocation(inputs={"a": [1, {"b": other}]}), agent)
        assert agent.runs == 1

    asyncio.run(main())


def test_keys_of_different_callers_never_meet() -> None:
    async def main() -> None:
        agent, replays = Agent(), Replays()
        for caller in ("ada", "bob"):
            assert not (await once(replays, invocation(caller=caller), agent)).replayed
        await once(replays, invocation(caller="bob", key="l", name="other"), agent)
        assert agent.runs == 3
        assert (await once(replays, invocation(), agent)).session_id == "session 1"
        assert (await once(replays, invocation(caller="bob"), agent)).session_id == "session 2"

    asyncio.run(main())


@pytest.mark.parametrize("gone", [True, False], ids=["disconnected", "cancelled"])
@pytest.mark.parametrize("duplicate", [True, False], ids=["waited for", "alone"])
def test_a_run_outlives_its_first_caller(gone: bool, duplicate: bool) -> None:
    async def main() -> None:
        agent, replays = Agent(), Replays()
        agent.go = asyncio.Event()
        leaves = asyncio.Event()
        first = asyncio.ensure_future(
            once(replays, invocation(caller_gone=leaves.wait if gone else None), agent)
        )
        await turns()
        waiting = []
        if duplicate:
            waiting.append(asyncio.ensure_future(once(replays, invocation(), agent)))
            await turns()
        leaves.set() if gone else first.cancel()
        with pytest.raises(AbandonedError if gone else asyncio.CancelledError):
            await first
        gc.collect()
        retry = asyncio.ensure_future(once(replays, invocation(), agent))
        await turns()
        agent.go.set()
        for result in await asyncio.gather(retry, *waiting):
            assert result.replayed
            assert result.session_id == "session 1"
        assert (agent.runs, agent.cancelled) == (1, 0)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "runs"),
    [
        (AgentFailedError("echo"), 1),
        (DeadlineExceededError(2.5), 1),
        (OverloadedError("it is busy"), 2),
        (SessionNotFoundError(), 2),
        (RuntimeError("a bug"), 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failure_is_kept_if_the_agent_may_have_been_called(error: Exception, runs: int) -> None:
    async def main() -> None:
        agent, replays = Agent(error), Replays()
        for attempt in range(2):
            with pytest.raises(type(error)) as caught:
                await once(replays, invocation(), agent)
            assert str(caught.value) == str(error)
            assert getattr(caught.value, "replayed", False) is (runs == 1 and attempt == 1)
        assert agent.runs == runs

    asyncio.run(main())


def test_whoever_waits_for_a_run_that_is_refused_is_refused_too() -> None:
    async def main() -> None:
        agent, replays = Agent(SessionNotFoundError()), Replays()
        asked = [asyncio.ensure_future(once(replays, invocation(), agent)) for _ in range(3)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [SessionNotFoundError] * 3
        assert agent.runs == 1
        agent.error = None
        assert not (await once(replays, invocation(), agent)).replayed

    asyncio.run(main())


def test_a_kept_failure_holds_on_to_nothing_of_its_run() -> None:
    class Secret:
        pass

    held: list[weakref.ref[Secret]] = []

    async def run(_: Invocation) -> Result:
        secret = Secret()
        held.append(weakref.ref(secret))
        raise AgentFailedError("echo") from ValueError(secret)

    async def main() -> None:
        replays = Replays()
        for _ in range(2):
            with pytest.raises(AgentFailedError):
                await once(replays, invocation(), run)
        gc.collect()
        assert replays.stats()["kept"] == 1
        assert held[0]() is None

    asyncio.run(main())


def test_an_outcome_is_kept_for_its_time() -> None:
    async def main() -> None:
        now = [0.0]
        agent, replays = Agent(), Replays(ttl=60, clock=lambda: now[0])
        await once(replays, invocation(), agent)
        now[0] = 59.9
        assert (await once(replays, invocation(), agent)).replayed
        now[0] = 60.0  # from the end of the run, however often it was asked for
        assert not (await once(replays, invocation(name="other"), agent)).replayed
        assert (agent.runs, replays.stats()["expired"]) == (2, 1)

    asyncio.run(main())


def test_the_least_recently_used_is_forgotten_first() -> None:
    async def main() -> None:
        agent, replays = Agent(), Replays(max_entries=3)
        for key in "abc":
            await once(replays, invocation(key), agent)
        await once(replays, invocation("a"), agent)
        await once(replays, invocation("d"), agent)
        assert {key: (await once(replays, invocation(key), agent)).replayed for key in "acd"} == {
            "a": True,
            "c": True,
            "d": True,
        }
        assert not (await once(replays, invocation("b"), agent)).replayed
        assert (replays.stats()["kept"], replays.stats()["evicted"]) == (3, 2)

    asyncio.run(main())


def test_what_is_kept_is_bounded_in_bytes() -> None:
    async def main() -> None:
        agent, replays = Agent(size=100_000), Replays(max_bytes=1_000_000)
        for number in range(50):
            await once(replays, invocation(str(number)), agent)
            assert replays.stats()["bytes"] <= 1_000_000
        assert replays.stats()["kept"] == 9
        agent.size = 2_000_000
        await once(replays, invocation("too large"), agent)
        assert replays.stats()["bytes"] == 0
        assert replays.stats()["evicted"] == 51

    asyncio.run(main())


def test_those_who_wait_are_bounded() -> None:
    async def main() -> None:
        agent, replays = Agent(), Replays(max_waiting=2)
        agent.go = asyncio.Event()
        asked = [asyncio.ensure_future(once(replays, invocation(), agent)) for _ in range(3)]
        await turns()
        with pytest.raises(OverloadedError, match="2 requests wait for runs with their"):
            await once(replays, invocation(), agent)
        asked[1].cancel()
        await turns()
        asked.append(asyncio.ensure_future(once(replays, invocation(), agent)))
        await turns()
        agent.go.set()
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(result, Result) for result in results) == 3

    asyncio.run(main())


def test_those_who_left_are_forgotten_while_the_run_goes_on() -> None:
    async def main() -> None:
        agent, replays = Agent(), Replays()
        agent.go = asyncio.Event()
        first = asyncio.ensure_future(once(replays, invocation(), agent))
        await turns()
        for _ in range(50):
            left = asyncio.ensure_future(once(replays, invocation(), agent))
            await turns(2)
            left.cancel()
            await turns(2)
        (running,) = replays._running.values()
        assert (len(running.others), replays.stats()["waiting"]) == (0, 0)
        agent.go.set()
        assert (await first).session_id == "session 1"

    asyncio.run(main())


@pytest.mark.parametrize("key", ["", "k" * (MAX_KEY_LENGTH + 1), "line\nfeed", "käse", "\x7f"])
def test_a_malformed_key_is_refused(key: str) -> None:
    agent = Agent()
    with pytest.raises(IdempotencyKeyError, match="1 to 255 characters"):
        asyncio.run(once(Replays(), invocation(key), agent))
    assert agent.runs == 0


def test_inputs_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(IdempotencyKeyError, match="cannot be compared"):
        asyncio.run(once(Replays(), invocation(inputs={"query": float("nan")}), Agent()))


def test_a_run_whose_event_loop_ended_is_not_waited_for() -> None:
    agent, replays = Agent(), Replays()

    async def begin() -> None:
        agent.go = asyncio.Event()
        asyncio.ensure_future(once(replays, invocation(), agent)).cancel()
        await turns()

    async def again() -> Result:
        agent.go = None
        return await once(replays, invocation(), agent)

    asyncio.run(begin())
    assert not asyncio.run(again()).replayed


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), True, "1"])
def test_a_ttl_is_a_positive_number(ttl: Any) -> None:
    with pytest.raises(ValueError, match="idempotency_ttl must be a positive number"):
        Replays(ttl)
