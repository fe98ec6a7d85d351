"""What `nexus run` takes for itself, and what it leaves to the server."""

from __future__ import annotations

import io
import sys

import pytest

from kaizen_nexus.console.arguments import (
    MAX_STDIN,
    UsageError,
    check_text,
    fill_in_stdin,
    split_arguments,
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEXUS_URL", raising=False)


def feed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ("http://127.0.0.1:8000", 300.0, [])),
        (["a", "--url", "u", "--b"], ("u", 300.0, ["a", "--b"])),
        (["--url=u", "a", "--timeout=2.5"], ("u", 2.5, ["a"])),
        (["a", "--timeout", "1", "--timeout", "2"], ("http://127.0.0.1:8000", 2.0, ["a"])),
        (["a", "--", "--url", "u"], ("http://127.0.0.1:8000", 300.0, ["a", "--", "--url", "u"])),
        (["a", "--urls", "u"], ("http://127.0.0.1:8000", 300.0, ["a", "--urls", "u"])),
        (["a", "--b=--url", "u"], ("http://127.0.0.1:8000", 300.0, ["a", "--b=--url", "u"])),
    ],
)
def test_its_own_options_are_taken_out(
    arguments: list[str], expected: tuple[str, float, list[str]]
) -> None:
    assert split_arguments(arguments) == expected


def test_the_environment_names_the_server_unless_the_command_line_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NEXUS_URL", "http://a")
    assert split_arguments([])[0] == "http://a"
    assert split_arguments(["--url", "http://b"])[0] == "http://b"
    monkeypatch.setenv("NEXUS_URL", "")
    assert split_arguments([])[0] == "http://127.0.0.1:8000"


@pytest.mark.parametrize("arguments", [["--url"], ["--url="], ["--timeout"], ["a", "--url", ""]])
def test_an_option_without_a_value_is_refused(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match="needs a value"):
        split_arguments(arguments)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1e9", "soon", "5s"])
def test_a_timeout_that_is_none_is_refused(seconds: str) -> None:
    with pytest.raises(UsageError, match="--timeout takes seconds"):
        split_arguments(["--timeout", seconds])


def test_bytes_that_are_no_text_are_refused_and_shown() -> None:
    check_text(["plain", "größe 🎉"])
    with pytest.raises(UsageError, match=r"caf\\udce9"):
        check_text(["assistant", "--query", "caf\udce9"])


@pytest.mark.parametrize(
    ("arguments", "filled"),
    [
        (["a", "--inputs", "-"], ["a", "--inputs", '{"é": 1}']),
        (["a", "--inputs=-", "-"], ["a", '--inputs={"é": 1}', "-"]),
    ],
)
def test_standard_input_is_read_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], filled: list[str]
) -> None:
    feed(monkeypatch, b"\xef\xbb\xbf" + '{"é": 1}'.encode())
    assert fill_in_stdin(arguments) == filled


def test_standard_input_is_left_alone_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, b"untouched")
    arguments = ["-", "--query", "-", "--inputs", "{}", "--inputs=--"]
    assert fill_in_stdin(arguments) == arguments
    assert sys.stdin.read() == "untouched"


def test_standard_input_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, b" " * MAX_STDIN)
    assert len(fill_in_stdin(["--inputs", "-"])[1]) == MAX_STDIN
    feed(monkeypatch, b" " * (MAX_STDIN + 1))
    with pytest.raises(UsageError, match="longer than 4194304 bytes"):
        fill_in_stdin(["--inputs", "-"])


def test_standard_input_must_be_text_and_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, b"\xff")
    with pytest.raises(UsageError, match="not UTF-8"):
        fill_in_stdin(["--inputs", "-"])
    with pytest.raises(UsageError, match="more than once"):
        fill_in_stdin(["--inputs", "-", "--inputs=-"])


def test_no_standard_input_at_all_is_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert fill_in_stdin(["--inputs", "-"]) == ["--inputs", ""]
