"""What a block of recorded values adds to the pure-Python histogram."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from kaizen_nexus._common.latency_codec import HistogramState
from kaizen_nexus._common.latency_values import MAX_SECONDS, exact_sums

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["state_of"]


def state_of(values: Sequence[float]) -> HistogramState:
    """Return the state of a histogram of `values`, of which there is one at least."""
    negative = nan = overflow = 0
    seconds = [value for value in values if 0.0 < value <= MAX_SECONDS]
    if len(seconds) < len(values):
        overflow = sum(value > MAX_SECONDS for value in values)
        negative = sum(value < 0.0 for value in values)
        nan = sum(value != value for value in values)  # noqa: PLR0124 - NaN alone is
        seconds = [
            value if 0.0 < value <= MAX_SECONDS else MAX_SECONDS if value > 0.0 else 0.0
            for value in values
        ]
    total, squares = exact_sums(seconds)
    return HistogramState(
        exact=0,
        count=len(seconds),
        clamped=(negative, nan, overflow),
        minimum=min(seconds),
        maximum=max(seconds),
        total=total,
        squares=squares,
        buckets=Counter(_buckets_of(seconds)),
        samples=seconds,
    )


def _buckets_of(seconds: list[float]) -> list[int]:
    """Return the `bucket_of` each value, without a call for each, which would double the price."""
    return [
        nanoseconds
        if (nanoseconds := int(value * 1e9)) < 1024  # noqa: PLR2004 - as there
        else ((shift := nanoseconds.bit_length() - 10) << 9) + (nanoseconds >> shift)
        for value in seconds
    ]
