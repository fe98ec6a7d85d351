"""A report as text for people: what agrees at a glance, and what differs in full."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from kaizen_nexus.testing.report import APP, ASPECTS, DIFFERS, NOT_COMPARED, SAME, Report

__all__ = ["format_report"]

MAX_INPUTS = 200
"""How much of the inputs that were used is shown, in characters."""
GAP = "  "
_LABELS = {
    SAME: ("same", "green"),
    DIFFERS: ("DIFFERS", "red"),
    NOT_COMPARED: ("-", "bright_black"),
}
_COLUMN = len("DIFFERS")


def format_report(report: Report, *, colour: bool = True) -> str:
    """Return the report as ``nexus check`` prints it.

    Parameters
    ----------
    report
        What to show.
    colour
        Whether to colour it; `click.echo` takes colours out where they do not go.
    """
    channels = [
        (channel.name, channel.detail if channel.available else f"not available: {channel.detail}")
        for channel in report.channels
    ]
    parts = [_section("Channels:", channels), _overview(report)]
    if report.differences:
        parts.append(_differences(report))
    if report.notes:
        rows = [(f"{note.workflow}, {note.aspect}: {note.text}",) for note in report.notes]
        parts.append(_section("Not compared, or not fully:", rows))
    if report.inputs:
        rows_of_inputs = []
        for used in report.inputs:
            text = json.dumps(used.inputs, ensure_ascii=False)
            text = text if len(text) <= MAX_INPUTS else f"{text[: MAX_INPUTS - 3]}..."
            rows_of_inputs.append((used.workflow, used.case, used.origin, text))
        parts.append(_section("Inputs:", rows_of_inputs))
    text = "\n\n".join([*parts, _verdict(report)])
    return text if colour else click.unstyle(text)


def _overview(report: Report) -> str:
    names = list(report.workflows)
    if any(report.status(APP, aspect) != NOT_COMPARED for aspect in ASPECTS):
        names.append(APP)
    width = max(len(name) for name in ["WORKFLOW", *names])
    titles = [f"{'WORKFLOW':{width}}", *(f"{aspect.upper():{_COLUMN}}" for aspect in ASPECTS)]
    lines = [GAP.join(titles).rstrip()]
    for name in names:
        cells = []
        for aspect in ASPECTS:
            status = report.status(name, aspect)
            label, colour = _LABELS[status]
            padding = "" if aspect == ASPECTS[-1] else " " * (_COLUMN - len(label))
            cells.append(click.style(label, fg=colour, bold=status == DIFFERS) + padding)
        lines.append(GAP.join([f"{name:{width}}", *cells]))
    return "\n".join(lines)


def _differences(report: Report) -> str:
    rows: list[tuple[str, ...]] = [("WORKFLOW", "ASPECT", "CASE", "CHANNELS", "FOUND")]
    for each in report.differences:
        labels = (each.workflow, each.aspect, each.case)
        for channels, found in each.found.items():
            rows.append((*labels, channels, found))
            labels = ("", "", "")
    return _section(click.style("Differences:", fg="red", bold=True), rows)


def _verdict(report: Report) -> str:
    verdict = "no difference" if report.ok else _counted(len(report.differences), "difference")
    return (
        f"{click.style(verdict, fg='green' if report.ok else 'red', bold=True)}: {report.target}, "
        f"{_counted(len(report.workflows), 'workflow')}, {_counted(report.calls, 'call')}, "
        f"{report.seconds:.1f} s"
    )


def _section(title: str, rows: Sequence[tuple[str, ...]]) -> str:
    """Return the rows below a title, in columns that begin below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [title]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False))
        lines.append(GAP + GAP.join([*cells, row[-1]]))
    return "\n".join(lines)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
