from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaizen_nexus.http.strict_json import StrictJsonError, loads

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
)


@given(values)
def test_what_json_can_say_is_read(value: Any) -> None:
    assert loads(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "malformed"),
        (b"{", "malformed"),
        (b"{} {}", "malformed"),
        (b"nul", "malformed"),
        (b"[01]", "malformed"),
        (b"NaN", "NaN"),
        (b'{"a": Infinity}', "Infinity"),
        (b"[-Infinity]", "-Infinity"),
        (b'{"a": 1, "a": 1}', "duplicate key 'a'"),
        (b'{"a": {"b": 1, "c": 2, "b": 3}}', "duplicate key 'b'"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b'"\xff"', "UTF-8"),
        (b"[" * 101 + b"]" * 101, "nested"),
        (b"[" * 60_000, "nested"),
        (b"[" * 200_000, "more than 65536 values"),
        (b"[" + b"0," * 70_000 + b"0]", "more than 65536 values"),
        (b'{"a": 1e999}', "a number is out of range: 1e999"),
        (b"[" + b"{}," * 65_535 + b"{}]", "more than 65536 values"),
        (b'["' + b"," * 70_000 + b'"' + b',""' * 65_535 + b"]", "more than 65536 values"),
        (b" " * 70_000 + b'{"a": 1e999}', "range"),
        (b" " * 70_000 + b"{", "malformed"),
        (b" " * 70_000 + b"[NaN]", "NaN is not JSON"),
        (b" " * 70_000 + b'{"a": {"b:": 1, "c": "::", "b:": 3}}', "duplicate key 'b:'"),
        (b'{"a": "\\":", "b": 1, "b": 3}', "duplicate key 'b'"),
        (b" " * 70_000 + b'"\\ud800"', "surrogate"),
        (b" " * 70_000 + b'"\xff"', "UTF-8"),
        (b" " * 70_000 + b"[" * 101 + b"]" * 101, "nested"),
        (b" " * 70_000 + b"[" * 60_000, "nested"),
        (b" " * 70_000 + b"1" * 10_000, "range"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "nested"),
        (b"1" * 10_000, "out of range"),
    ],
)
def test_what_is_ambiguous_or_malformed_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(StrictJsonError, match=message):
        loads(text)


def test_a_hundred_levels_and_surrogate_pairs_are_fine() -> None:
    assert loads(b'"\\ud83d\\ude00"') == "\U0001f600"
    value = loads(b"[" * 100 + b"]" * 100)
    for _ in range(99):
        (value,) = value
    assert value == []


def test_large_texts_are_read_alike() -> None:
    value = {"a:": [1, 2.5, None, {"b": ':"\\\\'}], "text": "\U0001f600" + ":" * 70_000}
    for ascii_only in (True, False):
        assert loads(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


def test_as_many_values_as_are_allowed_are_read() -> None:
    assert len(loads(b"[" + b"0," * 65_534 + b"0]")) == 65_535
    text = json.dumps({"text": "[,{" * 50_000, "more": ['\\"'] * 1_000}).encode()
    assert loads(text) == json.loads(text)


def test_a_bytearray_is_read_like_bytes() -> None:
    for text in (b'{"a": {"b": "c:d"}}', b" " * 70_000 + b'{"a": {"b": "c\\":d"}}'):
        assert loads(bytearray(text)) == loads(text)


fragments = st.sampled_from(
    [
        *rb'{" { } [ ] " ": : , \ \u \x / a b 1 -0 01 1. .5 +1 1e5 1e999 NaN true null'.split(),
        *(rb"\ud800", rb"\ud83d\ude00", b" ", b"\t", b"\x00", b"\x7f", b"\xff", b"\xc3\xa4"),
        *(b"\xed\xa0\x80", b"\xef\xbb\xbf", b"9" * 5_000, b"123456789012345678901", b"1E-400"),
        *(b'{"a":', b'{"b":{"a":1,"a":2},', b'"a":1,"a":1}', b'":"', b'\\":', b'{"a" :1}'),
        *(b"[" * 99, b"[" * 100, b"]" * 99, b"]" * 100, b'{"a":' * 60, b"}" * 60),
    ]
)
members = st.dictionaries(st.text(max_size=3), st.integers() | st.floats() | st.text() | st.none())
texts = st.lists(fragments, max_size=12).map(b"".join) | st.builds(
    lambda value, at, piece: (text := json.dumps(value).encode())[:at] + piece + text[at:],
    members,
    st.integers(0, 40),
    fragments | st.just(b""),
)


PADDING = b" " * 66_000


def read_naively(text: bytes) -> Any:
    """Return what a text means by the rules of RFC 7493, as simply as they can be written."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs)
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    def check(value: Any, depth: int) -> None:
        if isinstance(value, str):
            value.encode()
        elif isinstance(value, float):
            assert math.isfinite(value)
        elif isinstance(value, (list, dict)):
            assert depth < 100
            for member in value:
                check(member, depth + 1)
            for member in value.values() if isinstance(value, dict) else ():
                check(member, depth + 1)

    value = json.loads(text.decode(), object_pairs_hook=unique, parse_constant=refuse)
    check(value, 0)
    return value


@given(texts, st.booleans())
@settings(max_examples=500)
def test_the_reader_agrees_with_a_naive_one(text: bytes, large: bool) -> None:
    text = PADDING + text if large else text
    try:
        expected = read_naively(text)
    except (AssertionError, ValueError, RecursionError):
        with pytest.raises(StrictJsonError):
            loads(text)
    else:
        value = loads(text)
        assert value == expected
        assert repr(value) == repr(expected)
