from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaizen_nexus.http import strict_json
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
        (b'{"a": 1e999}', "out of range"),
        (b" " * 70_000 + b'{"a": 1e999}', "range"),
        (b" " * 70_000 + b"{", "malformed"),
        (b" " * 70_000 + b"[NaN]", "malformed"),
        (b" " * 70_000 + b'{"a": {"b:": 1, "c": "::", "b:": 3}}', "duplicate key"),
        (b" " * 70_000 + b'"\\ud800"', "malformed"),
        (b" " * 70_000 + b'"\xff"', "UTF-8"),
        (b" " * 70_000 + b"[" * 101 + b"]" * 101, "nested"),
        (b" " * 70_000 + b"[" * 60_000, "nested"),
        (b" " * 70_000 + b"1" * 10_000, "range"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "nested"),
        (b"1" * 10_000, "integer"),
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


def test_a_flat_object_is_read_at_once() -> None:
    text = b' {"a": [1, -0, 2.5e3, [true]], "b": "\\ud83d\\ude00", "c": 123456789012345678901234} '
    assert strict_json._flat_object(text) == json.loads(text)
    assert strict_json._flat_object(b'{"a": "b:c"}') is None
    assert strict_json._flat_object(b'{"a": {}}') is None


fragments = st.sampled_from(
    [
        *rb'{" { } [ ] " ": : , \ \u \x / a b 1 -0 01 1. .5 +1 1e5 1e999 NaN true null'.split(),
        *(rb"\ud800", rb"\ud83d\ude00", b" ", b"\t", b"\x00", b"\x7f", b"\xff", b"\xc3\xa4"),
        *(b"\xed\xa0\x80", b"\xef\xbb\xbf", b"9" * 5_000, b"123456789012345678901", b"1E-400"),
    ]
)
members = st.dictionaries(st.text(max_size=3), st.integers() | st.floats() | st.text() | st.none())
texts = st.lists(fragments, max_size=12).map(b"".join) | st.builds(
    lambda value, at, piece: (text := json.dumps(value).encode())[:at] + piece + text[at:],
    members,
    st.integers(0, 40),
    fragments | st.just(b""),
)


@given(texts)
@settings(max_examples=200)
def test_reading_at_once_reads_nothing_that_is_refused_otherwise(text: bytes) -> None:
    at_once = strict_json._flat_object(text)
    if at_once is not None:
        assert at_once == strict_json._thorough(text)
        assert repr(at_once) == repr(strict_json._thorough(text))
