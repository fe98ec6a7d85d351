"""The engine of the benchmarks, on a clock that the tests move."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.timing import Run, Sample, alternate, calibrate, loop, take_turns


@dataclass
class Clock:
    """Stands still until it is moved."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Contender:
    """Takes the same time for every repetition, and remembers how often it was asked."""

    clock: Clock
    cost: float
    asked: list[int] = field(default_factory=list)

    def __call__(self, number: int) -> float:
        self.asked.append(number)
        self.clock.now += number * self.cost
        return number * self.cost


def test_a_statement_is_repeated_and_its_time_is_what_the_clock_says() -> None:
    clock = Clock()
    done: list[object] = []

    def work(item: object) -> None:
        done.append(item)
        clock.now += 2.0

    run = loop("work(item)", {"work": work}, "abc", timer=clock)
    assert run(2) == 4.0
    assert done == ["a", "b"]
    assert run(5) == 10.0, "goes on where it stopped"
    assert done[2:] == ["c", "a", "b", "c", "a"]


def test_a_statement_of_several_lines_is_repeated() -> None:
    seen: list[int] = []
    loop("for i in range(2):\n    seen.append(i)", {"seen": seen})(2)
    assert seen == [0, 1, 0, 1]


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_off_while_a_time_is_taken(enabled: bool) -> None:
    states: list[bool] = []
    was = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        loop("note(on())", {"note": states.append, "on": gc.isenabled})(1)
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was else gc.disable)()
    assert states == [False]


def test_the_collector_is_on_again_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        loop("1 / 0", {})(1)
    assert gc.isenabled()


@given(cost=st.floats(1e-9, 10.0))
def test_calibration_lasts_long_enough_and_not_much_longer(cost: float) -> None:
    contender = Contender(Clock(), cost)
    number = calibrate(contender, 0.005)
    assert contender.asked[-1] == number
    if number == 1:
        assert cost >= 0.005
    elif cost >= 1e-8:
        assert 0.005 <= number * cost <= 0.006 + cost


def test_calibration_ends_with_a_clock_that_does_not_move() -> None:
    assert calibrate(Contender(Clock(), 0.0), 0.005) == 10_000_000


def test_each_contender_has_its_turn_in_every_round() -> None:
    clock = Clock()
    turns: list[str] = []

    def remembering(name: str, contender: Contender) -> Run:
        def run(number: int) -> float:
            turns.append(name)
            return contender(number)

        return run

    contenders = {name: Contender(clock, cost) for name, cost in (("a", 1e-3), ("b", 1e-5))}
    runs = {name: remembering(name, contender) for name, contender in contenders.items()}
    samples = take_turns(runs, 20, at_least=0.005, timer=clock)
    rounds = turns[-40:]
    pairs = [tuple(rounds[i : i + 2]) for i in range(0, 40, 2)]
    assert set(pairs) == {("a", "b"), ("b", "a")}, "in an order that changes"
    for name, contender in contenders.items():
        assert set(contender.asked[-20:]) == {calibrate(Contender(clock, contender.cost), 0.005)}
        assert samples[name].seconds == pytest.approx([contender.cost] * 20)


def test_what_takes_long_is_measured_in_fewer_rounds_but_in_three() -> None:
    clock = Clock()
    runs = {"slow": Contender(clock, 2.0), "fast": Contender(clock, 1.0)}
    assert len(take_turns(runs, 25, budget=15.0, timer=clock)["slow"].seconds) == 5
    assert len(take_turns(runs, 25, budget=0.0, timer=clock)["slow"].seconds) == 3
    assert len(take_turns(runs, 25, timer=clock)["slow"].seconds) == 25
    assert len(take_turns(runs, 2, budget=0.0, timer=clock)["slow"].seconds) == 2


def test_ratios_are_taken_round_by_round() -> None:
    own, rival = Sample((1.0, 2.0, 10.0)), Sample((10.0, 10.0, 200.0))
    assert own.times(rival).seconds == (10.0, 5.0, 20.0)
    with pytest.raises(ValueError, match="shorter"):
        own.times(Sample((1.0,)))


def test_the_spread_is_the_quartiles() -> None:
    assert Sample((5.0, 1.0, 2.0, 3.0, 4.0)).spread == (2.0, 4.0)
    assert Sample((7.0,)).spread == (7.0, 7.0)


def test_single_calls_are_made_in_turn_after_one_that_does_not_count() -> None:
    calls: list[str] = []
    samples = alternate({name: lambda n=name: calls.append(n) for name in "ab"}, 3)
    assert sorted(calls) == sorted("ab" * 4)
    assert {len(sample.seconds) for sample in samples.values()} == {3}
