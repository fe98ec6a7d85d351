"""Recording latencies, timing blocks, and reading what was recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import numpy as np

from bench.comparing import Target, less_than_a_million
from bench.core.contenders import COMPILED, ORIGINAL, PURE, Call, expect, installed
from bench.core.contenders.histograms import (
    METRICS,
    POINTS,
    QUANTILES,
    RECORDERS,
    Array,
    Metrics,
    Recorder,
    ranked,
)
from bench.core.operations import Operation, measured
from bench.core.scale import Scale
from bench.report import Section

__all__ = ["latencies", "measure", "summary"]

R = TypeVar("R", bound=Recorder)

SAMPLE = 10_000
"""Values to check a recorder with, and to go through when recording is timed."""
LIBRARIES = ("crick", "prometheus_client", "hdrhistogram", "ddsketch")
"""Those that recording must be four times as fast as."""


def measure(scale: Scale, say: Callable[[str], None]) -> Section:
    """Time every operation of a histogram of latencies."""
    return measured("Latency histogram", operations(scale, say), scale, say)


def operations(scale: Scale, say: Callable[[str], None]) -> Iterator[Operation]:
    """Yield one operation after the other."""
    values = latencies(SAMPLE)
    recorders, absent = recorded(RECORDERS, values)
    yield Operation(
        "record a latency, histogram.record(x)",
        {name: recorder.record(values).run() for name, recorder in recorders.items()},
        absent,
        (Target(PURE, 2), *(Target(library, 4) for library in LIBRARIES)),
    )
    metrics, absent = recorded(METRICS, values)
    runs = {name: held.record(values).run() for name, held in metrics.items()}
    runs["list.append"] = Call("values.append(item)", {"values": []}, values.tolist()).run()
    yield Operation(
        "record a latency, metrics.record_api_latency(x)",
        runs,
        absent,
        (Target(ORIGINAL, 1.7), Target(PURE, 2)),
    )
    yield monitor(metrics, absent)
    say(f"{scale.many:,} records in each histogram")
    many = latencies(scale.many)
    yield summary(many)
    yield percentiles(many)
    yield record_many(many)


def monitor(metrics: Mapping[str, Metrics], absent: Mapping[str, str]) -> Operation:
    """Time an empty block."""
    for name, held in metrics.items():
        before = held.held.get_summary()["api"]["count"]
        held.monitor.function()()
        expect(name, "count", held.held.get_summary()["api"]["count"], before + 1)
    return Operation(
        "time a block, with PerformanceMonitor(metrics, 'api')",
        {name: held.monitor.run() for name, held in metrics.items()},
        absent,
        (Target(ORIGINAL, 3), Target(PURE, 2)),
    )


def summary(values: Array) -> Operation:
    """Summarise all that was recorded."""
    metrics, absent = loaded(METRICS, values)
    return Operation(
        f"summary after {len(values):,} records",
        {name: held.summary.run() for name, held in metrics.items()},
        absent,
        (Target(ORIGINAL, 10_000), Target(PURE, 2)),
        unjudged=less_than_a_million(len(values)),
    )


def percentiles(values: Array) -> Operation:
    """Read four percentiles."""
    recorders, absent = loaded(QUANTILES, values)
    runs = {name: held.percentiles.run() for name, held in recorders.items()}
    names = {"values": values, "points": POINTS, "percentile": np.percentile}
    numpy = Call("percentile(values, points)", names)
    ranked("numpy.percentile", numpy.function()().tolist(), values)
    runs["numpy.percentile"] = numpy.run()
    return Operation(
        f"four percentiles after {len(values):,} records",
        runs,
        absent,
        (Target("hdrhistogram", 20), Target(PURE, 5)),
        unjudged=less_than_a_million(len(values)),
    )


def record_many(values: Array) -> Operation:
    """Record an array, value by value where there is no other way."""
    wanted = (COMPILED, PURE, "crick")
    recorders, absent = loaded({name: RECORDERS[name] for name in wanted}, values)
    return Operation(
        f"record an array of {len(values):,}, each value",
        {
            name: Call("fill(values)", {"fill": held.fill, "values": values}).run()
            for name, held in recorders.items()
        },
        absent,
        (Target(PURE, 2),),
        per=len(values),
        unjudged=less_than_a_million(len(values)),
    )


def latencies(number: int) -> Array:
    """Return latencies around 7 ms as services have them: with a long tail."""
    return np.random.default_rng(7).lognormal(-5, 1, number)


def recorded(
    makers: Mapping[str, Callable[[], R]], values: Array
) -> tuple[dict[str, R], dict[str, str]]:
    """Make the contenders that are installed; record values one by one, as timed, and check."""
    contenders, absent = installed(makers)
    for contender in contenders.values():
        Recorder.fill(contender, values)
        contender.check(values)
    return contenders, absent


def loaded(
    makers: Mapping[str, Callable[[], R]], values: Array
) -> tuple[dict[str, R], dict[str, str]]:
    """Make the contenders that are installed, with all values at once, and check them."""
    contenders, absent = installed(makers)
    for contender in contenders.values():
        contender.fill(values)
        contender.check(values)
    return contenders, absent
