"""The compiled histogram against its pure-Python twin: same figures, bytes and errors."""

from __future__ import annotations

from array import array
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from kaizen_nexus._core.latency_histogram import LatencyHistogram as Compiled

from kaizen_nexus._fallback.latency_histogram import LatencyHistogram as Pure

anything = st.one_of(
    st.floats(),
    st.floats(0, 1),
    st.floats(-9, 9.9).map(lambda exponent: 10.0**exponent),
    st.integers(),
    st.fractions(),
    st.text(max_size=2),
    st.none(),
    st.booleans(),
)


def outcome(action: Any, *arguments: Any) -> Any:
    try:
        return action(*arguments)
    except (TypeError, ValueError, OverflowError) as error:
        return type(error), str(error)


class Twins(RuleBasedStateMachine):
    """Two pairs of histograms, each compiled and pure; whatever is done to one twin is to both."""

    @initialize(first=st.integers(0, 8), second=st.integers(0, 200))
    def create(self, first: int, second: int) -> None:
        self.pairs = [(Compiled(exact=exact), Pure(exact=exact)) for exact in (first, second)]

    def both(self, which: int, name: str, *arguments: Any) -> None:
        compiled, pure = self.pairs[which]
        result = outcome(getattr(compiled, name), *arguments)
        assert result == outcome(getattr(pure, name), *arguments)

    @rule(which=st.integers(0, 1), value=anything)
    def record(self, which: int, value: Any) -> None:
        self.both(which, "record", value)

    @rule(which=st.integers(0, 1), number=st.integers(1, 1200), value=st.floats())
    def record_over_and_over(self, which: int, number: int, value: float) -> None:
        for histogram in self.pairs[which]:
            for _ in range(number):
                histogram.record(value)

    @rule(which=st.integers(0, 1), values=st.lists(st.floats(), max_size=100))
    def record_many(self, which: int, values: list[float]) -> None:
        self.both(which, "record_many", array("d", values))

    @rule(which=st.integers(0, 1), values=st.lists(anything, max_size=5))
    def percentiles(self, which: int, values: list[Any]) -> None:
        self.both(which, "percentiles", values)

    @rule(
        which=st.integers(0, 1),
        start=st.one_of(st.integers(-300, 300), anything),
        stop=st.one_of(st.none(), st.integers(-300, 300)),
    )
    def recent(self, which: int, start: Any, stop: Any) -> None:
        self.both(which, "recent", start, stop)

    @rule(into=st.integers(0, 1), source=st.integers(0, 1))
    def merge(self, into: int, source: int) -> None:
        for twin in (0, 1):
            self.pairs[into][twin].merge(self.pairs[source][twin])

    @rule(source=st.integers(0, 1), minuend=st.integers(0, 1))
    def subtract(self, source: int, minuend: int) -> None:
        results = [
            outcome(self.pairs[minuend][twin].subtract, self.pairs[source][twin]) for twin in (0, 1)
        ]
        assert results[0] == results[1]

    @rule(which=st.integers(0, 1), values=st.lists(st.floats(), max_size=30))
    def subtract_an_earlier_copy(self, which: int, values: list[float]) -> None:
        for histogram in self.pairs[which]:
            earlier = histogram.copy()
            histogram.record_many(array("d", values))
            histogram.subtract(earlier)

    @rule(which=st.integers(0, 1))
    def reset(self, which: int) -> None:
        self.both(which, "reset")

    @rule(which=st.integers(0, 1))
    def exchange_bytes(self, which: int) -> None:
        compiled, pure = self.pairs[which]
        self.pairs[which] = (
            Compiled.from_bytes(pure.to_bytes()),
            Pure.from_bytes(compiled.to_bytes()),
        )

    @invariant()
    def twins_agree(self) -> None:
        for compiled, pure in getattr(self, "pairs", ()):
            assert compiled.summary() == pure.summary()
            assert compiled.clamped == pure.clamped
            assert compiled.sum == pure.sum
            assert repr(compiled) == repr(pure)
            assert compiled.to_bytes() == pure.to_bytes()


class TestTwins(Twins.TestCase):
    settings = settings(max_examples=min(20, settings.default.max_examples))


@pytest.mark.slow
class TestTwinsAtLength(Twins.TestCase):
    pass


@given(st.lists(st.floats(0, 2.0**33), min_size=1))
def test_buckets_are_the_same(values: list[float]) -> None:
    compiled, pure = Compiled(exact=0), Pure(exact=0)
    for value in values:
        # Neighbours in the last bit, where rounding to whole nanoseconds decides the bucket.
        for neighbour in (value, round(value, 9), round(value * 1e9) / 1e9):
            compiled.record(neighbour)
            pure.record(neighbour)
    assert compiled.to_bytes() == pure.to_bytes()
