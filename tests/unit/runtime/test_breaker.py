"""When an agent is quarantined, for how long, and what counts."""

from __future__ import annotations

import contextlib
import logging
import math
import random
import threading
from typing import Any

import pytest

from kaizen_nexus.agents.errors import InputError, InvalidInputsError
from kaizen_nexus.runtime.breaker import Attempt, Breaker, Quarantine, in_force
from kaizen_nexus.runtime.errors import (
    AbandonedError,
    AgentFailedError,
    DeadlineExceededError,
    OverloadedError,
    QuarantinedError,
    ResultTooLargeError,
    SessionNotFoundError,
)

SETTINGS = Quarantine(failures=3, rate=0.5, window=20, pause=5, max_pause=18, max_abandoned=2)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Agent:
    """A deployment whose runs end as they are told to, by a clock that is told the time."""

    def __init__(self, settings: Quarantine | None = SETTINGS) -> None:
        self.clock = Clock()
        self.breaker = Breaker("agent", 2, settings, self.clock)

    def run(self, error: Exception | None = None, begin: bool = True) -> None:
        attempt = self.breaker.attempt()
        if begin:
            attempt.make(lambda: None)
        attempt.close(error)

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.run(AgentFailedError("agent"))

    def wait(self) -> int:
        with pytest.raises(QuarantinedError) as refusal:
            self.breaker.attempt()
        return refusal.value.retry_after


def test_failures_in_a_row_open_the_circuit_and_a_success_closes_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent = Agent()
    caplog.set_level(logging.INFO, "kaizen_nexus.runtime")
    agent.fail(2)
    agent.run()
    agent.fail(2)
    assert agent.breaker.state == "closed"
    agent.fail()
    assert (agent.breaker.state, agent.wait()) == ("open", 5)
    agent.clock.now += 3.5
    assert agent.wait() == 2
    agent.clock.now += 1.5
    probe = agent.breaker.attempt()
    assert (agent.breaker.state, probe.probe) == ("half-open", True)
    assert agent.wait() == 1  # one at a time
    probe.make(lambda: None)
    probe.close(None)
    assert agent.breaker.state == "closed"
    agent.fail(2)
    assert agent.breaker.state == "closed"  # what was before counts no longer
    assert agent.breaker.stats() == {
        "version": 2,
        "circuit": "closed",
        "recent_failures": 2,
        "opened": 1,
        "refused": 3,
        "abandoned": 0,
        "blocked": 0,
        "isolated": False,
    }
    assert [record.getMessage() for record in caplog.records] == [
        "'agent' (version 2) has failed 3 times in a row, and is quarantined for 5 s",
        "'agent' (version 2) is tried again",
        "'agent' (version 2) answers again, and is quarantined no longer",
    ]


def test_so_does_failing_too_often(caplog: pytest.LogCaptureFixture) -> None:
    agent = Agent()
    for _ in range(9):
        agent.run()
        agent.fail()
    assert agent.breaker.state == "closed"
    agent.run()
    agent.fail()
    assert agent.breaker.state == "open"
    assert "has failed 10 times in its last 20 runs, and is quarantined" in caplog.text


def test_pauses_double_up_to_a_bound_while_the_agent_fails_or_soon_fails_again() -> None:
    agent = Agent()
    agent.fail(3)
    waits = []
    for _ in range(3):
        waits.append(agent.wait())
        agent.clock.now += waits[-1]
        agent.fail()
    assert (waits, agent.wait()) == ([5, 10, 18], 18)
    agent.clock.now += 18
    agent.run()
    agent.clock.now += 17
    agent.fail(3)
    assert agent.wait() == 18  # it was well for a shorter time than it had been away
    agent.clock.now += 18
    agent.run()
    agent.clock.now += 18
    agent.fail(3)
    assert agent.wait() == 5


def test_a_probe_that_tells_nothing_leaves_its_place_to_the_next_one() -> None:
    agent = Agent()
    agent.fail(3)
    agent.clock.now += 5
    for error in (AbandonedError(), OverloadedError("things wait")):
        agent.run(error)
        assert agent.breaker.state == "half-open"
    agent.run()
    assert agent.breaker.state == "closed"


@pytest.mark.parametrize(
    "error",
    [
        AgentFailedError("agent"),
        DeadlineExceededError(1.0),
        ResultTooLargeError(1, 1),
    ],
)
def test_what_the_agent_did_counts_once_it_was_called(error: Exception) -> None:
    agent = Agent()
    for _ in range(9):
        agent.run(error, begin=False)
    assert agent.breaker.stats() is None
    for _ in range(3):
        agent.run(error)
    assert agent.breaker.state == "open"


@pytest.mark.parametrize(
    "error",
    [
        AbandonedError(),
        OverloadedError("threads run on"),
        SessionNotFoundError(),
        InvalidInputsError((InputError("/x", "wrong"),)),
    ],
)
def test_what_others_did_does_not(error: Exception) -> None:
    agent = Agent()
    for _ in range(9):
        agent.run(error)
    assert agent.breaker.stats() is None


