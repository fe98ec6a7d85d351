"""Verdicts on figures whose targets are set for a million sessions."""

from __future__ import annotations

from dataclasses import replace

from bench.core.operations import less_than_a_million
from bench.report import Row

__all__ = ["judged"]


def judged(row: Row, sessions: int) -> Row:
    """Return a row that is judged only if it was measured on as many sessions as its target says.

    Parameters
    ----------
    row
        Its reason is why it would not be met, and is dropped if it is.
    sessions
        How many it was measured on.
    """
    unfit = less_than_a_million(sessions)
    if unfit:
        return replace(row, met=None, reason=unfit)
    return replace(row, reason="") if row.met else row
