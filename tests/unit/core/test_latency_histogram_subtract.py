"""Taking an earlier copy out of a histogram leaves the interval, on both implementations."""

from __future__ import annotations

import importlib
import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

REFUSAL = r"^subtract\(\) takes a histogram of values that are all in this one$"
numbers = st.one_of(
    st.floats(),
    st.floats(0, 1e-6),
    st.floats(-9, 9.9).map(lambda exponent: 10.0**exponent),
    st.sampled_from([0.0, 0.5, 0.5000001, 1.0, 2.0**33]),
)


@pytest.fixture(
    scope="module", params=["kaizen_nexus._core", "kaizen_nexus._fallback"], ids=["c", "py"]
)
def histogram_class(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(f"{request.param}.latency_histogram").LatencyHistogram


def recorded(histogram_class: Any, values: list[float], exact: int = 4096) -> Any:
    histogram = histogram_class(exact=exact)
    for value in values:
        histogram.record(value)
    return histogram


def exact_parts(histogram: Any) -> tuple[bytes, bytes, bytes]:
    """Return count and clamped values, sums, and buckets, as the binary form has them."""
    data = histogram.to_bytes()
    buckets = int.from_bytes(data[497:501], "little")
    return data[9:41], data[57:497], data[497 : 501 + 10 * buckets]


def as_recorded(value: float) -> tuple[float, str]:
    """Return what a value is recorded as, and why."""
    if math.isnan(value):
        return 0.0, "nan"
    if value < 0.0:
        return 0.0, "negative"
    return (2.0**33, "overflow") if value > 2.0**33 else (value, "")


def kept(values: list[float]) -> list[float]:
    return [as_recorded(value)[0] for value in values]


def test_an_earlier_copy_leaves_the_interval(histogram_class: Any) -> None:
    current = recorded(histogram_class, [1.0, -1.0, 0.001])
    previous = current.copy()
    for value in (0.25, math.nan, 0.002):
        current.record(value)
    current.subtract(previous)
    assert current == recorded(histogram_class, [0.25, math.nan, 0.002])
    assert previous == recorded(histogram_class, [1.0, -1.0, 0.001])
    current.record(4.0)
    assert current.recent() == [0.25, 0.0, 0.002, 4.0]
    assert (current.min, current.max) == (0.0, 4.0)


@given(first=st.lists(numbers, max_size=40), second=st.lists(numbers, max_size=40))
def test_the_interval_is_exact_while_its_values_are_retained(
    histogram_class: Any, first: list[float], second: list[float]
) -> None:
    current = recorded(histogram_class, first, exact=40)
    previous = current.copy()
    for value in second:
        current.record(value)
    current.subtract(previous)
    assert current == recorded(histogram_class, second, exact=40)


@given(
    first=st.lists(numbers, max_size=40),
    second=st.lists(numbers, max_size=40),
    exact=st.integers(0, 40),
)
def test_the_interval_is_within_its_buckets_beyond(
    histogram_class: Any, first: list[float], second: list[float], exact: int
) -> None:
    current = recorded(histogram_class, first, exact)
    previous = current.copy()
    for value in second:
        current.record(value)
    current.subtract(previous)
    expected = recorded(histogram_class, second, exact)
    assert exact_parts(current) == exact_parts(expected)
    assert current.recent() == expected.recent()
    assert current.min <= expected.min
    assert current.max >= expected.max
    # A bucket is at most 1/512 of its lower edge wide, or 1 ns.
    assert current.min == pytest.approx(expected.min, rel=1 / 512, abs=1e-9)
    assert current.max == pytest.approx(expected.max, rel=1 / 512, abs=1e-9)
    assert histogram_class.from_bytes(current.to_bytes()) == current


@given(
    first=st.lists(numbers, max_size=30),
    second=st.lists(numbers, max_size=30),
    exacts=st.tuples(st.integers(0, 70), st.integers(0, 70)),
    data=st.data(),
)
def test_what_was_merged_can_be_taken_out_again(
    histogram_class: Any,
    first: list[float],
    second: list[float],
    exacts: tuple[int, int],
    data: st.DataObject,
) -> None:
    one = recorded(histogram_class, first, exacts[0])
    other = recorded(histogram_class, second, exacts[1])
    merged = one.copy()
    merged.merge(other)
    taken, left = data.draw(st.sampled_from([(one, second), (other, first)]))
    merged.subtract(taken)
    expected = recorded(histogram_class, left, exacts[0])
    assert exact_parts(merged) == exact_parts(expected)
    # Whatever is retained belongs to what is left; decoding verifies every relation.
    assert histogram_class.from_bytes(merged.to_bytes()) == merged
    assert merged.retained <= merged.count == len(left)
    if left:
        assert merged.min <= min(kept(left))
        assert merged.max >= max(kept(left))
    if merged.retained == merged.count:
        assert merged.summary() == recorded(histogram_class, left).summary()


@given(
    first=st.lists(numbers, max_size=12),
    second=st.lists(numbers, max_size=12),
    exact=st.integers(0, 12),
)
def test_anything_else_is_refused_and_changes_nothing(
    histogram_class: Any, first: list[float], second: list[float], exact: int
) -> None:
    histogram = recorded(histogram_class, first, exact)
    before = histogram.to_bytes()
    try:
        histogram.subtract(recorded(histogram_class, second, exact))
    except ValueError:
        assert histogram.to_bytes() == before
        assert not Counter(map(as_recorded, second)) <= Counter(map(as_recorded, first))
    else:
        assert histogram.count == len(first) - len(second)
        total = sum(map(Fraction, kept(first))) - sum(map(Fraction, kept(second)))
        assert histogram.sum == float(total)
        assert histogram_class.from_bytes(histogram.to_bytes()) == histogram


@pytest.mark.parametrize(
    ("values", "others"),
    [
        ([1.0], [1.0, 1.0]),
        ([1.0], [2.0]),
        ([1.0, 2.0], [3.0]),
        ([1.0], [1.0001]),  # the same bucket, and a greater sum
        ([1.0001], [1.0]),  # nothing would be left but a sum
        ([0.0], [-1.0]),
        ([-1.0], [0.0]),  # a clamped value would be left without a bucket
        ([0.0, -1.0], [0.0, 0.0]),
        ([1.001, 1.001], [1.0005]),  # the same bucket, but the one left would exceed it
        ([2.0**33, math.inf], [2.0**33, 2.0**33]),
        ([], [0.0]),
    ],
)
@pytest.mark.parametrize("exact", [0, 1, 100])
def test_what_was_not_recorded_is_refused(
    histogram_class: Any, values: list[float], others: list[float], exact: int
) -> None:
    histogram = recorded(histogram_class, values, exact)
    before = histogram.to_bytes()
    with pytest.raises(ValueError, match=REFUSAL):
        histogram.subtract(recorded(histogram_class, others))
    assert histogram.to_bytes() == before


def test_a_reset_shows_as_a_refusal(histogram_class: Any) -> None:
    histogram = recorded(histogram_class, [1.0, 2.0])
    previous = histogram.copy()
    histogram.reset()
    histogram.record(1.0)
    with pytest.raises(ValueError, match=REFUSAL):
        histogram.subtract(previous)
    assert histogram.recent() == [1.0]


def test_subtracting_takes_histograms_only(histogram_class: Any) -> None:
    with pytest.raises(TypeError, match=r"^subtract\(\) takes a LatencyHistogram, not dict$"):
        histogram_class().subtract({})


def test_a_histogram_less_itself_is_empty(histogram_class: Any) -> None:
    histogram = recorded(histogram_class, [1.0, 2.0, math.nan] * 9, exact=10)
    histogram.subtract(histogram)
    assert histogram == histogram_class(exact=10)
    histogram.subtract(histogram_class())
    assert histogram == histogram_class(exact=10)


@pytest.mark.parametrize("interval", [1, 60, 64, 100, 300, 700])
@pytest.mark.parametrize("start", [0, 1, 63, 64, 500, 1023, 1024, 1500])
def test_the_ring_goes_on_where_it_was(histogram_class: Any, start: int, interval: int) -> None:
    values = np.random.default_rng(start).lognormal(-5, 2, start + interval + 3000)
    current = histogram_class(exact=1024)
    current.record_many(values[:start])
    previous = current.copy()
    current.record_many(values[start : start + interval])
    current.subtract(previous)
    expected = histogram_class(exact=1024)
    expected.record_many(values[start : start + interval])
    assert current == expected
    for size in (1, 200, 2799):
        current.record_many(values[-size:])
        expected.record_many(values[-size:])
        assert current == expected


def test_a_part_that_is_not_the_beginning_leaves_no_wrong_samples(histogram_class: Any) -> None:
    histogram = recorded(histogram_class, [1.0, 2.0, 3.0])
    histogram.subtract(recorded(histogram_class, [3.0]))
    # The newest two samples are 2 and 3, but 1 and 2 are left.
    assert (histogram.recent(), histogram.retained) == ([], 0)
    assert (histogram.count, histogram.sum, histogram.mean) == (2, 3.0, 1.5)
    assert histogram.percentiles((1, 100)) == pytest.approx([1.0, 2.0], rel=1 / 512)
    histogram.record(0.5)
    assert histogram.recent() == [0.5]
    assert histogram.min == 0.5


def test_subtracting_goes_on_at_the_edges_of_buckets(histogram_class: Any) -> None:
    # The bounds of a bucket are the least and the greatest double that it counts.
    for bits in range(10, 63):
        for step in (-1, 0, 1):
            edge = (2.0**bits + step * 2.0 ** (bits - 9)) / 1e9
            inside = [edge, math.nextafter(edge, 0), math.nextafter(edge, math.inf)]
            histogram = recorded(histogram_class, [*inside, 1e-9, 2.0**33], exact=0)
            histogram.subtract(recorded(histogram_class, [1e-9, 2.0**33]))
            assert histogram.count == 3
            assert histogram.min <= min(inside)
            assert histogram.max >= max(inside)
            assert histogram_class.from_bytes(histogram.to_bytes()) == histogram
