"""Each deliberately broken app is found out: exit code 1, and the table says what differs where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kaizen_nexus.testing import check as check_app
from tests.integration.check import broken_apps
from tests.integration.check.conftest import Check

APPS = Path(__file__).with_name("broken_apps.py")
DEFECTS = {
    "not_found": [
        ("result", "http", "HTTP 404"),
        ("error", "http", "HTTP 404"),
        ("session", "http", "HTTP 404"),
    ],
    "another_result": [("result", "http", 'at /facts/0: "it.s .*!"')],
    "no_session_in": [
        ("session", "http", "started no session"),
        ("session", "http", "ran without a session"),
        ("error", "http", r'\{"facts": '),
    ],
    "no_session_out": [
        ("session", "http", "X-Session-ID names no session, though the body does"),
    ],
    "swallowed_error": [("error", "http", "HTTP 200 without a result")],
    "another_openapi": [("schema", "openapi", 'at /properties/times/type: "number"')],
    "cli_without_sessions": [
        ("session", "cli", "ran without a session"),
        ("error", "cli", r'\{"facts": '),
    ],
    "cli_with_own_sessions": [
        ("session", "cli", "ran in another session than the one it was given"),
        ("error", "cli", r'\{"facts": '),
    ],
    "cli_without_failures": [("error", "cli", "exit code 0 without a result")],
    "cli_without_option": [("schema", "cli", "--times nothing")],
    "mcp_not_found": [
        ("result", "mcp-handshake", "HTTP 404 without a JSON-RPC answer"),
        ("result", "mcp-2026-07-28", "HTTP 404 without a JSON-RPC answer"),
    ],
    "mcp_of_two_minds": [("result", "mcp-2026-07-28", "at /facts/0: nothing")],
    "mcp_with_secrets": [("error", "mcp-handshake.*", "unexpected: .*hunter2")],
    "another_tool": [
        ("schema", "mcp-handshake", "at /properties/fact: nothing"),
        ("schema", "mcp-stdio", "at /properties/fact: nothing"),
        ("result", "mcp-handshake.*", "invalid-inputs"),
        ("error", "mcp-handshake.*", r"invalid-inputs \(facts?\)"),
        ("session", "mcp-handshake", "invalid-inputs"),
    ],
    "counted_twice": [("metric", "cli", "recorded cli 2 times instead of once")],
    "not_counted": [
        ("metric", "mcp-handshake", "recorded mcp 0 times instead of once"),
        ("metric", "mcp-stdio", r"recorded api 0, cli 0, mcp 0 for \d+ calls over MCP"),
    ],
    "other_over_stdio": [
        ("schema", "mcp-stdio", "at /properties/fact/type: nothing"),
        ("result", "mcp-stdio", "at /facts/1: nothing"),
        ("error", "mcp-stdio", r'\{"facts": \[12345\]\}'),
        ("session", "mcp-stdio", "turn 2: nothing instead of"),
    ],
    "forgetful_over_stdio": [("session", "mcp-stdio", r"left the state \{\} instead of \{.facts")],
    "silent_over_stdio": [("result", "mcp-stdio", "the server closed the connection")],
}
IN_THREAD = (
    "another_result",
    "swallowed_error",
    "another_openapi",
    "cli_without_sessions",
    "cli_without_option",
    "mcp_not_found",
    "mcp_with_secrets",
    "mcp_of_two_minds",
)
"""One app of each kind that needs no process of its own."""


def assert_found(app: str, rows: list[tuple[str, str, str]], shown: str) -> None:
    """Assert that rows of aspect, channels and finding say what is wrong, and no more."""
    for aspect, channels, finding in DEFECTS[app]:
        assert any(
            row[0] == aspect and re.fullmatch(channels, row[1]) and re.search(finding, row[2])
            for row in rows
        ), f"{aspect} {channels} {finding}\n{shown}"
    # What is sound is not blamed: a defect of sessions, for example, is none of schemas.
    assert {row[0] for row in rows} == {aspect for aspect, _, _ in DEFECTS[app]}, shown


def rows_of(table: str) -> list[tuple[str, str, str]]:
    """Return aspect, channels and finding of each line of the table of differences."""
    lines = table.partition("Differences:\n")[2].partition("\n\n")[0].splitlines()
    starts = [lines[0].index(title) for title in ("ASPECT", "CASE", "CHANNELS", "FOUND")]
    rows, aspect = [], ""
    for line in lines[1:]:
        aspect = line[starts[0] : starts[1]].strip() or aspect
        rows.append((aspect, line[starts[2] : starts[3]].strip(), line[starts[3] :].strip()))
    return rows


@pytest.mark.parametrize("app", IN_THREAD)
def test_the_report_names_the_difference(app: str) -> None:
    report = check_app(getattr(broken_apps, app))
    rows = [
        (each.aspect, channels, found)
        for each in report.differences
        for channels, found in each.found.items()
    ]
    assert not report.ok
    assert_found(app, rows, str(report.as_data()))


@pytest.mark.slow
@pytest.mark.parametrize("app", DEFECTS)
def test_the_table_names_the_difference(check: Check, app: str) -> None:
    done = check(f"{APPS}:{app}")
    assert (done.exit_code, done.stderr) == (1, ""), done.stdout
    assert_found(app, rows_of(done.stdout), done.stdout)


def test_what_is_sound_is_not_blamed() -> None:
    report = check_app(broken_apps.counted_twice).as_data()
    assert report["same"] is False
    assert report["workflows"]["notes"] == {
        "result": "same",
        "schema": "same",
        "session": "same",
        "error": "same",
        "metric": "differs",
    }
    (difference,) = report["differences"]
    assert difference["found"] == [
        {"channels": ["cli"], "found": "recorded cli 2 times instead of once"}
    ]


def test_metrics_that_cannot_be_read_are_said_to_be_missing() -> None:
    report = check_app(broken_apps.no_metrics)
    assert report.ok
    (note,) = [note for note in report.notes if note.workflow == "notes"]
    assert (note.aspect, note.text) == ("metric", "GET /metrics.json was answered 404")
    assert report.status("notes", "metric") == "not compared"
