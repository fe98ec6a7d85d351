"""A report as text for people: what agrees at a glance, and what differs in full."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import click

from kaizen_nexus.testing.report import (
    APP,
    ASPECTS,
    DIFFERS,
    NOT_COMPARED,
    SAME,
    Difference,
    Report,
)

__all__ = ["format_report"]

MAX_INPUTS = 200
"""How much of the inputs that were used is shown, in characters."""
GAP = "  "
_COLOURS = {SAME: "green", DIFFERS: "red", NOT_COMPARED: "bright_black"}
_LABELS = {SAME: "same", DIFFERS: "DIFFERS", NOT_COMPARED: "-"}


def format_report(report: Report) -> str:
    """Return the report, with terminal colours; `click.echo` takes them out where they do not go.

    Parameters
    ----------
    report
        What to show.
    """
    parts = [_channels(report), _overview(report)]
    if report.differences:
        parts.append(_differences(report.differences))
    if report.notes:
        lines = (f"{GAP}{note.workflow}, {note.aspect}: {note.text}" for note in report.notes)
        parts.append("\n".join(["Not compared, or not fully:", *lines]))
    if report.inputs:
        parts.append(_inputs(report))
    parts.append(_verdict(report))
    return "\n\n".join(parts)


def _channels(report: Report) -> str:
    rows = [
        (channel.name, channel.detail if channel.available else f"not available: {channel.detail}")
        for channel in report.channels
    ]
    return "\n".join(["Channels:", *_aligned(rows)])


def _overview(report: Report) -> str:
    names = list(report.workflows)
    if any(report.status(APP, aspect) != NOT_COMPARED for aspect in ASPECTS):
        names.append(APP)
    width = max(len(name) for name in ["WORKFLOW", *names])
    column = max(len(label) for label in _LABELS.values())
    titles = [f"{'WORKFLOW':{width}}", *(f"{aspect.upper():{column}}" for aspect in ASPECTS)]
    lines = [GAP.join(titles).rstrip()]
    for name in names:
        cells = []
        for aspect in ASPECTS:
            status = report.status(name, aspect)
            label = click.style(_LABELS[status], fg=_COLOURS[status], bold=status == DIFFERS)
            padding = "" if aspect == ASPECTS[-1] else " " * (column - len(_LABELS[status]))
            cells.append(label + padding)
        lines.append(GAP.join([f"{name:{width}}", *cells]))
    return "\n".join(lines)


def _differences(differences: Iterable[Difference]) -> str:
    rows: list[tuple[str, ...]] = [("WORKFLOW", "ASPECT", "CASE", "CHANNELS", "FOUND")]
    for each in differences:
        labels = (each.workflow, each.aspect, each.case)
        for channels, found in each.found.items():
            rows.append((*labels, channels, found))
            labels = ("", "", "")
    return "\n".join([click.style("Differences:", fg="red", bold=True), *_aligned(rows)])


def _inputs(report: Report) -> str:
    rows = []
    for used in report.inputs:
        text = json.dumps(used.inputs, ensure_ascii=False)
        text = text if len(text) <= MAX_INPUTS else f"{text[: MAX_INPUTS - 3]}..."
        rows.append((used.workflow, used.case, used.origin, text))
    return "\n".join(["Inputs:", *_aligned(rows)])


def _verdict(report: Report) -> str:
    number = len(report.differences)
    verdict = "no difference" if report.agrees else _counted(number, "difference")
    colour = "green" if report.agrees else "red"
    return (
        f"{click.style(verdict, fg=colour, bold=True)}: {report.target}, "
        f"{_counted(len(report.workflows), 'workflow')}, {_counted(report.calls, 'call')}, "
        f"{report.seconds:.1f} s"
    )


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the rows as lines whose columns begin below each other; the last is not padded."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    lines = []
    for *cells, last in rows:
        padded = (f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
        lines.append(GAP + GAP.join([*padded, last]))
    return lines


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
