"""What a key is made of: bounded, comparable, and without secrets."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import pytest

from kaizen_nexus.deployment.key_fields import (
    MAX_FIELDS,
    MAX_PATH,
    differences,
    key_fields,
    type_parts,
)
from kaizen_nexus.deployment.settings import settings


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"


@dataclass
class Config:
    model: str = "small"
    mode: Mode = Mode.FAST
    options: Any = None


def shown(value: Any) -> dict[str, str]:
    return {field.path: field.shown for field in key_fields(settings(value))}


def told(a: Any, b: Any) -> list[str]:
    return [str(d) for d in differences(key_fields(settings(a)), key_fields(settings(b)))]


def test_every_value_has_a_path() -> None:
    value = {"config": Config(options={"stop": ["a", ("b", 2.5)], 7: {}}), "tags": {"y", "x"}}
    assert shown(value) == {
        "config.(class)": f"'{__name__}.Config'",
        "config.mode": "Mode.FAST",
        "config.model": "'small'",
        "config.options.stop[0]": "'a'",
        "config.options.stop[1][0]": "'b'",
        "config.options.stop[1][1]": "2.5",
        "config.options[7]": "{}",
        "tags": "{'x', 'y'}",
    }


@pytest.mark.parametrize(
    ("a", "b", "line"),
    [
        (1, 2, "x: 1 -> 2"),
        (1, True, "x: 1 -> True"),
        (1, 1.0, "x: 1 -> 1.0"),
        (0.0, -0.0, "x: 0.0 -> -0.0"),
        ("1", 1, "x: '1' -> 1"),
        (None, "None", "x: None -> 'None'"),
        (Mode.FAST, Mode.SLOW, "x: Mode.FAST -> Mode.SLOW"),
        ({1}, frozenset({1}), None),
        ([], {}, "x: [] -> {}"),
    ],
)
def test_what_differs_is_told_apart(a: Any, b: Any, line: str | None) -> None:
    (found,) = told({"x": a}, {"x": b})
    if line is not None:
        assert found == line


def test_what_only_one_of_them_has_is_absent_in_the_other() -> None:
    assert told({"a": 1, "b": 2}, {"b": 2, "c": 3}) == ["a: 1 -> (absent)", "c: (absent) -> 3"]
    assert told({"a": 1}, {"a": 1}) == []


def test_long_values_that_differ_at_the_end_are_told_apart_by_digest() -> None:
    (line,) = told({"prompt": "x" * 1000 + "a"}, {"prompt": "x" * 1000 + "b"})
    assert line.count("(1003 characters) [") == 2
    assert len(line) < 250


def test_types_are_shown_by_name() -> None:
    a, b = ({"type": type_parts(kind)} for kind in (int, dict[str, list[int]]))
    assert [str(d) for d in differences(key_fields(a), key_fields(b))] == [
        "type: int -> dict[str, list[int]]"
    ]


@pytest.mark.parametrize(
    "name",
    [
        "api_key", "apiKey", "api-key", "OPENAI_API_KEY", "token", "accessToken", "auth_token",
        "client_secret", "password", "Authorization", "cookie", "credentials", "private_key",
        "headers", "env", "args", "connection_string", "dsn", "key",
    ],
)  # fmt: skip
def test_values_of_secret_names_are_masked_at_any_depth(name: str) -> None:
    for value in ({name: "hush"}, {"a": [{name: {"deep": ["hush"]}}]}, {name: Config("hush")}):
        assert "hush" not in str(key_fields(settings(value)))
    assert told({name: "hush"}, {name: "hush"}) == []
    (line,) = told({name: "hush"}, {name: "hushed"})
    assert line.count("(secret ") == 2


@pytest.mark.parametrize(
    "value",
    [
        "sk-" + "abcdef123456",
        "use ghp_" + "abcdefghij12 for it",
        "xoxb-" + "1234567890",
        "AKIA" + "IOSFODNN7EXAMPLE",
        "eyJ" + "hbGciOiJIUzI1NiJ9.e30.x",
        "-----BEGIN " + "PRIVATE KEY-----",
        "postgres://user:hush@host/db",
        "https://example.com/x?key=hush",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    ],
)
def test_values_that_look_like_secrets_are_masked_whatever_their_name(value: str) -> None:
    assert shown({"note": value, "notes": [{"x": value}]})["note"].startswith("(secret ")
    assert value not in str(key_fields(settings({"note": [value]})))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 500),
        ("model", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("base_url", "http://localhost:11434/v1"),
        ("prompt", "Answer politely, without internationalization."),
        ("monkey", "see"),
        ("api_key", None),
    ],
)
def test_what_is_no_secret_is_shown(name: str, value: Any) -> None:
    assert shown({name: value}) == {name: repr(value)}


def test_digests_depend_on_the_process_alone() -> None:
    (one,), (other,) = key_fields({"api_key": "a"}), key_fields({"api_key": "a"})
    assert one == other
    assert len(one.digest) == 16


def test_memory_is_bounded_and_what_is_left_out_still_counts() -> None:
    many = {f"field{number}": number for number in range(2 * MAX_FIELDS)}
    assert len(key_fields(many)) == MAX_FIELDS + 1
    (line,) = told(many, {**many, f"field{2 * MAX_FIELDS - 1}": "other"})
    assert line.startswith("(further fields): ")
    (deep,) = key_fields({"x" * 500: "y" * 100_000})
    assert len(deep.path) <= MAX_PATH
    assert len(deep.shown) < 100


def test_a_secret_that_begins_where_a_value_is_cut_off_is_masked() -> None:
    for before in range(30, 62):
        (field,) = key_fields({"note": "a " * (before // 2) + "sk-" + "abcdef123456" * 9})
        assert field.shown.startswith("(secret ") or "sk-a" not in field.shown


def test_nothing_of_the_users_runs_to_show_a_value() -> None:
    class Loud:
        def __repr__(self) -> str:
            raise AssertionError("called")

        __str__ = __bool__ = __repr__  # type: ignore[assignment]

    (field,) = key_fields({"x": Loud()})
    assert field.shown.startswith("a test_nothing_of_the_users_runs_to_show_a_value.")
