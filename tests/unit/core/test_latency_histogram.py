"""What a histogram promises, on both implementations."""

from __future__ import annotations

import copy
import math
import pickle
import statistics
from array import array
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

MAX_SECONDS = 2.0**33


@pytest.fixture
def histogram_class(core: Any) -> Any:
    return core.module("latency_histogram").LatencyHistogram


@pytest.fixture
def histogram(histogram_class: Any) -> Any:
    return histogram_class()


def recorded(histogram_class: Any, values: list[float], exact: int = 4096) -> Any:
    histogram = histogram_class(exact=exact)
    for value in values:
        histogram.record(value)
    return histogram


def test_an_empty_histogram_reports_zeros(histogram: Any) -> None:
    assert set(histogram.summary().values()) == {0}
    assert list(histogram.summary()) == [
        "mean", "median", "min", "max", "count", "p50", "p90", "p95", "p99", "p999", "stddev",
    ]  # fmt: skip
    assert histogram.percentiles((0, 50, 100)) == [0.0, 0.0, 0.0]
    assert (histogram.count, histogram.retained, histogram.sum) == (0, 0, 0.0)
    assert (histogram.mean, histogram.median, histogram.stddev) == (0.0, 0.0, 0.0)
    assert (histogram.min, histogram.max) == (0.0, 0.0)
    assert histogram.recent() == []
    assert repr(histogram) == "LatencyHistogram(count=0, mean=0, p50=0, p99=0, max=0)"


def test_a_few_values_are_reported_exactly(histogram_class: Any) -> None:
    histogram = recorded(histogram_class, [0.3, 0.1, 0.2, 0.4])
    assert histogram.median == (0.2 + 0.3) / 2
    assert histogram.percentiles((0, 25, 25.01, 50, 75, 100)) == [0.1, 0.1, 0.2, 0.2, 0.3, 0.4]
    assert (histogram.min, histogram.max, histogram.count) == (0.1, 0.4, 4)
    assert histogram.sum == math.fsum([0.3, 0.1, 0.2, 0.4])
    assert repr(histogram) == "LatencyHistogram(count=4, mean=0.25, p50=0.2, p99=0.4, max=0.4)"


@pytest.mark.parametrize(
    ("percentile", "count", "rank"),
    [(99.9, 1000, 999), (99.9, 1001, 1000), (50, 3, 2), (1e-9, 10, 1), (100, 7, 7), (0, 7, 1),
     (33.3, 1000, 333), (99.99, 10_000, 9999)],
)  # fmt: skip
def test_percentiles_take_the_nearest_rank(
    histogram_class: Any, percentile: float, count: int, rank: int
) -> None:
    histogram = histogram_class(exact=count)
    histogram.record_many(np.arange(1, count + 1, dtype=np.float64))
    assert histogram.percentile(percentile) == rank


def test_mean_and_stddev_stay_exact_beyond_the_retained_values(histogram_class: Any) -> None:
    # A running float sum of these loses the small values altogether.
    values = [1e9, *[1e-7] * 1000, 1e9 + 1]
    histogram = recorded(histogram_class, values, exact=0)
    exact_sum = sum(map(Fraction, values))
    assert histogram.mean == float(exact_sum / len(values))
    assert histogram.sum == float(exact_sum)
    alike = recorded(histogram_class, [0.1] * 1000, exact=0)
    assert alike.stddev == 0.0
    assert alike.percentile(37) == 0.1


@pytest.mark.parametrize("lowest", [-500, -467, -437])
def test_carries_run_through_the_whole_sum(histogram_class: Any, lowest: int) -> None:
    # Three times each power of two makes both sums a single run of ones, or nearly; one more of
    # the lowest then carries from its bottom to its top.
    powers = [math.ldexp(1.0, exponent) for exponent in range(lowest, 33)]
    ones = [math.ldexp(2.0**53 - 1, exponent) for exponent in range(lowest, -20, 53)]
    for values in ([*powers * 3, powers[0]], [*ones, powers[0]]):
        histogram = recorded(histogram_class, values, exact=0)
        assert histogram.sum == math.fsum(values)
        fractions = [Fraction(value) for value in values]
        variance = statistics.pvariance(fractions)
        assert histogram.stddev == pytest.approx(math.sqrt(variance), rel=1e-15)
        halves = [recorded(histogram_class, part, exact=0) for part in (values[:-1], values[-1:])]
        halves[0].merge(halves[1])
        assert halves[0] == histogram
        dump = histogram.to_bytes()
        assert dump[57:209] == int(sum(fractions) * 2**1074).to_bytes(152, "little")
        squares = sum(fraction**2 for fraction in fractions)
        assert dump[209:497] == int(squares * 2**2148).to_bytes(288, "little")


