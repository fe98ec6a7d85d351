"""Requests a second, and the CPU time of each, with every connection kept busy."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.core.operations import compared, duration, figures, number
from bench.report import Row, Section
from bench.serve.contenders import (
    BARE,
    BARE_ON_GRANIAN,
    FASTAPI,
    KAILASH,
    LITSERVE,
    OURS,
    OURS_ON_GRANIAN,
    Running,
)
from bench.serve.load import CONNECTIONS, Load, closed_loop, generator_name
from bench.serve.scale import Scale
from bench.timing import Sample

__all__ = ["Measured", "against", "measure_all", "throughput"]

WARM_UP = 0.2
"""Seconds of load before each measurement, after which nothing is paused or cold any more."""
UNJUDGED = "this run is too short to compare anything"
TARGETS = (
    (OURS, KAILASH, 3.0),
    (OURS, FASTAPI, 2.5),
    (OURS, BARE, 0.6),
    (OURS, LITSERVE, None),
    (OURS_ON_GRANIAN, BARE_ON_GRANIAN, 0.6),
    (OURS_ON_GRANIAN, OURS, None),
)
"""How many times as many requests as the second the first should answer, at least."""


@dataclass
class Measured:
    """What a server did under load, round by round."""

    loads: list[Load] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Seconds of CPU time of each request."""

    @property
    def per_request(self) -> Sample:
        """The seconds that pass from one answer to the next."""
        return Sample(tuple(load.seconds / load.requests for load in self.loads))

    @property
    def cpu_per_request(self) -> Sample:
        """The CPU time that one request costs, in seconds."""
        return Sample(tuple(self.cpu))

    @property
    def rate(self) -> float:
        """The median of the answers a second."""
        return 1 / self.per_request.median

    def data(self) -> dict[str, object]:
        """Return the figures for a machine to read."""
        return {
            "requests_per_second": [load.rate for load in self.loads],
            "seconds_per_request": figures(self.per_request),
            "cpu_seconds_per_request": figures(self.cpu_per_request),
            "p50_seconds": [load.p50 for load in self.loads],
            "p99_seconds": [load.p99 for load in self.loads],
        }


def measure_all(
    running: Mapping[str, Running],
    rounds: int,
    say: Callable[[str], None],
    load_of: Callable[[Running], Load],
) -> dict[str, Measured]:
    """Load each server once a round, all of them in turn, in an order that changes.

    Parameters
    ----------
    running
        The servers, by name.
    rounds
        How often each is measured.
    say
        Reports what is being measured.
    load_of
        Loads one of them, which is awake and warm.
    """
    measured = {name: Measured() for name in running}
    order = list(running)
    turns = random.Random(rounds)  # noqa: S311 - an order, not a secret
    for turn in range(1, rounds + 1):
        turns.shuffle(order)
        for name in order:
            say(f"{name}, round {turn} of {rounds}")
            contender = running[name]
            with contender.awake():
                closed_loop(contender.server.port, contender.template, WARM_UP)
                before = contender.server.cpu_seconds()
                load = load_of(contender)
                used = contender.server.cpu_seconds() - before
            measured[name].loads.append(load)
            measured[name].cpu.append(used / load.requests)
    return measured


def throughput(
    running: Mapping[str, Running],
    missing: Mapping[str, str],
    scale: Scale,
    say: Callable[[str], None],
) -> tuple[Section, dict[str, Measured]]:
    """Measure all servers, and return what there is to say about them."""

    def busy(contender: Running) -> Load:
        return closed_loop(contender.server.port, contender.template, scale.seconds)

    measured = measure_all(running, scale.rounds, say, busy)
    rows = [Row(f"{name}: requests a second", _rate(result)) for name, result in measured.items()]
    rows += [against(target, measured, missing, scale) for target in TARGETS]
    rows += [Row(f"{name}: left out", reason) for name, reason in missing.items()]
    title = (
        f"HTTP: one worker, {CONNECTIONS} connections, {scale.seconds} s at a time, "
        f"loaded by {generator_name()}"
    )
    data: dict[str, object] = {name: result.data() for name, result in measured.items()}
    return Section(title, rows, {"http": data, "absent": dict(missing)}), measured


def against(
    target: tuple[str, str, float | None],
    measured: Mapping[str, Measured],
    missing: Mapping[str, str],
    scale: Scale,
) -> Row:
    """Compare what two servers answer in a second, round by round.

    Parameters
    ----------
    target
        Whose, and the other's, and how many times as many they should be.
    measured
        What each server did.
    missing
        Why others were left out.
    scale
        Whether it can be judged.
    """
    subject, rival, factor = target
    name = f"{subject} against {rival}"
    goal = "" if factor is None else _goal(factor)
    absent = [other for other in (subject, rival) if other not in measured]
    if absent:
        return Row(name, "-", goal, None, missing.get(absent[0], "not measured"))
    ratio = measured[subject].per_request.times(measured[rival].per_request)
    figure = compared(ratio) if factor is None or factor >= 1 else _share(ratio)
    if factor is None:
        return Row(name, figure)
    if not scale.judged:
        return Row(name, figure, goal, None, UNJUDGED)
    own, other = (measured[name].cpu_per_request.median for name in (subject, rival))
    met = ratio.median >= factor
    reason = f"a request costs {duration(own)} of CPU time here, {duration(other)} there"
    return Row(name, figure, goal, met, "" if met else reason)


def _goal(factor: float) -> str:
    return f"{factor:g}x as fast" if factor >= 1 else f"{factor:.0%} of its requests"


def _share(ratio: Sample) -> str:
    """Return a ratio in the words of its goal, with its quartiles."""
    low, high = ratio.spread
    return f"{ratio.median:.0%} of its requests ({low:.0%} to {high:.0%})"


def _rate(result: Measured) -> str:
    longest, shortest = result.per_request.spread[1], result.per_request.spread[0]
    p50 = Sample(tuple(load.p50 for load in result.loads)).median
    p99 = Sample(tuple(load.p99 for load in result.loads)).median
    return (
        f"{number(result.rate)} ({number(1 / longest)} to {number(1 / shortest)}); "
        f"{duration(result.cpu_per_request.median)} of CPU time each; "
        f"p50 {duration(p50)}, p99 {duration(p99)}"
    )
