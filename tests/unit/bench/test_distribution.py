"""The tails of distributions, against what can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.distribution import (
    arrival_quantile,
    bucket_peaks,
    duration,
    quantile,
    survival,
    zipf,
)

gaps = st.lists(st.integers(1, 10**9), min_size=1, max_size=50).map(np.array)


def test_zipf_is_bounded_seeded_and_falls_off_as_it_should() -> None:
    drawn = zipf(np.random.default_rng(7), 1_000, 200_000, exponent=1.1)
    assert np.array_equal(drawn, zipf(np.random.default_rng(7), 1_000, 200_000, exponent=1.1))
    assert drawn.min() == 0
    assert drawn.max() < 1_000
    counts = np.bincount(drawn, minlength=1_000)
    expected = np.arange(1, 1_001) ** -1.1
    assert counts / counts.sum() == pytest.approx(expected / expected.sum(), abs=0.005)


def test_zipf_of_one_id_draws_that() -> None:
    assert zipf(np.random.default_rng(0), 1, 5).tolist() == [0] * 5


def test_a_quantile_is_one_of_the_values() -> None:
    values = np.arange(1, 1_001)
    assert quantile(values, 0.5) == 500
    assert quantile(values, 0.999) == 999
    assert quantile(values, 1.0) == 1_000


def test_one_long_pause_is_one_gap_but_many_arrivals() -> None:
    observed = np.array([10] * 900 + [1_000])
    assert quantile(observed, 0.99) == 10
    # A tenth of all requests arrive in the pause; the last 1 % of all wait at least 900 of it.
    assert arrival_quantile(observed, 0.99) == pytest.approx(1_000 - 0.01 * observed.sum())


@given(gaps, st.floats(0, 1))
def test_so_many_arrivals_wait_longer_than_their_quantile(observed: np.ndarray, q: float) -> None:
    wait = arrival_quantile(observed, q)
    assert -1e-6 <= wait <= observed.max()
    longer = np.maximum(0.0, observed - wait).sum()
    assert longer == pytest.approx((1 - q) * observed.sum(), rel=1e-6, abs=1e-3 * len(observed))


def test_survival_counts_what_is_at_least_as_long() -> None:
    assert survival(np.array([3, 1, 2, 2])) == [(1, 1.0), (2, 0.75), (2, 0.5), (3, 0.25)]


@given(gaps)
def test_survival_falls_from_everything_to_the_longest(observed: np.ndarray) -> None:
    curve = survival(observed, points=10)
    assert len(curve) <= 10
    assert curve[0] == (observed.min(), 1.0)
    assert curve[-1] == (observed.max(), 1 / len(observed))
    for value, part in curve:
        at_least = np.count_nonzero(observed >= value) / len(observed)
        assert part <= at_least + 1e-12, "more are as long where values are equal, never fewer"


def test_what_recurs_is_told_from_what_happened_once() -> None:
    resize = [1, 1, 50, 1, 1, 1]
    runs = [np.array(resize), np.array([9, *resize[1:]]), np.array([*resize[:5], 700])]
    assert bucket_peaks(runs, 3) == [50.0, 1.0]


def test_a_bucket_that_is_not_full_is_left_out() -> None:
    assert bucket_peaks([np.array([1, 2, 3, 4, 99])], 2) == [2.0, 4.0]


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0.0, "0.00 ns"),
        (3.14159, "3.14 ns"),
        (1_500, "1.50 us"),
        (25e6, "25.0 ms"),
        (123e9, "123 s"),
    ],
)
def test_durations_have_three_digits_and_a_unit(nanoseconds: float, text: str) -> None:
    assert duration(nanoseconds) == text
