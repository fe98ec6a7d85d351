"""What a report says in words, in Markdown and in JSON."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from bench import environment
from bench.report import Row, Section, as_markdown, write_json

MET = Row("get", "100 ns", "12x", met=True)
MISSED = Row("record", "1.2x as fast", "2.5x as fast", met=False, reason="a call takes 19 ns")
NOT_JUDGED = Row("update", "-", "4x", None, "cachebox is not installed")
ALSO_NOT_JUDGED = Row("create", "-", "2x", None, "cachebox is not installed")
FIGURE = Row("threads", "2 million a second")


def report(*rows: Row) -> list[str]:
    return as_markdown([Section("Sessions", list(rows))], {"machine": "a", "core": "c"}).split("\n")


def test_the_table_has_name_figure_target_and_verdict() -> None:
    assert report(MET, MISSED, NOT_JUDGED, FIGURE)[:9] == [
        "## Sessions",
        "",
        "| what | measured | target | |",
        "|---|---|---|---|",
        "| get | 100 ns | 12x | met |",
        "| record | 1.2x as fast | 2.5x as fast | MISSED |",
        "| update | - | 4x | not judged |",
        "| threads | 2 million a second |  |  |",
        "",
    ]


def test_what_is_missed_is_said_in_words_with_its_reason() -> None:
    lines = report(MET, MISSED)
    assert (
        "Missed: record is 1.2x as fast, and should be 2.5x as fast. A call takes 19 ns." in lines
    )
    assert "Of 2 targets, 1 are met, 1 missed." in lines


def test_what_could_not_be_judged_is_said_once_for_each_reason() -> None:
    lines = report(MET, NOT_JUDGED, ALSO_NOT_JUDGED)
    assert "Not judged, because cachebox is not installed: update; create." in lines
    assert "Of 3 targets, 1 are met, 0 missed and 2 not judged." in lines


def test_that_all_is_met_is_only_said_when_it_is() -> None:
    assert "All 1 targets are met." in report(MET, FIGURE)
    assert not any("All" in line for line in report(MET, NOT_JUDGED))


def test_what_it_ran_on_comes_last() -> None:
    assert report(MET)[-1] == "machine: a, core: c"


def test_json_holds_every_row_the_figures_and_the_environment(tmp_path: Path) -> None:
    data: dict[str, object] = {"get": {"seconds": [1e-7, 2e-7]}}
    sections = [Section("Sessions", [MET, MISSED], data), Section("Keys", [FIGURE])]
    file = tmp_path / "out.json"
    write_json(file, "core", sections, {"machine": "a"})
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["suite"] == "core"
    assert found["environment"] == {"machine": "a"}
    assert [
        Section(s["title"], [Row(**r) for r in s["rows"]], s["data"]) for s in found["sections"]
    ] == sections


def test_json_refuses_what_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "out.json", "core", [Section("a", [], {"x": float("nan")})], {})


def test_the_environment_names_versions_and_what_is_missing() -> None:
    found = environment.describe(["numpy", "no-such-package"])
    assert found["numpy"][0].isdigit()
    assert found["no-such-package"] == "not installed"
    assert {"machine", "python", "core", "kaizen-nexus"} <= set(found)


def test_versions_are_those_of_the_interpreter_that_has_a_package() -> None:
    pythons = {"numpy": sys.executable, "no-such-package": sys.executable, "mcp": "/nowhere"}
    found = environment.describe(["numpy", "no-such-package", "mcp", "click"], pythons)
    assert found["numpy"] == version("numpy")
    assert found["no-such-package"] == found["mcp"] == "not installed"
    assert found["click"] == version("click")
