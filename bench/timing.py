"""Timing that a noisy machine does not decide: contenders take turns, rounds are compared.

A loop in bytecode of its own repeats a statement, as `timeit` does, so that neither a function call
nor an iterator of ours is measured with it. It counts processor time, which other processes do not
change much. The repetitions are calibrated for each contender; the garbage collector is off
meanwhile.
"""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice, repeat

__all__ = ["Run", "Sample", "alternate", "calibrate", "collector_off", "loop", "take_turns"]

Timer = Callable[[], float]
Run = Callable[[int], float]
"""Does what is timed so many times, and returns the seconds that took."""

LEAST_ROUNDS = 3
MOST_REPETITIONS = 10_000_000


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

    def times(self, other: Sample) -> Sample:
        """Return how many times as long `other` took, round by round."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return Sample(tuple(others / own for own, others in pairs))


@contextmanager
def collector_off() -> Iterator[None]:
    """Keep the garbage collector from running."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def loop(
    statement: str,
    names: Mapping[str, object],
    items: Iterable[object] | None = None,
    timer: Timer = time.process_time,
) -> Run:
    """Return what repeats a statement and times the repetition.

    Parameters
    ----------
    statement
        Python source, in which ``item`` is the next of `items`.
    names
        What the statement refers to.
    items
        Taken in turn; a measurement goes on where the last one stopped, so that those of a large
        table are not in the processor's caches.
    timer
        Returns seconds.
    """
    # The names are locals of the loop, as those of a caller's own function would be.
    parameters = ", ".join(["_items", "_timer", *names])
    body = statement.replace("\n", "\n        ")
    source = (
        f"def repeated({parameters}):\n"
        "    _started = _timer()\n"
        f"    for item in _items:\n        {body}\n"
        "    return _timer() - _started\n"
    )
    scope: dict[str, Callable[..., float]] = {}
    exec(compile(source, f"<timed: {statement}>", "exec"), {}, scope)  # noqa: S102 - our own source
    repeated = scope["repeated"]
    stream = None if items is None else cycle(items)

    def run(number: int) -> float:
        chosen = repeat(None, number) if stream is None else list(islice(stream, number))
        with collector_off():
            return repeated(chosen, timer, *names.values())

    return run


def calibrate(run: Run, at_least: float) -> int:
    """Return how many repetitions take about `at_least` seconds; the last try took that long."""
    number = 1
    while True:
        seconds = run(number)
        if seconds >= at_least or number >= MOST_REPETITIONS:
            return number
        # A short run says little about a long one, so it grows tenfold at most.
        missing = at_least / seconds * 1.1 if seconds > 0 else math.inf
        number = min(math.ceil(number * min(missing, 10.0)), MOST_REPETITIONS)


def take_turns(
    contenders: Mapping[str, Run],
    rounds: int,
    at_least: float = 0.0,
    budget: float = math.inf,
    timer: Timer = time.perf_counter,
) -> dict[str, Sample]:
    """Time every contender once a round, after calibrating it, which also warms it up.

    Parameters
    ----------
    contenders
        What to time, by name.
    rounds
        How many measurements to take of each.
    at_least
        Seconds that a measurement should last; 0 for a single repetition.
    budget
        Seconds that all rounds may take, going by the calibration: fewer are made if need be, but
        at least three.
    timer
        Returns seconds.

    Returns
    -------
    dict
        The seconds of one repetition, by contender.
    """
    started = timer()
    numbers = {name: calibrate(run, at_least) for name, run in contenders.items()}
    passed = timer() - started
    if passed > 0:
        rounds = min(rounds, max(LEAST_ROUNDS, int(min(budget / passed, rounds))))
    durations: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    turns = random.Random(rounds)  # noqa: S311 - an order, not a secret
    for _ in range(rounds):
        # Nobody always follows the same one, whose leavings are in the caches.
        turns.shuffle(order)
        for name in order:
            durations[name].append(contenders[name](numbers[name]) / numbers[name])
    return {name: Sample(tuple(values)) for name, values in durations.items()}


def alternate(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Sample]:
    """Time each contender once a round, in turn, after one round that does not count.

    Parameters
    ----------
    contenders
        What to time, by name; each call is one measurement and checks its own answer.
    rounds
        How many measurements to take of each.
    """

    def timed(call: Callable[[], object]) -> Run:
        def run(number: int) -> float:
            started = time.perf_counter()
            for _ in range(number):
                call()
            return time.perf_counter() - started

        return run

    return take_turns({name: timed(call) for name, call in contenders.items()}, rounds)
