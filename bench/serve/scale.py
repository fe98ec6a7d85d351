"""How much is measured: all of it, or enough to see that everything works."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "Scale"]


@dataclass(frozen=True)
class Scale:
    """The size of a run."""

    rounds: int
    """How often each contender is loaded, all of them in turn."""
    seconds: int
    """How long each time."""
    call_seconds: float
    """The same for calls of tools over MCP."""
    tools: tuple[int, ...]
    """How many tools a server has."""
    loads: tuple[float, ...]
    """The offered loads of the curves, as parts of each server's maximum."""
    at_load: float
    """How long each of those is offered, in seconds."""
    processes: int
    """How often the start of a process is timed."""
    calls: int
    """How many calls over stdio are one measurement."""
    judged: bool
    """Whether the figures are worth comparing with targets."""


FULL = Scale(
    rounds=7,
    seconds=3,
    call_seconds=2.0,
    tools=(1, 100),
    loads=(0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0),
    at_load=2.0,
    processes=21,
    calls=200,
    judged=True,
)
QUICK = Scale(
    rounds=1,
    seconds=1,
    call_seconds=0.3,
    tools=(1,),
    loads=(0.3, 0.8),
    at_load=0.3,
    processes=3,
    calls=20,
    judged=False,
)
