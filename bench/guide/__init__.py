"""The performance guide's tables: deployment, execution on each channel, sessions, concurrency."""

from __future__ import annotations

from collections.abc import Callable

from bench.guide import deployments, requests, sessions
from bench.report import Row

__all__ = ["run"]


def run(rounds: int, say: Callable[[str], None]) -> list[Row]:
    """Measure everything `rounds` times, reporting what is being measured; return medians."""
    rows: list[Row] = []
    for measure in (
        deployments.deployment,
        requests.execution,
        sessions.sessions,
        deployments.concurrency,
        deployments.memory,
    ):
        say(measure.__name__)
        rows += measure(rounds)
    return rows
