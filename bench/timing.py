"""Timing that a noisy machine does not decide: contenders take turns, medians are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Sample", "alternate"]


@dataclass(frozen=True)
class Sample:
    """The durations of one contender, in seconds, in the order they were measured."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median duration."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        """The first and the third quartile."""
        if len(self.seconds) == 1:
            return self.seconds[0], self.seconds[0]
        first, _, third = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return first, third


def alternate(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Sample]:
    """Time each contender once a round, in turn, after one round that does not count.

    Parameters
    ----------
    contenders
        What to time, by name; each call is one measurement and checks its own answer.
    rounds
        How many measurements to take of each.
    """
    durations: dict[str, list[float]] = {name: [] for name in contenders}
    for counted in (False, *[True] * rounds):
        for name, call in contenders.items():
            started = time.perf_counter()
            call()
            elapsed = time.perf_counter() - started
            if counted:
                durations[name].append(elapsed)
    return {name: Sample(tuple(values)) for name, values in durations.items()}