@pytest.mark.parametrize("exact", [0, 4096])
@pytest.mark.parametrize(
    ("value", "reason", "kept"),
    [
        (-1e-300, "negative", 0.0),
        (-math.inf, "negative", 0.0),
        (-(10**400), "negative", 0.0),
        (math.nan, "nan", 0.0),
        (math.inf, "overflow", MAX_SECONDS),
        (math.nextafter(MAX_SECONDS, math.inf), "overflow", MAX_SECONDS),
        (10**400, "overflow", MAX_SECONDS),
    ],
)
def test_values_out_of_range_are_clamped_and_counted(
    histogram_class: Any, value: float, reason: str, kept: float, exact: int
) -> None:
    histogram = recorded(histogram_class, [1.0, value, 2.0], exact)
    assert histogram.count == 3
    assert histogram.clamped == {"negative": 0, "nan": 0, "overflow": 0} | {reason: 1}
    assert kept in {histogram.min, histogram.max}
    assert histogram.sum == 3.0 + kept
    histogram.clamped.clear()
    assert sum(histogram.clamped.values()) == 1


def test_the_limits_themselves_are_not_clamped(histogram_class: Any) -> None:
    histogram = recorded(histogram_class, [0.0, -0.0, 5e-324, MAX_SECONDS])
    assert sum(histogram.clamped.values()) == 0
    assert (histogram.min, histogram.max) == (0.0, MAX_SECONDS)
    assert math.copysign(1.0, histogram.min) == 1.0
    assert [math.copysign(1.0, value) for value in histogram.recent()] == [1.0] * 4


@pytest.mark.parametrize(
    "value", [1, np.float64(1), np.float32(1), np.int64(1), Decimal(1), Fraction(1)]
)
def test_any_real_number_can_be_recorded(histogram: Any, value: Any) -> None:
    histogram.record(value)
    assert histogram.recent() == [1.0]


@pytest.mark.parametrize(
    ("value", "name"), [("1", "str"), (None, "NoneType"), (1j, "complex"), (True, "bool")]
)
def test_anything_else_is_refused(histogram: Any, value: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"^seconds must be a real number, not {name}$"):
        histogram.record(value)
    with pytest.raises(TypeError, match=f"^a percentile must be a real number, not {name}$"):
        histogram.percentile(value)
    assert histogram.count == 0


@pytest.mark.parametrize("percentile", [-0.1, 100.1, math.nan, math.inf, 10**400])
def test_percentiles_are_within_0_and_100(histogram: Any, percentile: float) -> None:
    with pytest.raises(ValueError, match="a percentile must be between 0 and 100, not "):
        histogram.percentiles([50, percentile])


@pytest.mark.parametrize("exact", [-1, 2**20 + 1])
def test_the_number_of_retained_values_is_bounded(histogram_class: Any, exact: int) -> None:
    with pytest.raises(ValueError, match=f"^exact must be between 0 and 1048576, not {exact}$"):
        histogram_class(exact=exact)


@pytest.mark.parametrize("exact", [1.0, "1", None, True])
def test_the_number_of_retained_values_is_an_integer(histogram_class: Any, exact: Any) -> None:
    name = type(exact).__name__
    with pytest.raises(TypeError, match=f"^exact must be an integer, not {name}$"):
        histogram_class(exact=exact)


@pytest.mark.parametrize("size", [0, 1, 100, 4097, 20_000])
def test_bulk_recording_is_recording_one_by_one(histogram_class: Any, size: int) -> None:
    values = np.random.default_rng(size).lognormal(-5, 4, size)
    values[::97] = [-1.0, math.nan, math.inf, 0.0, 5e-324][size % 5]
    bulk = histogram_class(exact=1000)
    bulk.record(0.25)
    bulk.record_many(values)
    assert bulk == recorded(histogram_class, [0.25, *values.tolist()], exact=1000)


