"""Counting what a JSON text would become."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaizen_nexus.http import json_scan, strict_json
from kaizen_nexus.http.json_scan import JsonScan
from kaizen_nexus.http.large_body import BodyTooCostlyError, LargeBody
from kaizen_nexus.http.strict_json import StrictJsonError, loads

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a\\",:[]{} \n\x1fé', max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text('\\":,[{', max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


def counted(value: Any) -> tuple[int, int]:
    """Return the number of values and of keys; an empty container counts as if it had a value."""
    if isinstance(value, dict):
        inner = [counted(v) for v in value.values()]
        return 1 + max(1, sum(v for v, _ in inner)), len(value) + sum(k for _, k in inner)
    if isinstance(value, list):
        inner = [counted(v) for v in value]
        return 1 + max(1, sum(v for v, _ in inner)), sum(k for _, k in inner)
    return 1, 0


@given(VALUES, st.booleans(), st.integers(32, 40))
def test_it_counts_as_a_decoder_would(value: Any, ascii_only: bool, window: int) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_scan, "WINDOW", window)
        scan = JsonScan(text)
    assert (scan.values, scan.keys) == counted(value)


@pytest.mark.parametrize("text", [b"", b'"', b'"\\', b"\\", b'""""', b"]]]", b'{"a"'])
def test_it_takes_anything(text: bytes) -> None:
    scan = JsonScan(text)
    assert scan.values >= 1
    assert scan.keys >= 0


TEXTS = st.text(
    st.sampled_from('a\\"\né中\U0001f600:,[{u') | st.characters(codec="utf-8"), max_size=90
)
NESTED = st.recursive(
    TEXTS | st.none() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
DAMAGE = st.sampled_from(
    [
        b"",
        b'"',
        b"\\",
        b"{",
        b",",
        b"\x00",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        rb"\ud83d",
        rb"\ude00",
    ]
)


def answer(read: Callable[[bytes], Any], text: bytes) -> Any:
    try:
        return read(text)
    except StrictJsonError:
        return StrictJsonError


def large(text: bytes) -> LargeBody:
    body = LargeBody(len(text) + 1)
    body.write(text[:7])
    body.write(text[7:])
    return body


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every text read as one of megabytes is."""
    monkeypatch.setattr(json_scan, "WINDOW", 40)
    monkeypatch.setattr(json_scan, "LONG", 5)
    monkeypatch.setattr(strict_json, "LARGE", -1)


@pytest.mark.usefixtures("tiny")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NESTED, st.booleans())
def test_long_strings_are_put_back(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert loads(text) == value
    assert loads(large(text), budget=1_000_000) == value


@pytest.mark.usefixtures("tiny")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NESTED, st.booleans(), st.integers(0, 500), st.integers(0, 9), DAMAGE)
def test_what_is_wrong_is_found_however_it_is_read(
    value: Any, ascii_only: bool, at: int, less: int, damage: bytes
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    text = text[: at % len(text)] + damage + text[at % len(text) + less :]
    assert answer(loads, text) == answer(strict_json._thorough, text)


@pytest.mark.usefixtures("tiny")
def test_a_long_key_that_comes_twice_is_refused() -> None:
    with pytest.raises(StrictJsonError, match="duplicate key"):
        loads(b'{"a long key":1,"b":2,"a long \\u006bey":3}')


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("x" * 1_000_000, 1_000_000),
        ("é" * 500_000, 1_000_000),
        ("中" * 300_000, 900_000),
        ("\U0001f600" * 250_000, 1_000_000),
        ("x" * 500_000 + "\U0001f600", 2_500_000),
        ("x" * 500_000 + "é", 1_000_000),
    ],
)
def test_a_string_may_take_its_characters_and_what_it_is_widened_from(
    text: str, needed: int
) -> None:
    body = json.dumps(text, ensure_ascii=False).encode()
    assert loads(large(body), budget=needed + 200_000) == text
    with pytest.raises(BodyTooCostlyError, match="send less"):
        loads(large(body), budget=needed - 200_000)


def test_of_a_body_only_what_was_not_read_is_held() -> None:
    body = large(b"x" * 1_000_000)
    assert (len(body), bytes(body[999_990:2_000_000])) == (1_000_000, b"x" * 10)
    body.release(500_000)
    if sys.platform == "linux":
        assert body.held < 510_000
    assert body[500_000:500_003] == b"xxx"
    body.close()
    assert body.held == 0
