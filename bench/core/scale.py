"""How much is measured: all of it, or enough for a first impression."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "Scale"]


@dataclass(frozen=True)
class Scale:
    """The size of a run."""

    rounds: int
    """Measurements of each contender."""
    sizes: tuple[int, ...]
    """Of tables, in sessions."""
    many: int
    """What "a million" stands for."""


FULL = Scale(rounds=25, sizes=(1, 1_000, 100_000, 1_000_000), many=1_000_000)
QUICK = Scale(rounds=5, sizes=(1, 1_000, 100_000), many=100_000)
