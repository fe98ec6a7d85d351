"""What is said about the times of contenders, which these tests choose themselves."""

from __future__ import annotations

import pytest

from bench.comparing import Target, duration, less_than_a_million
from bench.core.contenders import COMPILED, Call, WrongAnswerError, expect, installed
from bench.core.operations import Operation
from bench.core.scale import Scale
from bench.report import Row
from bench.timing import Run

SCALE = Scale(rounds=3, sizes=(1,), many=1)


def taking(nanoseconds: float) -> Run:
    return lambda number: number * nanoseconds / 1e9


def rows_of(operation: Operation) -> dict[str, Row]:
    said: list[str] = []
    rows, _ = operation.measure(SCALE, said.append)
    assert said == [operation.name]
    return {row.name: row for row in rows}


def test_the_own_time_comes_first_then_each_rival() -> None:
    runs = {COMPILED: taking(100), "slow": taking(1_500), "quick": taking(80)}
    rows, data = Operation("get", runs).measure(SCALE, lambda _: None)
    assert [(row.name, row.figure) for row in rows] == [
        ("get", "100 ns (100 ns to 100 ns)"),
        ("get: against slow", "15.0x as fast (15.0 to 15.0); 100 ns against 1,500 ns"),
        ("get: against quick", "1.25x the time (1.25 to 1.25); 100 ns against 80.0 ns"),
    ]
    assert all(row.target == "" and row.met is None for row in rows)
    contenders = data["contenders"]
    assert isinstance(contenders, dict)
    assert contenders["slow"]["median"] == pytest.approx(1.5e-6)
    assert len(contenders["slow"]["seconds"]) == SCALE.rounds


@pytest.mark.parametrize(
    ("factor", "words", "met"),
    [
        (12, "12x as fast", True),
        (15.5, "15.5x as fast", False),
        (10_000, "10,000x as fast", False),
        (1, "no slower", True),
        (0.5, "at most 2x the time", True),
    ],
)
def test_a_target_is_met_or_missed(factor: float, words: str, met: bool) -> None:
    runs = {COMPILED: taking(100), "rival": taking(1_500)}
    row = rows_of(Operation("get", runs, targets=[Target("rival", factor)]))["get: against rival"]
    assert (row.target, row.met) == (words, met)


def test_twice_the_time_is_the_most() -> None:
    for own, met in ((199, True), (201, False)):
        runs = {COMPILED: taking(own), "rival": taking(100)}
        operation = Operation("get", runs, targets=[Target("rival", 1 / 2)])
        assert rows_of(operation)["get: against rival"].met is met


def test_a_miss_says_what_the_target_amounts_to() -> None:
    runs = {COMPILED: taking(100), "rival": taking(900)}
    row = rows_of(Operation("get", runs, targets=[Target("rival", 10)]))["get: against rival"]
    assert row.reason == "the target amounts to 90.0 ns"


def test_a_target_may_be_that_of_another_contender() -> None:
    runs = {COMPILED: taking(100), "manager": taking(200), "rival": taking(900)}
    rows = rows_of(Operation("get", runs, targets=[Target("rival", 4, "manager")]))
    assert rows["get: against rival"].target == ""
    assert rows["get: manager against rival"].figure.startswith("4.50x as fast")
    assert rows["get: manager against rival"].met


def test_a_rival_that_is_not_installed_is_named_and_not_judged() -> None:
    operation = Operation(
        "get",
        {COMPILED: taking(100)},
        absent={"rival": "cachebox is not installed"},
        targets=[Target("rival", 4)],
    )
    row = rows_of(operation)["get: against rival"]
    assert (row.figure, row.met) == ("-", None)
    assert row.reason == "cachebox is not installed"


def test_without_the_compiled_core_nothing_is_judged() -> None:
    absent = {COMPILED: "kaizen_nexus._core.session_table is not installed"}
    rows = rows_of(Operation("get", {"rival": taking(1)}, absent, [Target("rival", 4)]))
    assert [(row.met, row.reason) for row in rows.values()] == [(None, absent[COMPILED])]


def test_a_target_for_a_million_is_not_judged_by_fewer() -> None:
    runs = {COMPILED: taking(100), "rival": taking(1_500)}
    reason = less_than_a_million(100_000)
    operation = Operation("sweep", runs, targets=[Target("rival", 4)], unjudged=reason)
    row = rows_of(operation)["sweep: against rival"]
    assert row.met is None
    assert row.reason == "the target is for a million, and 100,000 were measured"
    assert row.figure.startswith("15.0x")
    assert not less_than_a_million(1_000_000)


def test_figures_of_one_value_are_given_for_those_that_handle_many() -> None:
    runs = {COMPILED: taking(2_000_000)}
    assert rows_of(Operation("fill", runs, per=1_000_000))["fill"].figure.startswith("2.00 ns")


def test_a_call_does_once_what_it_repeats() -> None:
    call = Call("held.get(item)", {"held": {"a": 1}}, ["a"])
    assert call.function()("a") == 1
    assert call.run()(3) > 0.0
    done: list[int] = []
    Call("for i in range(2):\n    done.append(i)", {"done": done}).function()()
    assert done == [0, 1]


def test_what_comes_before_a_measurement_is_done_once() -> None:
    done: list[str] = []
    Call("done.append('timed')", {"done": done}, before=lambda: done.append("before")).run()(2)
    assert done == ["before", "timed", "timed"]


def test_contenders_that_are_not_installed_are_named() -> None:
    def missing() -> int:
        import no_such_module  # type: ignore[import-not-found]

        return int(no_such_module.value)

    assert installed({"there": lambda: 1, "rival": missing}) == (
        {"there": 1},
        {"rival": "no_such_module is not installed"},
    )


def test_a_contender_that_is_broken_is_no_missing_one() -> None:
    def broken() -> int:
        raise ImportError("undefined symbol")

    with pytest.raises(ImportError, match="undefined symbol"):
        installed({"rival": broken})


def test_a_wrong_answer_is_refused() -> None:
    expect("rival", "the state", {"a": 1}, {"a": 1})
    with pytest.raises(WrongAnswerError, match=r"rival: the state gives 1, and should give 2"):
        expect("rival", "the state", 1, 2)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (2.2e-9, "2.20 ns"),
        (95.04e-9, "95.0 ns"),
        (1.815e-6, "1,815 ns"),
        (16.035e-6, "16.0 us"),
        (428e-6, "428 us"),
        (5.35e-3, "5.35 ms"),
        (0.855, "855 ms"),
        (3.2, "3.20 s"),
    ],
)
def test_durations_are_in_the_unit_that_suits_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words
