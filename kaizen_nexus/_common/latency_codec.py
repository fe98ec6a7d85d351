"""The binary form of a `LatencyHistogram`, version 1: encoder and strict decoder of the twin.

All integers are unsigned and little-endian::

    4 bytes    magic, b"KNLH"
    u8         version, 1
    u32        exact: the number of samples the histogram retains
    u64        count
    3 x u64    clamped values: negative, NaN, overflow
    2 x f64    minimum and maximum, in seconds (zeros when empty)
    152 bytes  the exact sum, in units of 2**-1074 s
    288 bytes  the exact sum of squares, in units of 2**-2148 s**2
    u32        b, the number of buckets that are not empty
    b x u16    their numbers, ascending
    b x u64    their counts
    u32        s, the number of retained samples
    s x f64    the samples, in seconds, oldest first
    u32        CRC-32 of all of the above

Equal histograms have equal bytes. The decoder takes nothing on trust: besides the checksum it
verifies every relation between the fields, so what it returns is a state that recording or merging
can reach, never one that breaks an invariant later. The compiled histogram has both for itself.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from math import copysign, isfinite
from typing import TYPE_CHECKING

from kaizen_nexus._common.latency_values import (
    MAX_COUNT,
    MAX_EXACT,
    MAX_SECONDS,
    bucket_of,
    exact_sums,
    not_contained,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

__all__ = [
    "HistogramState",
    "check_difference",
    "checked_body",
    "decode",
    "encode",
    "invalid",
    "sealed",
    "sums_fit",
]

_SUM_BYTES = 152
_SQUARES_BYTES = 288

_MAGIC = b"KNLH"
_VERSION = 1
_HEADER = struct.Struct(f"<4sBIQ3Q2d{_SUM_BYTES}s{_SQUARES_BYTES}s")
_LENGTH = struct.Struct("<I")
_BUCKETS = bucket_of(MAX_SECONDS) + 1


@dataclass(frozen=True)
class HistogramState:
    """Everything that a histogram knows, as plain data.

    Attributes
    ----------
    exact, count
        The number of samples that may be retained, and of values recorded.
    clamped
        Values that were clamped: negative, NaN, overflow.
    minimum, maximum
        Extremes in seconds; zeros when `count` is 0.
    total, squares
        Exact sums, in units of 2**-1074 s and 2**-2148 s**2.
    buckets
        Counts by bucket number, ascending, without empty buckets.
    samples
        The retained samples in seconds, oldest first.
    """

    exact: int
    count: int
    clamped: tuple[int, int, int]
    minimum: float
    maximum: float
    total: int
    squares: int
    buckets: dict[int, int]
    samples: Sequence[float]

    @classmethod
    def empty(cls, exact: int) -> HistogramState:
        """Return the state before anything was recorded."""
        return cls(exact, 0, (0, 0, 0), 0.0, 0.0, 0, 0, {}, ())


def encode(state: HistogramState) -> bytes:
    """Return the binary form of `state`."""
    buckets, samples = state.buckets, state.samples
    body = b"".join(
        (
            _HEADER.pack(
                _MAGIC,
                _VERSION,
                state.exact,
                state.count,
                *state.clamped,
                state.minimum,
                state.maximum,
                state.total.to_bytes(_SUM_BYTES, "little"),
                state.squares.to_bytes(_SQUARES_BYTES, "little"),
            ),
            _LENGTH.pack(len(buckets)),
            struct.pack(f"<{len(buckets)}H", *buckets),
            struct.pack(f"<{len(buckets)}Q", *buckets.values()),
            _LENGTH.pack(len(samples)),
            struct.pack(f"<{len(samples)}d", *samples),
        )
    )
    return sealed(body)


def decode(data: Buffer) -> HistogramState:
    """Return the state that `encode` turned into `data`.

    Raises
    ------
    TypeError
        `data` is not a bytes-like object.
    ValueError
        `data` is truncated, extended, damaged, of another version, or contradicts itself.
    """
    state = _parse(checked_body(data))
    _check(state)
    return state


def sealed(body: bytes) -> bytes:
    """Return a binary form with its checksum."""
    return body + _LENGTH.pack(zlib.crc32(body))


def checked_body(data: Buffer) -> memoryview:
    """Return a binary form without its checksum, after checking that and how it begins."""
    raw = data if type(data) is bytes else bytes(memoryview(data))
    if raw[:4] != _MAGIC:
        raise invalid("it does not start as one")
    if len(raw) < _HEADER.size + 3 * _LENGTH.size:
        raise invalid("it is truncated")
    if raw[4] != _VERSION:
        raise invalid(f"version {raw[4]} is not known")
    body = memoryview(raw)[: -_LENGTH.size]
    if raw[-_LENGTH.size :] != _LENGTH.pack(zlib.crc32(body)):
        raise invalid("its checksum does not match")
    return body


def invalid(reason: str) -> ValueError:
    """Return the error for bytes that are not those of a histogram."""
    return ValueError(f"not a latency histogram: {reason}")


def _parse(body: memoryview) -> HistogramState:
    _, _, exact, count, negative, nan, overflow, minimum, maximum, total, squares = (
        _HEADER.unpack_from(body)
    )
    position = _HEADER.size
    columns: list[tuple[float, ...]] = []
    for formats in (("H", "Q"), ("d",)):
        if position + _LENGTH.size > len(body):
            raise invalid("it is truncated")
        (length,) = _LENGTH.unpack_from(body, position)
        position += _LENGTH.size
        for code in formats:
            column = struct.Struct(f"<{length}{code}")
            if position + column.size > len(body):
                raise invalid("it is truncated")
            columns.append(column.unpack_from(body, position))
            position += column.size
    if position != len(body):
        raise invalid("it has trailing bytes")
    numbers, counts, samples = columns
    if any(earlier >= later for earlier, later in pairwise(numbers)):
        raise invalid("its buckets are not in ascending order")
    return HistogramState(
        exact,
        count,
        (negative, nan, overflow),
        minimum,
        maximum,
        int.from_bytes(total, "little"),
        int.from_bytes(squares, "little"),
        dict(zip(map(int, numbers), map(int, counts), strict=True)),
        samples,
    )


def _check(state: HistogramState) -> None:
    if state.exact > MAX_EXACT or state.count > MAX_COUNT or sum(state.clamped) > state.count:
        raise invalid("its header is out of range")
    if not all(map(_is_recorded, (state.minimum, state.maximum, *state.samples))):
        raise invalid("it has values out of range")
    if len(state.samples) > min(state.exact, state.count):
        raise invalid("it has too many samples")
    _check_buckets(state)
    _check_extremes(state)
    _check_sums(state)


def _is_recorded(seconds: float) -> bool:
    return isfinite(seconds) and 0.0 <= seconds <= MAX_SECONDS and copysign(1.0, seconds) > 0.0


def _check_buckets(state: HistogramState) -> None:
    buckets = state.buckets
    if sum(buckets.values()) != state.count or not all(buckets.values()):
        raise invalid("its buckets do not add up to its count")
    if not _clamped_are_in_buckets(state):
        raise invalid("its clamped values are not in its buckets")
    held = Counter(map(bucket_of, state.samples))
    if any(number > buckets.get(bucket, 0) for bucket, number in held.items()):
        raise invalid("its samples are not in its buckets")


def _check_extremes(state: HistogramState) -> None:
    low, high = state.minimum, state.maximum
    if not state.count:
        expected = low == high == 0.0
    else:
        numbers = list(state.buckets)
        expected = (bucket_of(low), bucket_of(high)) == (numbers[0], numbers[-1]) and all(
            low <= sample <= high for sample in state.samples
        )
    if not expected:
        raise invalid("its extremes are not those of its values")


def _check_sums(state: HistogramState) -> None:
    retained, retained_squares = exact_sums(state.samples)
    if len(state.samples) == state.count:
        expected = (state.total, state.squares) == (retained, retained_squares) and (
            not state.count
            or (state.minimum, state.maximum) == (min(state.samples), max(state.samples))
        )
    else:
        expected = (
            _sums_are_between_extremes(state)
            and retained <= state.total
            and retained_squares <= state.squares
        )
    if not expected:
        raise invalid("its sums are not those of its values")


def _clamped_are_in_buckets(state: HistogramState) -> bool:
    negative, nan, overflow = state.clamped
    in_first, in_last = state.buckets.get(0, 0), state.buckets.get(_BUCKETS - 1, 0)
    return negative + nan <= in_first and overflow <= in_last


def _sums_are_between_extremes(state: HistogramState) -> bool:
    return sums_fit(state.count, state.minimum, state.maximum, state.total, state.squares)


def sums_fit(count: int, minimum: float, maximum: float, total: int, squares: int) -> bool:
    """Return whether so many values within these extremes can have these exact sums."""
    low, low_square = exact_sums((minimum,))
    high, high_square = exact_sums((maximum,))
    return (
        count * low <= total <= count * high
        and count * low_square <= squares <= count * high_square
        and total * total <= count * squares
    )


def check_difference(state: HistogramState) -> None:
    """Refuse a difference of histograms that no values can have, though no part is negative.

    Raises
    ------
    ValueError
        What was subtracted was not contained.
    """
    if not (_clamped_are_in_buckets(state) and _sums_are_between_extremes(state)):
        raise not_contained()
