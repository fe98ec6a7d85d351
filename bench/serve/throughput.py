"""The CPU time of a request on the server, and requests a second, with every connection busy."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.comparing import Target, compare, duration, figures, number
from bench.report import Row, Section
from bench.serve.cases import Case
from bench.serve.contenders import BEFORE, Running
from bench.serve.load import CONNECTIONS, Load, load
from bench.serve.requests import Template
from bench.serve.scale import UNJUDGED, Scale
from bench.timing import Sample

__all__ = ["WARM_UP", "Measured", "compared_rows", "measure_all", "throughput"]

WARM_UP = 0.2
"""Seconds of load before each measurement, after which nothing is paused or cold any more."""


@dataclass
class Measured:
    """What a server did under load, round by round."""

    loads: list[Load] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """Of CPU time for each request."""

    @property
    def cpu(self) -> Sample:
        """The seconds of CPU time that one request costs."""
        return Sample(tuple(self.seconds))

    @property
    def rates(self) -> Sample:
        """Answers a second."""
        return Sample(tuple(load.rate for load in self.loads))

    def data(self) -> dict[str, object]:
        """Return the figures for a machine to read."""
        return {
            "cpu_seconds_per_request": figures(self.cpu),
            "requests_per_second": figures(self.rates),
            "p50_seconds": [load.p50 for load in self.loads],
            "p99_seconds": [load.p99 for load in self.loads],
        }

    def __str__(self) -> str:
        low, high = self.cpu.spread
        p50 = Sample(tuple(load.p50 for load in self.loads)).median
        p99 = Sample(tuple(load.p99 for load in self.loads)).median
        return (
            f"{number(1e6 * self.cpu.median)} us of CPU time each "
            f"({number(1e6 * low)} to {number(1e6 * high)}); "
            f"{number(self.rates.median)} a second, p50 {duration(p50)}, p99 {duration(p99)}"
        )


def measure_all(
    running: Mapping[str, Running],
    sent: Mapping[str, Template],
    scale: Scale,
    say: Callable[[str], None],
    *,
    connections: int,
) -> dict[str, Measured]:
    """Load each server once a round, all of them in turn, in an order that changes.

    Parameters
    ----------
    running
        The servers, by name.
    sent
        What each of them gets.
    scale
        How often each is measured, and how long each time.
    say
        Reports what is being measured.
    connections
        How many are kept busy.

    Raises
    ------
    WrongAnswerError
        A server gives another answer than the one that it would be timed for.
    """
    measured = {name: Measured() for name in sent if name in running}
    order = list(measured)
    turns = random.Random(scale.rounds)  # noqa: S311 - an order, not a secret
    for turn in range(1, scale.rounds + 1):
        turns.shuffle(order)
        for name in order:
            say(f"{name}, round {turn} of {scale.rounds}")
            with running[name].awake() as server:
                load(server.port, sent[name], WARM_UP, connections)
                before = server.cpu_seconds()
                result = load(server.port, sent[name], scale.seconds, connections)
                used = server.cpu_seconds() - before
            measured[name].loads.append(result)
            measured[name].seconds.append(used / result.requests)
    return measured


def throughput(
    running: Mapping[str, Running],
    missing: Mapping[str, str],
    chosen: list[Case],
    scale: Scale,
    say: Callable[[str], None],
) -> tuple[Section, dict[str, Measured]]:
    """Measure all servers at all cases; return what there is to report, and the first case's."""
    rows: list[Row] = []
    data: dict[str, object] = {}
    first: dict[str, Measured] = {}
    for case in chosen:
        say(case.name)
        measured = measure_all(running, case.sent, scale, say, connections=case.connections)
        first = first or measured
        own = next(iter(case.sent))
        data[f"{own}: {case.name}"] = {name: result.data() for name, result in measured.items()}
        rows += [Row(f"{case.name}: {name}", str(result)) for name, result in measured.items()]
        rows += compared_rows(case.name, own, case.targets, measured, missing=missing, scale=scale)
    rows += [Row(f"{name}: left out", reason) for name, reason in missing.items()]
    title = f"HTTP: one worker, {CONNECTIONS} connections, {scale.seconds:g} s at a time"
    return Section(title, rows, {"http": data, "absent": dict(missing)}), first


def compared_rows(
    what: str,
    own: str,
    targets: tuple[Target, ...],
    measured: Mapping[str, Measured],
    *,
    missing: Mapping[str, str],
    scale: Scale,
) -> list[Row]:
    """Compare the CPU time of a request, round by round, with each rival's and with before's."""
    samples = {name: result.cpu for name, result in measured.items()}
    if BEFORE in measured:
        targets = (*targets, Target(BEFORE))
    unjudged = "" if scale.judged else UNJUDGED
    return [
        compare(
            f"{what}: {own} against {t.rival}", samples, own, t, absent=missing, unjudged=unjudged
        )
        for t in targets
    ]
