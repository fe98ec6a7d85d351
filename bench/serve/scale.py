"""How much is measured: all of it, or enough to see that everything works."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "UNJUDGED", "Scale"]

UNJUDGED = "this run is too short to compare anything"


@dataclass(frozen=True)
class Scale:
    """The size of a run."""

    rounds: int
    """How often each contender is loaded, all of them in turn."""
    seconds: float
    """How long each time."""
    tools: tuple[int, ...]
    """How many tools an MCP server has."""
    loads: tuple[float, ...]
    """The offered loads of the curves, as parts of each server's maximum."""
    processes: int
    """How often the start of a process is timed."""
    calls: int
    """How many calls over stdio are one measurement."""
    judged: bool
    """Whether the figures are worth comparing with targets."""


FULL = Scale(
    rounds=7,
    seconds=2.0,
    tools=(1, 100),
    loads=(0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0),
    processes=21,
    calls=200,
    judged=True,
)
QUICK = Scale(
    rounds=1, seconds=0.3, tools=(1,), loads=(0.3, 0.8), processes=3, calls=20, judged=False
)
