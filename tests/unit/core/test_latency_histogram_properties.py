"""The statistics against independent references, on both implementations."""

from __future__ import annotations

import importlib
import math
import statistics
from array import array
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

DAY = 86_400.0
latencies = st.one_of(
    st.floats(-6, math.log10(DAY)).map(lambda exponent: min(10.0**exponent, DAY)),
    st.floats(1e-6, DAY),
    st.integers(1_000, 10**12).map(lambda nanoseconds: nanoseconds / 1e9),
    # Either side of the edges of the octaves, where a floating-point logarithm errs.
    st.builds(lambda bits, step: (2.0**bits + step) / 1e9, st.integers(10, 46), st.integers(-1, 1)),
)
durations = st.one_of(latencies, st.floats(0, 2.0**33))
percentages = st.decimals(0, 100, places=3)


@pytest.fixture(
    scope="module", params=["kaizen_nexus._core", "kaizen_nexus._fallback"], ids=["c", "py"]
)
def histogram_class(request: pytest.FixtureRequest) -> Any:
    # Of module scope, unlike `core`, because Hypothesis runs many examples in one fixture.
    return importlib.import_module(f"{request.param}.latency_histogram").LatencyHistogram


def recorded(histogram_class: Any, values: list[float], exact: int) -> Any:
    histogram = histogram_class(exact=exact)
    for value in values:
        histogram.record(value)
    return histogram


def true_order_statistic(values: list[float], percentage: Decimal) -> float:
    rank = (percentage * len(values) / 100).to_integral_value(ROUND_CEILING)
    return sorted(values)[max(int(rank), 1) - 1]


def is_correctly_rounded_root(root: float, square: Fraction) -> bool:
    below, above = math.nextafter(root, 0.0), math.nextafter(root, math.inf)
    lower, upper = ((Fraction(root) + Fraction(other)) / 2 for other in (below, above))
    return lower**2 <= square <= upper**2


@given(values=st.lists(durations, min_size=1, max_size=60))
def test_every_statistic_is_exact_while_all_values_are_retained(
    histogram_class: Any, values: list[float]
) -> None:
    summary = recorded(histogram_class, values, exact=60).summary()
    assert summary["mean"] == statistics.mean(values)
    assert summary["median"] == statistics.median(values)
    assert (summary["min"], summary["max"]) == (min(values), max(values))
    assert summary["count"] == len(values)
    for name, percentage in (("p50", 50), ("p90", 90), ("p95", 95), ("p99", 99)):
        assert summary[name] == true_order_statistic(values, Decimal(percentage))
    assert is_correctly_rounded_root(summary["stddev"], statistics.pvariance(map(Fraction, values)))


@given(values=st.lists(durations, min_size=1, max_size=60), percentage=percentages)
def test_percentiles_are_order_statistics_while_all_values_are_retained(
    histogram_class: Any, values: list[float], percentage: Decimal
) -> None:
    histogram = recorded(histogram_class, values, exact=60)
    assert histogram.percentile(percentage) == true_order_statistic(values, percentage)


@given(values=st.lists(latencies, min_size=1, max_size=60), percentage=percentages)
def test_percentiles_are_within_a_thousandth_beyond(
    histogram_class: Any, values: list[float], percentage: Decimal
) -> None:
    histogram = recorded(histogram_class, values, exact=0)
    expected = true_order_statistic(values, percentage)
    assert histogram.percentile(percentage) == pytest.approx(expected, rel=0.001, abs=0)
    assert histogram.median == pytest.approx(statistics.median(values), rel=0.001, abs=0)


@pytest.mark.parametrize("bits", range(10, 47))
def test_percentiles_are_within_a_thousandth_in_every_octave(
    histogram_class: Any, bits: int
) -> None:
    # Edges and middles of all 512 buckets of an octave, from 1.024 us to 39 h, and their
    # neighbours, in turn the only value and one of many.
    edges = (1.0 + np.arange(1024) / 1024) * (2.0**bits / 1e9)
    values = np.sort(np.concatenate([np.nextafter(edges, 0), edges, np.nextafter(edges, np.inf)]))
    many = histogram_class(exact=0)
    many.record_many(values)
    ranks = np.arange(1, values.size + 1)
    reported = np.array(many.percentiles((ranks * (100.0 / values.size)).tolist()))
    assert np.abs(reported / values - 1).max() <= 0.001
    for value in values[::7].tolist():
        # Between a lesser and a greater value, which do not clip what is reported.
        alone = recorded(histogram_class, [value / 2, value, value * 2], exact=0)
        assert abs(alone.percentile(50) / value - 1) <= 0.001


@given(
    values=st.lists(latencies, min_size=1, max_size=20),
    repeats=st.integers(1, 400),
    percentage=percentages,
    exact=st.integers(0, 5000),
)
def test_percentiles_of_many_values(
    histogram_class: Any, values: list[float], repeats: int, percentage: Decimal, exact: int
) -> None:
    histogram = histogram_class(exact=exact)
    histogram.record_many(array("d", values * repeats))
    expected = true_order_statistic(values * repeats, percentage)
    tolerance = 0 if exact >= len(values) * repeats else 0.001
    assert histogram.percentile(percentage) == pytest.approx(expected, rel=tolerance, abs=0)


@given(values=st.lists(st.floats(0, 1e-6), min_size=1, max_size=60), percentage=percentages)
def test_percentiles_are_within_half_a_nanosecond_below_a_microsecond(
    histogram_class: Any, values: list[float], percentage: Decimal
) -> None:
    histogram = recorded(histogram_class, values, exact=0)
    expected = true_order_statistic(values, percentage)
    assert abs(histogram.percentile(percentage) - expected) <= 0.5e-9 * (1 + 1e-9)


@given(values=st.lists(durations, min_size=1, max_size=60))
def test_the_other_statistics_are_exact_beyond_as_well(
    histogram_class: Any, values: list[float]
) -> None:
    histogram = recorded(histogram_class, values, exact=0)
    assert histogram.mean == statistics.mean(values)
    assert histogram.sum == math.fsum(values)
    assert (histogram.min, histogram.max) == (min(values), max(values))
    assert histogram.percentiles((0, 100)) == [min(values), max(values)]
    assert is_correctly_rounded_root(histogram.stddev, statistics.pvariance(map(Fraction, values)))


@given(values=st.lists(durations, min_size=1, max_size=60), exact=st.integers(0, 60))
def test_percentiles_never_decrease(histogram_class: Any, values: list[float], exact: int) -> None:
    reported = recorded(histogram_class, values, exact).percentiles(range(0, 101, 4))
    assert reported == sorted(reported)


@given(
    first=st.lists(st.floats(), max_size=30),
    second=st.lists(st.floats(), max_size=30),
    exact=st.integers(0, 40),
)
def test_merging_is_recording_both(
    histogram_class: Any, first: list[float], second: list[float], exact: int
) -> None:
    merged = recorded(histogram_class, first, exact)
    merged.merge(recorded(histogram_class, second, exact))
    assert merged == recorded(histogram_class, first + second, exact)


@given(values=st.lists(st.floats(), max_size=30), exact=st.integers(0, 40))
def test_bytes_and_bulk_recording_reproduce_the_histogram(
    histogram_class: Any, values: list[float], exact: int
) -> None:
    histogram = recorded(histogram_class, values, exact)
    restored = histogram_class.from_bytes(histogram.to_bytes())
    assert restored == histogram
    assert restored.summary() == histogram.summary()
    bulk = histogram_class(exact=exact)
    bulk.record_many(array("d", values))
    assert bulk == histogram