def test_one_that_fails_for_bad_luck_is_not_cut_off() -> None:
    luck = random.Random(7)  # noqa: S311
    agent = Agent(Quarantine())
    for _ in range(100_000):
        agent.run(AgentFailedError("agent") if luck.random() < 0.15 else None)
    assert agent.breaker.opened == 0


def test_runs_from_before_the_circuit_opened_neither_close_nor_open_it() -> None:
    agent = Agent()
    early, late = agent.breaker.attempt(), agent.breaker.attempt()
    agent.fail(3)
    early.make(lambda: None)
    early.close(None)
    assert agent.breaker.state == "open"
    agent.clock.now += 5
    probe = agent.breaker.attempt()
    late.make(lambda: None)
    late.close(AgentFailedError("agent"))
    assert agent.breaker.state == "half-open"
    probe.close(None)
    assert agent.breaker.state == "closed"


def test_runs_that_go_on_although_they_were_given_up_are_bounded() -> None:
    agent = Agent()
    left: list[Attempt] = []
    for _ in range(2):
        agent.run()
        left.append(agent.breaker.attempt())
        left[-1].begin()
        left[-1].close(DeadlineExceededError(1.0))
    assert (agent.breaker.state, agent.breaker.abandoned, agent.wait()) == ("closed", 2, 5)
    left.pop().end()
    agent.run()
    left.pop().end()
    left = []
    assert agent.breaker.abandoned == 0


def test_one_that_is_given_up_before_it_began_is_not_called_and_counts_nowhere() -> None:
    agent = Agent()
    attempt = agent.breaker.attempt()
    attempt.close(DeadlineExceededError(1.0))
    with pytest.raises(AbandonedError):
        attempt.make(lambda: pytest.fail("it was called"))
    assert agent.breaker.stats() is None


def test_blocking_the_event_loop_is_a_failure_and_twice_soon_leads_to_isolation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent = Agent()

    def block() -> None:
        attempt = agent.breaker.attempt()
        attempt.make(lambda: attempt.caught(0.25, "agent.py:7"))
        attempt.close(None)

    block()
    agent.clock.now += 301
    block()
    assert (agent.breaker.blocked, agent.breaker.isolated) == (2, False)
    assert "in a thread" not in caplog.text
    agent.clock.now += 299
    block()
    assert (agent.breaker.isolated, agent.breaker.state) == (True, "open")
    assert (
        "'agent' (version 2) has blocked the event loop for more than 0.25 s, at agent.py:7; "
        "no other request is answered meanwhile. Await what takes time, or make the agent a "
        "synchronous function. From now on it is run in a thread, with an event loop of its own"
    ) in caplog.text


def test_an_agent_that_was_caught_once_is_tried_again_in_a_thread() -> None:
    agent = Agent()
    attempt = agent.breaker.attempt()
    attempt.make(lambda: attempt.caught(0.25, "agent.py:7"))
    attempt.close(None)
    agent.fail(2)
    assert not attempt.isolated
    agent.clock.now += 5
    assert agent.breaker.attempt().isolated


def test_the_environment_can_switch_quarantine_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_force(SETTINGS) is SETTINGS
    monkeypatch.setenv("KAIZEN_NEXUS_QUARANTINE", "off")
    assert in_force(SETTINGS) is None


def test_without_settings_nothing_is_refused() -> None:
    agent = Agent(None)
    agent.fail(1_000)
    for _ in range(2):
        agent.breaker.attempt().caught(1.0, "agent.py:7")
    assert not agent.breaker.isolated
    assert (agent.breaker.state, agent.breaker.stats()) == ("closed", None)


def test_threads_may_use_one_breaker() -> None:
    breaker = Breaker("agent", 1, Quarantine(failures=5, pause=1e-6, max_pause=1e-5))
    lock = threading.Lock()
    probing = most = 0

    def run(fails: bool) -> None:
        nonlocal probing, most
        attempt = breaker.attempt()
        with lock:
            probing += attempt.probe
            most = max(most, probing)
        attempt.make(lambda: None)
        with lock:
            probing -= attempt.probe
        attempt.close(AgentFailedError("agent") if fails else None)

    def work(seed: int) -> None:
        for number in range(3_000):
            with contextlib.suppress(QuarantinedError):
                run((seed + number) % 10 < 7)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, probing, breaker.abandoned) == (1, 0, 0)
    assert breaker.opened > 1


@pytest.mark.parametrize(
    "settings",
    [
        {"failures": 0},
        {"failures": 5, "window": 4},
        {"window": 10_001},
        {"rate": 0},
        {"rate": 1.1},
        {"rate": math.nan},
        {"pause": 0},
        {"pause": 10, "max_pause": 9},
        {"max_pause": math.inf},
        {"max_abandoned": True},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Quarantine(**settings)
