"""The suite ``core``: how much is measured, and its sections in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module

from bench.core.scale import Scale
from bench.report import Section

__all__ = ["SECTIONS", "run"]

SECTIONS = ("sessions", "histograms", "keys", "pauses", "memory", "collector")
"""Modules of this package, each with ``measure(scale, say) -> Section``."""


def run(scale: Scale, say: Callable[[str], None]) -> Iterator[Section]:
    """Measure one section after the other.

    Raises
    ------
    WrongAnswerError
        A contender does something else than what it is timed for.
    """
    for name in SECTIONS:
        yield import_module(f"bench.core.{name}").measure(scale, say)
