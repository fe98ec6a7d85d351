# ruff: noqa: DTZ005, DTZ006, DTZ901 - naive local datetimes are what is tested
from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from kaizen_nexus.sessions.wallclock import WallClock, default_wall_clock

SECOND = 1_000_000_000
WALL = 1_790_000_000 * SECOND


class Clocks:
    def __init__(self) -> None:
        self.now = 5 * SECOND
        self.wall = WALL

    def pair(self) -> WallClock:
        return WallClock(lambda: self.now, lambda: self.wall)


def test_a_moment_is_told_as_the_wall_clock_told_it():
    clocks = Clocks()
    clock = clocks.pair()
    first = datetime.fromtimestamp(1_790_000_000)
    assert clock.to_datetime(5 * SECOND) == first
    assert clock.to_datetime(6 * SECOND + 2_000) == first + timedelta(seconds=1, microseconds=2)
    assert clock.from_datetime(first) == 5 * SECOND


@pytest.mark.parametrize("microsecond", [0, 1, 499_999, 999_999])
def test_microseconds_come_back_unchanged(microsecond):
    clock = default_wall_clock()
    moment = datetime.now().replace(microsecond=microsecond)
    assert clock.to_datetime(clock.from_datetime(moment)) == moment


def test_a_step_of_the_wall_clock_shows_but_changes_no_distance():
    clocks = Clocks()
    clock = clocks.pair()
    began, ends = 5 * SECOND, 65 * SECOND
    before = clock.to_datetime(began)
    clocks.wall += 3600 * SECOND
    after = clock.to_datetime(began)
    assert after - before == timedelta(hours=1)
    assert clock.to_datetime(ends) - after == timedelta(minutes=1)
    clocks.wall -= 7200 * SECOND
    assert before - clock.to_datetime(began) == timedelta(hours=1)


def test_jitter_between_two_readings_moves_nothing():
    clocks = Clocks()
    clock = clocks.pair()
    before = clock.to_datetime(0)
    clocks.wall += 900_000
    assert clock.to_datetime(0) == before


def test_a_thread_suspended_between_the_readings_does_not_look_like_a_step():
    clocks = Clocks()
    clock = clocks.pair()
    before = clock.to_datetime(0)

    def slow_wall():
        clocks.now += SECOND
        clocks.wall += SECOND
        return clocks.wall

    clock._wall = slow_wall
    assert clock.to_datetime(0) == before


def test_moments_out_of_range_are_clamped():
    clock = Clocks().pair()
    assert clock.to_datetime(-(2**62)) == datetime.fromtimestamp(0)
    assert clock.from_datetime(datetime.min) < 0
    assert clock.from_datetime(datetime.max) > 70 * 365 * 86_400 * SECOND


def test_a_moment_is_restated_on_another_clock():
    first, second = Clocks(), Clocks()
    second.now += 100 * SECOND
    here, there = first.pair(), second.pair()
    assert there.restated(5 * SECOND, here) == 105 * SECOND
    assert here.restated(105 * SECOND, there) == 5 * SECOND
    assert there.restated(2**62, here) == 2**62
    assert here.restated(-(2**62), there) == -(2**62)
