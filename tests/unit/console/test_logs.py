"""Records whose words a stranger chose."""

from __future__ import annotations

import logging

import pytest

from kaizen_nexus.console.logs import LogFormatter


def logged(message: str, *arguments: object, error: BaseException | None = None) -> str:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("name", logging.WARNING, __file__, 1, message, arguments, exc_info)
    return LogFormatter().format(record)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("a\r\nb", "a\\r\\nb"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("\x7f\x9b1m", "\\x7f\\x9b1m"),
        ("\u2028\u202e", "\\u2028\\u202e"),
        ("\ud800", "\\ud800"),
        ("é \N{GRINNING FACE}", "é \N{GRINNING FACE}"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert logged("it says %s", text).endswith(f" WARNING name: it says {shown}")


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("0123456789abcdef0123456789abcdef", "012345[...]"),
        ("kn_0123456789abcdef_" + "Az09-_" * 7 + "x", "kn_012[...]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl", "eyJhbG[...]"),
        ("Bearer abcdefghijklmnop", "Bearer abcdef[...]"),
        ("session_0123456789abcdef0123456789abcdef_2", "session_012345[...]_2"),
        ("my_kn_0123456789abcdef_" + "Az09-_" * 7 + "x", "my_kn_012[...]"),
        ("my_eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl", "my_eyJhbG[...]"),
    ],
)
def test_secrets_are_shortened(secret: str, shown: str) -> None:
    assert logged("got %s, sorry", secret).endswith(f"got {shown}, sorry")


def test_a_traceback_can_forge_no_record_and_hides_secrets() -> None:
    session = "0123456789abcdef0123456789abcdef"
    text = f"x\n2026-01-01 00:00:00,000 INFO root: \x1b[1mall is well {session}"
    lines = logged("failed", error=ValueError(text)).split("\n")
    assert lines[0].endswith(" WARNING name: failed")
    assert lines[1] == "  ValueError: x"
    assert all(line.startswith("  ") for line in lines[1:])
    assert lines[-1] == "  2026-01-01 00:00:00,000 INFO root: \\x1b[1mall is well 012345[...]"