def test_bulk_recording_takes_any_float64_buffer(histogram: Any) -> None:
    read_only = np.array([1.0, 2.0])
    read_only.flags.writeable = False
    histogram.record_many(read_only)
    histogram.record_many(array("d", [3.0]))
    histogram.record_many(memoryview(np.array([4.0]).astype("=f8")))
    assert histogram.recent() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(3, np.float32), "takes float64 values, not format 'f'"),
        (np.zeros(3, np.int64), "takes float64 values, not format 'l'"),
        (np.zeros(3, ">f8"), "takes float64 values, not format '>d'"),
        (np.zeros((2, 2)), "takes a 1-d array, not 2-d"),
        (np.zeros(6)[::2], "takes a contiguous array"),
        (b"12345678", "takes float64 values, not format 'B'"),
    ],
)
def test_bulk_recording_refuses_other_arrays(histogram: Any, values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^record_many\\(\\) {message}$"):
        histogram.record_many(values)
    assert histogram.count == 0


def test_bulk_recording_refuses_a_list(histogram: Any) -> None:
    with pytest.raises(TypeError, match="a bytes-like object is required, not 'list'"):
        histogram.record_many([1.0])


def test_the_most_recent_values_are_retained(histogram_class: Any) -> None:
    values = [float(number) for number in range(1000)]
    histogram = recorded(histogram_class, values, exact=100)
    assert histogram.retained == histogram.exact == 100
    assert histogram.recent() == values[-100:]
    for start, stop in ((-1, None), (0, 1), (-3, -1), (50, 60), (98, 500), (-500, 2), (7, 3)):
        assert histogram.recent(start, stop) == values[-100:][start:stop]
    with pytest.raises(TypeError, match=r"^'float' object cannot be interpreted as an integer$"):
        histogram.recent(1.0)


def test_percentiles_do_not_depend_on_which_values_are_retained(histogram_class: Any) -> None:
    values = np.random.default_rng(3).lognormal(-3, 1, 5000)
    histograms = [histogram_class(exact=exact) for exact in (0, 1, 4999)]
    for histogram in histograms:
        histogram.record_many(values)
    first, *others = (histogram.summary() for histogram in histograms)
    assert all(other == first for other in others)


def test_reset_forgets_everything(histogram_class: Any) -> None:
    histogram = recorded(histogram_class, [1.0, -1.0, 1e-6] * 50, exact=10)
    histogram.reset()
    assert histogram == histogram_class(exact=10)
    histogram.record(0.5)
    assert histogram == recorded(histogram_class, [0.5], exact=10)


def test_a_copy_is_independent(histogram_class: Any) -> None:
    histogram = recorded(histogram_class, [1.0, 2.0])
    for duplicate in (
        histogram.copy(),
        copy.copy(histogram),
        copy.deepcopy(histogram),
        pickle.loads(pickle.dumps(histogram)),  # noqa: S301 - our own bytes
    ):
        assert duplicate == histogram
        duplicate.record(3.0)
        assert duplicate != histogram
    assert histogram.recent() == [1.0, 2.0]


def test_merging_with_itself_doubles(histogram_class: Any) -> None:
    histogram = recorded(histogram_class, [1.0, 2.0])
    histogram.merge(histogram)
    assert histogram == recorded(histogram_class, [1.0, 2.0, 1.0, 2.0])


def test_merging_a_histogram_that_retains_less_is_still_right(histogram_class: Any) -> None:
    small = recorded(histogram_class, [1.0, 2.0, 3.0], exact=2)
    histogram = recorded(histogram_class, [5.0])
    histogram.merge(small)
    assert histogram.recent() == [5.0, 2.0, 3.0]
    assert (histogram.count, histogram.sum, histogram.min) == (4, 11.0, 1.0)
    assert histogram.percentile(50) == pytest.approx(2.0, rel=1e-3)
    assert histogram_class.from_bytes(histogram.to_bytes()) == histogram


def test_merging_takes_histograms_only(histogram: Any) -> None:
    with pytest.raises(TypeError, match=r"^merge\(\) takes a LatencyHistogram, not list$"):
        histogram.merge([1.0])


def test_equality_is_of_everything_recorded(histogram_class: Any) -> None:
    histogram = recorded(histogram_class, [1.0, 2.0])
    assert histogram == recorded(histogram_class, [1.0, 2.0])
    assert histogram != recorded(histogram_class, [2.0, 1.0])
    assert histogram != recorded(histogram_class, [1.0, 2.0], exact=10)
    assert histogram != [1.0, 2.0]
    with pytest.raises(TypeError, match="unhashable type"):
        hash(histogram)


def test_a_number_may_use_the_histogram_while_it_is_converted(histogram: Any) -> None:
    class Reentrant:
        def __float__(self) -> float:
            histogram.record(1.0)
            return 2.0

    histogram.record(Reentrant())
    assert histogram.recent() == [1.0, 2.0]


def test_it_can_be_subclassed(histogram_class: Any) -> None:
    class Named(histogram_class):
        def __init__(self, name: str = "", *, exact: int = 8) -> None:
            super().__init__(exact=exact)
            self.name = name

    named = Named("api")
    named.record(1.0)
    assert (named.name, named.exact, named.summary()["max"]) == ("api", 8, 1.0)
    assert type(Named.from_bytes(named.to_bytes())) is Named
