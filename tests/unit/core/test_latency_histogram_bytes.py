"""The binary form: golden vectors, and a decoder that believes nothing."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaizen_nexus._core.latency_histogram import LatencyHistogram as Compiled

from kaizen_nexus._fallback.latency_histogram import LatencyHistogram as Pure

GOLDEN = json.loads((Path(__file__).parent / "data" / "latency_histogram_v1.json").read_text())

# Where the fields of the header start (the format is described beside its encoder).
EXACT, COUNT, CLAMPED, MINIMUM, MAXIMUM, SUM, SQUARES, BUCKETS = 5, 9, 17, 41, 49, 57, 209, 497
NUMBERS = BUCKETS + 4


@pytest.fixture
def histogram_class(core: Any) -> Any:
    return core.module("latency_histogram").LatencyHistogram


def signed(body: bytes) -> bytes:
    """Return `body` with the checksum that makes it look intact."""
    return body + struct.pack("<I", zlib.crc32(body))


def patched(data: bytes, offset: int, layout: str, *values: float) -> bytes:
    body = bytearray(data[:-4])
    struct.pack_into(layout, body, offset, *values)
    return signed(bytes(body))


def example(histogram_class: Any, exact: int) -> bytes:
    histogram = histogram_class(exact=exact)
    for seconds in (0.5, 0.001, 0.001, 2.0):
        histogram.record(seconds)
    dump: bytes = histogram.to_bytes()
    return dump


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden["name"])
def test_golden_vectors(histogram_class: Any, golden: dict[str, Any]) -> None:
    histogram = histogram_class(exact=golden["exact"])
    for value in golden["values"]:
        histogram.record(float.fromhex(value))
    assert histogram.to_bytes().hex() == golden["bytes"]
    restored = histogram_class.from_bytes(bytes.fromhex(golden["bytes"]))
    assert restored == histogram
    assert {name: float(figure).hex() for name, figure in restored.summary().items()} == (
        golden["summary"]
    )
    assert restored.clamped == golden["clamped"]


@pytest.mark.parametrize("exact", [0, 2, 100])
def test_any_flipped_byte_is_noticed(histogram_class: Any, exact: int) -> None:
    data = example(histogram_class, exact)
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(ValueError, match=r"^not a latency histogram: "):
            histogram_class.from_bytes(damaged)


def test_any_other_length_is_noticed(histogram_class: Any) -> None:
    data = example(histogram_class, 2)
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"^not a latency histogram: "):
            histogram_class.from_bytes(data[:length])
    for length in range(len(data) - 4):
        with pytest.raises(ValueError, match=r"^not a latency histogram: "):
            histogram_class.from_bytes(signed(data[:length]))
    with pytest.raises(ValueError, match=r"^not a latency histogram: "):
        histogram_class.from_bytes(data + b"\0")
    with pytest.raises(ValueError, match=r"^not a latency histogram: it has trailing bytes$"):
        histogram_class.from_bytes(signed(data[:-4] + b"\0"))


@pytest.mark.parametrize("data", ["text", 7, None, [1]])
def test_only_bytes_are_decoded(histogram_class: Any, data: Any) -> None:
    with pytest.raises(TypeError, match=r"a bytes-like object is required, not "):
        histogram_class.from_bytes(data)


# The example's buckets, in order, are those of 1 ms (twice), 0.5 s and 2 s.
@pytest.mark.parametrize(
    ("offset", "layout", "values", "reason"),
    [
        (0, "<4s", (b"KNLX",), "it does not start as one"),
        (4, "<B", (2,), "version 2 is not known"),
        (EXACT, "<I", (2**20 + 1,), "its header is out of range"),
        (COUNT, "<Q", (2**62 + 1,), "its header is out of range"),
        (COUNT, "<Q", (5,), "its buckets do not add up to its count"),
        (CLAMPED, "<3Q", (5, 0, 0), "its header is out of range"),
        (CLAMPED, "<3Q", (1, 0, 0), "its clamped values are not in its buckets"),
        (CLAMPED, "<3Q", (0, 1, 0), "its clamped values are not in its buckets"),
        (CLAMPED, "<3Q", (0, 0, 1), "its clamped values are not in its buckets"),
        (MINIMUM, "<d", (float("nan"),), "it has values out of range"),
        (MINIMUM, "<d", (-0.0,), "it has values out of range"),
        (MAXIMUM, "<d", (2.0**33 + 1,), "it has values out of range"),
        (MINIMUM, "<d", (0.01,), "its extremes are not those of its values"),
        (MAXIMUM, "<d", (3.0,), "its extremes are not those of its values"),
        (SUM + 144, "<Q", (1,), "its sums are not those of its values"),
        (SQUARES + 280, "<Q", (1,), "its sums are not those of its values"),
        (BUCKETS, "<I", (2**32 - 1,), "it is truncated"),
        (NUMBERS, "<3H", (3, 3, 4), "its buckets are not in ascending order"),
        (NUMBERS, "<H", (1,), "its extremes are not those of its values"),
        (NUMBERS + 4, "<H", (28_160,), "its extremes are not those of its values"),
        (NUMBERS + 6, "<3Q", (2, 2, 0), "its buckets do not add up to its count"),
        (NUMBERS + 6, "<3Q", (2**63, 2**63, 4), "its buckets do not add up to its count"),
    ],
)  # fmt: skip
def test_contradictions_are_noticed(
    histogram_class: Any, offset: int, layout: str, values: Any, reason: str
) -> None:
    data = patched(example(histogram_class, 0), offset, layout, *values)
    with pytest.raises(ValueError, match=f"^not a latency histogram: {reason}$"):
        histogram_class.from_bytes(data)


@pytest.mark.parametrize("offset", [SUM, SQUARES])
def test_sums_are_compared_with_the_samples_to_the_last_bit(
    histogram_class: Any, offset: int
) -> None:
    data = patched(example(histogram_class, 100), offset, "<Q", 1)
    with pytest.raises(ValueError, match=r"its sums are not those of its values$"):
        histogram_class.from_bytes(data)


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (float("nan"), "it has values out of range"),
        (-1.0, "it has values out of range"),
        (0.25, "its samples are not in its buckets"),
        (2.0000001, "its extremes are not those of its values"),
    ],
)
def test_samples_are_checked(histogram_class: Any, sample: float, reason: str) -> None:
    data = example(histogram_class, 2)
    with pytest.raises(ValueError, match=f"^not a latency histogram: {reason}$"):
        histogram_class.from_bytes(patched(data, len(data) - 12, "<d", sample))


def test_more_samples_than_may_be_retained_are_refused(histogram_class: Any) -> None:
    data = patched(example(histogram_class, 4), EXACT, "<I", 3)
    with pytest.raises(ValueError, match=r"^not a latency histogram: it has too many samples$"):
        histogram_class.from_bytes(data)


def test_counts_that_would_overflow_are_not_merged(histogram_class: Any) -> None:
    histogram = histogram_class(exact=0)
    histogram.record(0.0)
    for _ in range(62):
        histogram.merge(histogram)
    assert histogram.count == 2**62
    assert histogram_class.from_bytes(histogram.to_bytes()) == histogram
    with pytest.raises(OverflowError, match=r"would hold more than 2\*\*62 values"):
        histogram.merge(histogram)
    assert histogram.count == 2**62


def test_the_greatest_sums_fit(histogram_class: Any) -> None:
    histogram = histogram_class(exact=0)
    histogram.record(2.0**33)
    for _ in range(62):
        histogram.merge(histogram)
    assert histogram.sum == 2.0**95
    assert (histogram.mean, histogram.stddev) == (2.0**33, 0.0)
    assert histogram_class.from_bytes(histogram.to_bytes()) == histogram


def reencoded(histogram_class: Any, data: bytes) -> bytes | str:
    try:
        histogram = histogram_class.from_bytes(data)
    except ValueError as error:
        return str(error)
    histogram.summary()
    dump: bytes = histogram.to_bytes()
    return dump


@given(
    values=st.lists(st.floats(0, 2.0**33), max_size=6),
    exact=st.integers(0, 6),
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4),
)
def test_both_decoders_accept_and_refuse_the_same(
    values: list[float], exact: int, edits: list[tuple[int, int]]
) -> None:
    histogram = Compiled(exact=exact)
    for value in values:
        histogram.record(value)
    body = bytearray(histogram.to_bytes()[:-4])
    for position, byte in edits:
        body[position % len(body)] = byte
    data = signed(bytes(body))
    decoded = reencoded(Compiled, data)
    assert decoded == reencoded(Pure, data)
    assert isinstance(decoded, str) or decoded == data
