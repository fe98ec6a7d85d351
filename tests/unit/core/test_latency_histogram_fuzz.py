"""The decoder believes nothing: whatever bytes it is given, it refuses or restores exactly."""

from __future__ import annotations

import math
import random
import struct
import zlib
from array import array
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kaizen_nexus._core.latency_histogram import LatencyHistogram as Compiled

from kaizen_nexus._fallback.latency_histogram import LatencyHistogram as Pure

HEADER = 497  # bytes before the number of buckets
FIELDS = {"exact": (5, "<I"), "count": (9, "<Q"), "negative": (17, "<Q"), "nan": (25, "<Q"),
          "overflow": (33, "<Q"), "minimum": (41, "<d"), "maximum": (49, "<d")}  # fmt: skip
values = st.lists(
    st.one_of(st.floats(), st.floats(0, 1), st.sampled_from([0.001, 0.0010001, 1.0])), max_size=12
)


def signed(body: bytes) -> bytes:
    """Return `body` with the checksum that makes it look intact."""
    return body + struct.pack("<I", zlib.crc32(body))


def dump(recorded: list[float], exact: int) -> bytes:
    histogram = Compiled(exact=exact)
    histogram.record_many(array("d", recorded))
    data: bytes = histogram.to_bytes()
    return data


def restored(histogram_class: Any, data: bytes) -> Any:
    """Return the message of the refusal, or the histogram, which then is used for all it does."""
    try:
        histogram = histogram_class.from_bytes(data)
    except ValueError as error:
        return str(error)
    assert histogram.to_bytes() == data
    summary = histogram.summary()
    assert all(math.isfinite(figure) for figure in summary.values())
    assert summary["min"] <= summary["p50"] <= summary["p99"] <= summary["max"]
    # The greatest counts that are allowed leave no room for more.
    if histogram.count < 2**61:
        other = histogram.copy()
        other.merge(histogram)
        other.record(0.5)
        assert other.count == 2 * histogram.count + 1
        other.subtract(histogram)
        assert other.count == histogram.count + 1
        assert histogram_class.from_bytes(other.to_bytes()) == other
        other.subtract(other)
        assert other.count == 0
    return histogram.to_bytes()


def check(data: bytes) -> Any:
    """Return what both decoders make of `data`, which is the same."""
    result = restored(Compiled, data)
    assert result == restored(Pure, data)
    assert isinstance(result, bytes) or result.startswith("not a latency histogram: ")
    return result


@given(st.binary(max_size=700))
@example(b"KNLH")
@example(b"KNLH\1" + bytes(508))
@example(b"KNLH\1" + b"\xff" * 700)
def test_random_bytes(data: bytes) -> None:
    assert isinstance(check(data), str)
    assert isinstance(check(signed(data)), str)
    # What only looks like a histogram from the outside has its inside examined.
    check(signed(b"KNLH\1" + data))


@given(values=values, exact=st.integers(0, 12), data=st.data())
def test_flipped_bits(values: list[float], exact: int, data: st.DataObject) -> None:
    intact = dump(values, exact)
    damaged = bytearray(intact)
    flips = data.draw(st.sets(st.integers(0, 8 * len(intact) - 1), min_size=1, max_size=5))
    for flip in flips:
        damaged[flip // 8] ^= 1 << flip % 8
    # A checksum of 32 bits notices all damage to fewer than 6 bits of messages this short, or to
    # nearly all; what it might miss must still be a histogram.
    check(bytes(damaged))
    check(signed(bytes(damaged[:-4])))


@given(values=values, exact=st.integers(0, 12), data=st.data())
def test_cut_and_stretched(values: list[float], exact: int, data: st.DataObject) -> None:
    body = dump(values, exact)[:-4]
    start = data.draw(st.integers(0, len(body)))
    stop = data.draw(st.integers(start, len(body)))
    filling = data.draw(st.binary(max_size=20))
    for mutation in (
        body[:start],
        body[:start] + body[stop:],
        body[:start] + filling + body[stop:],
    ):
        check(signed(mutation))


@given(
    values=values,
    exact=st.integers(0, 12),
    edits=st.dictionaries(
        st.sampled_from(sorted(FIELDS)),
        st.one_of(st.integers(0, 13), st.sampled_from([2**20, 2**62, 2**64 - 1]), st.floats()),
        min_size=1,
    ),
)
def test_fields_of_the_header(values: list[float], exact: int, edits: dict[str, float]) -> None:
    body = bytearray(dump(values, exact)[:-4])
    for field, value in edits.items():
        offset, layout = FIELDS[field]
        if layout == "<d":
            struct.pack_into(layout, body, offset, float(value))
        elif isinstance(value, int):
            struct.pack_into(layout, body, offset, value & (2 ** (8 * struct.calcsize(layout)) - 1))
    check(signed(bytes(body)))


@given(
    values=values,
    exact=st.integers(0, 12),
    bucket=st.integers(0, 11),
    number=st.integers(0, 2**16 - 1),
    change=st.integers(-2, 2),
)
def test_buckets_and_counts(
    values: list[float], exact: int, bucket: int, number: int, change: int
) -> None:
    body = bytearray(dump(values, exact)[:-4])
    (size,) = struct.unpack_from("<I", body, HEADER)
    if size:
        bucket %= size
        if number % 3:
            struct.pack_into("<H", body, HEADER + 4 + 2 * bucket, number)
        counts = HEADER + 4 + 2 * size + 8 * bucket
        (count,) = struct.unpack_from("<Q", body, counts)
        struct.pack_into("<Q", body, counts, max(count + change, 0))
        (total,) = struct.unpack_from("<Q", body, 9)
        struct.pack_into("<Q", body, 9, max(total + change, 0))
    check(signed(bytes(body)))


@pytest.mark.parametrize("exact", [0, 3, 20])
def test_many_mutations_at_once(exact: int) -> None:
    # Cheap and many, where the strategies above are few and deliberate.
    chance = random.Random(exact)  # noqa: S311 - reproducible, not secret
    refused = accepted = 0
    body = dump([chance.lognormvariate(-5, 3) for _ in range(12)] + [-1.0, math.nan], exact)[:-4]
    for _ in range(1500):
        mutated = bytearray(body)
        for _ in range(chance.randrange(1, 4)):
            mutated[chance.randrange(len(mutated))] = chance.choice(
                (0, 1, 255, chance.randrange(256))
            )
        if isinstance(check(signed(bytes(mutated))), str):
            refused += 1
        else:
            accepted += 1
    # Some bytes may change: the low ones of sums that no samples pin down, for one.
    assert refused > 400
    assert accepted > (0 if exact == 20 else 400)
