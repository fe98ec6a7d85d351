"""Sections of figures as Markdown tables and as JSON, with every miss in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

__all__ = ["Row", "Section", "as_markdown", "write_json"]


@dataclass(frozen=True)
class Row:
    """One figure beside its target."""

    name: str
    figure: str
    """What was measured, with its unit and spread."""
    target: str = ""
    """Empty where there is none."""
    met: bool | None = None
    """`None` without a target, or where it could not be judged."""
    reason: str = ""
    """The measured reason of a miss, or why it could not be judged."""

    @property
    def verdict(self) -> str:
        """The last column of the table."""
        if self.met is None:
            return "not judged" if self.target else ""
        return "met" if self.met else "MISSED"


@dataclass(frozen=True)
class Section:
    """A part of a report."""

    title: str
    rows: list[Row]
    data: dict[str, object] = field(default_factory=dict)
    """The figures themselves, for JSON and for plots."""
    listing: list[str] = field(default_factory=list)
    """Lines to show below the table as they are."""


def as_markdown(sections: Sequence[Section], environment: dict[str, str]) -> str:
    """Return the tables, then in words what was missed and why, then what it ran on."""
    lines: list[str] = []
    for section in sections:
        lines += [f"## {section.title}", "", "| what | measured | target | |", "|---|---|---|---|"]
        lines += [f"| {r.name} | {r.figure} | {r.target} | {r.verdict} |" for r in section.rows]
        lines += [""]
        if section.listing:
            lines += ["```text", *section.listing, "```", ""]
    # A blank line between them, or Markdown would run them together.
    for verdict in _verdicts([row for section in sections for row in section.rows]):
        lines += [verdict, ""]
    lines += [", ".join(f"{key}: {value}" for key, value in environment.items())]
    return "\n".join(lines)


def _verdicts(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what was missed, what could not be judged, and how many targets are met."""
    missed = [row for row in rows if row.met is False]
    for row in missed:
        because = f" {_sentence(row.reason)}" if row.reason else ""
        yield f"Missed: {row.name} is {row.figure}, and should be {row.target}.{because}"
    unjudged: dict[str, list[str]] = {}
    for row in rows:
        if row.met is None and row.target:
            unjudged.setdefault(row.reason, []).append(row.name)
    for reason, names in unjudged.items():
        yield f"Not judged, because {reason}: {'; '.join(names)}."
    met = sum(row.met is True for row in rows)
    if not any(row.target for row in rows):
        return
    if missed or unjudged:
        count = sum(len(names) for names in unjudged.values())
        yield f"Of {met + len(missed) + count} targets, {met} are met, {len(missed)} missed" + (
            f" and {count} not judged." if count else "."
        )
    else:
        yield f"All {met} targets are met."


def _sentence(text: str) -> str:
    """Return `text` with a capital letter and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def write_json(
    path: Path, suite: str, sections: Sequence[Section], environment: dict[str, str]
) -> None:
    """Write the environment and all sections, with their raw figures, to `path`."""
    content = {
        "suite": suite,
        "environment": environment,
        "sections": [asdict(section) for section in sections],
    }
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
