"""A decoder written from the format's description alone; that it exists shows nothing is lost."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_nexus._core import cache_key as compiled
from kaizen_nexus._fallback import cache_key as pure


def named_zone(offset: timedelta, name: str) -> timezone:
    """A zone without a name of its own is called by its offset."""
    nameless = timezone(offset)
    return nameless if nameless.tzname(None) == name else timezone(offset, name)


REBUILD: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("builtins", "complex"): lambda parts: complex(*parts),
    ("builtins", "bytearray"): bytearray,
    ("builtins", "range"): lambda parts: range(*parts),
    ("datetime", "date"): lambda parts: date(*parts),
    ("datetime", "time"): lambda p: time(*p[:4], p[5], fold=p[4]),
    ("datetime", "datetime"): lambda p: datetime(*p[:7], tzinfo=p[8], fold=p[7]),
    ("datetime", "timedelta"): lambda parts: timedelta(*parts),
    ("datetime", "timezone"): lambda p: named_zone(*p),
    ("decimal", "Decimal"): lambda p: Decimal((p[0], tuple(p[1]), p[2])),
    ("fractions", "Fraction"): lambda parts: Fraction(*parts),
    ("uuid", "UUID"): lambda data: UUID(bytes=data),
    ("pathlib", "PurePosixPath"): PurePosixPath,
    ("pathlib", "PureWindowsPath"): PureWindowsPath,
}


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def take(self, size: int) -> bytes:
        taken = self.data[self.place : self.place + size]
        assert len(taken) == size
        self.place += size
        return taken

    def size(self) -> int:
        first = self.take(1)[0]
        return first if first < 248 else int.from_bytes(self.take(first - 247), "big")

    def text(self) -> str:
        return self.take(self.size()).decode()

    def values(self) -> list[Any]:
        return [self.value() for _ in range(self.size())]

    def value(self) -> Any:
        tag = self.take(1).decode()
        if tag in "NTF":
            return {"N": None, "T": True, "F": False}[tag]
        if tag in "LUEZ":
            return {"L": list, "U": tuple, "E": set, "Z": frozenset}[tag](self.values())
        return getattr(self, f"read_{tag}")()

    def read_I(self) -> int:  # noqa: N802 - the tag
        return int.from_bytes(self.take(self.size()), "big")

    def read_J(self) -> int:  # noqa: N802
        return ~self.read_I()

    def read_D(self) -> float:  # noqa: N802
        return struct.unpack(">d", self.take(8))[0]

    def read_S(self) -> str:  # noqa: N802
        return self.text()

    def read_B(self) -> bytes:  # noqa: N802
        return self.take(self.size())

    def read_M(self) -> dict[Any, Any]:  # noqa: N802
        return {self.value(): self.value() for _ in range(self.size())}

    def read_O(self) -> Any:  # noqa: N802
        name = self.text(), self.text()
        return REBUILD[name](self.value())


def decode(data: bytes) -> list[Any]:
    reader = Reader(data)
    values = reader.values()
    assert reader.place == len(data)
    return values


def strictly(value: Any) -> Any:
    """Return something that equals another's exactly when types and contents are the same."""
    kind = type(value)
    if kind is float:
        return kind, struct.pack(">d", value)
    if kind in {list, tuple}:
        return kind, tuple(map(strictly, value))
    if kind in {set, frozenset}:
        return kind, frozenset(map(strictly, value))
    if kind is dict:
        return kind, frozenset((strictly(key), strictly(item)) for key, item in value.items())
    return kind, repr(value)


numbers = st.integers() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
zones = st.none() | st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
clocks = st.builds(
    lambda clock, zone, fold: clock.replace(tzinfo=zone, fold=fold),
    st.times() | st.datetimes(),
    zones,
    st.integers(0, 1),
)
standard = st.one_of(
    clocks,
    st.dates(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
    st.complex_numbers(allow_nan=False),
    st.builds(range, st.integers(), st.integers(), st.integers(1)),
    st.lists(st.sampled_from(["a", "b.c", ".."]), max_size=3).map(lambda p: PurePosixPath(*p)),
    st.lists(st.sampled_from(["C:/", "a", "b"]), max_size=3).map(lambda p: PureWindowsPath(*p)),
)
atoms = st.none() | st.booleans() | numbers | st.text() | st.binary() | standard
keys = st.recursive(
    atoms, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4), max_leaves=4
)
values = st.recursive(
    atoms | st.binary().map(bytearray) | st.sets(keys, max_size=8),
    lambda inner: (
        st.lists(inner, max_size=8)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=12), inner, max_size=10)
        | st.dictionaries(keys, inner, max_size=8)
    ),
    max_leaves=20,
)
# Values that collide often, so that pairs of them are often equal and often nearly so.
few = st.sampled_from([None, True, False, 0, 1, 0.0, -0.0, 1.0, "", "1", "a", b"", b"a"])
alike = st.recursive(
    few,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(few, inner, max_size=2)
    ),
    max_leaves=3,
)


@given(st.lists(values, max_size=3))
def test_implementations_agree_and_nothing_is_lost(arguments):
    encoded = compiled.encode(*arguments)
    assert encoded == pure.encode(*arguments)
    assert compiled.cache_key(*arguments) == pure.cache_key(*arguments)
    assert strictly(decode(encoded)) == strictly(arguments)


@given(alike, alike)
def test_keys_are_equal_exactly_when_values_are(left, right):
    same = strictly(left) == strictly(right)
    assert (compiled.cache_key(left) == compiled.cache_key(right)) is same
    assert (pure.cache_key(left) == pure.cache_key(right)) is same


@given(st.dictionaries(atoms, atoms, max_size=20), st.randoms(use_true_random=False))
def test_order_of_insertion_is_irrelevant(mapping, random):
    items = list(mapping.items())
    random.shuffle(items)
    for module in (compiled, pure):
        assert module.encode(dict(items)) == module.encode(mapping)
        assert module.encode({key for key, _ in items}) == module.encode(set(mapping))


@given(values, st.data())
def test_no_cut_of_an_encoding_can_be_read(value, data):
    encoded = compiled.encode(value)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises((AssertionError, IndexError)):
        decode(encoded[:cut])
