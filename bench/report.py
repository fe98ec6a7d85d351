"""Rows of figures as a Markdown table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.environment import describe

__all__ = ["Row", "as_markdown", "write_json"]


@dataclass(frozen=True)
class Row:
    """One figure beside its target."""

    name: str
    figure: str
    """What was measured, with its unit and spread."""
    target: str
    met: bool


def as_markdown(title: str, rows: Sequence[Row]) -> str:
    """Return the table, the machine it was measured on, and what was missed, in words."""
    lines = [f"## {title}", "", "| what | measured | target | |", "|---|---|---|---|"]
    lines += [
        f"| {r.name} | {r.figure} | {r.target} | {'met' if r.met else 'MISSED'} |" for r in rows
    ]
    missed = [row for row in rows if not row.met]
    lines += ["", *[f"Missed: {r.name} is {r.figure}, and should be {r.target}." for r in missed]]
    lines += [f"All {len(rows)} targets are met."] if not missed else []
    lines += ["", ", ".join(f"{key}: {value}" for key, value in describe().items())]
    return "\n".join(lines)


def write_json(path: Path, title: str, rows: Sequence[Row]) -> None:
    """Write the rows and the environment to `path`."""
    content = {"suite": title, "environment": describe(), "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
