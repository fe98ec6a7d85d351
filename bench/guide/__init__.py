"""The performance guide's tables: deployment, execution on each channel, sessions, concurrency."""

from __future__ import annotations

from collections.abc import Callable

from bench.guide import deployments, requests, sessions
from bench.report import Row

__all__ = ["run"]


def run(rounds: int, say: Callable[[str], None]) -> list[Row]:
    """Measure everything.

    Parameters
    ----------
    rounds
        How often each figure is measured; medians are reported.
    say
        Reports what is being measured.
    """
    rows: list[Row] = []
    for title, measure in (
        ("deployment", deployments.deployment),
        ("execution", requests.execution),
        ("sessions", sessions.sessions),
        ("concurrency", deployments.concurrency),
        ("memory", deployments.memory),
    ):
        say(title)
        rows += measure(rounds)
    return rows
