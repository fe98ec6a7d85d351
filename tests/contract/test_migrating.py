"""The page on migrating lists the differences that the programs observe, and no others."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "migrating.md"
OBSERVED = ("Sessions", "Deployment", "Metrics", "Modules")
ROW = re.compile(r"^\| (.+?) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)


def titles() -> list[str]:
    """Return the docstrings of the programs that observe differences."""
    spec = importlib.util.spec_from_file_location("contract_observe", HERE / "observe.py")
    assert spec is not None
    assert spec.loader is not None
    observe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(observe)
    return [
        title
        for program, title in observe.programs().items()
        if program.startswith(observe.DIFFERENCES)
    ]


def sections() -> dict[str, list[tuple[str, ...]]]:
    text = PAGE.read_text("utf-8").partition("## What is different")[2]
    return {
        section.partition("\n")[0]: [row for row in ROW.findall(section) if row[0] != "What"]
        for section in text.split("\n### ")[1:]
    }


def test_each_difference_is_documented_and_each_documented_one_is_observed() -> None:
    documented = [row[0] for name in OBSERVED for row in sections()[name]]
    assert sorted(documented) == sorted(titles())
    assert len(set(documented)) == len(documented)


def test_each_row_gives_both_sides_and_the_reason() -> None:
    rows = [row for section in sections().values() for row in section]
    assert len(rows) > 60
    for what, theirs, ours, why in rows:
        assert what.strip()
        assert why.strip()
        assert theirs.strip() != ours.strip()
