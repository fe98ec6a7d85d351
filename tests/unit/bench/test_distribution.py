"""The tails of distributions, against what can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.distribution import arrival_quantile, quantile, survival

gaps = st.lists(st.integers(1, 10**9), min_size=1, max_size=50).map(np.array)


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
