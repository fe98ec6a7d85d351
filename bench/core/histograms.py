"""Operations of the latency histogram: recording, timing a block, percentiles and summaries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from sqlite3 import connect
from types import SimpleNamespace
from typing import TypeVar

import numpy as np

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
from bench.core.operations import (
    EMPTY_CALL,
    Operation,
    Part,
    Target,
    clock_reads,
    less_than_a_million,
    measured,
)
from bench.core.scale import Scale
from bench.report import Section
from kaizen_nexus.monitoring.metrics import OPERATIONS

__all__ = ["latencies", "measure"]

R = TypeVar("R", bound=Recorder)

SAMPLE = 10_000
"""Values to check a recorder with, and to go through when recording is timed."""
LIBRARIES = ("crick", "prometheus_client", "hdrhistogram", "ddsketch")
"""Those that recording must be four times as fast as."""


def measure(scale: Scale, say: Callable[[str], None]) -> Section:
    """Time every operation of a histogram of latencies.

    Parameters
    ----------
    scale
        How much to measure.
    say
        Reports what is being measured.

    Raises
    ------
    WrongAnswerError
        A contender does something else than what it is timed for.
    """
    return measured("Latency histogram", operations(scale, say), scale, say)


def operations(scale: Scale, say: Callable[[str], None]) -> Iterator[Operation]:
    """Yield one operation after the other."""
    values = latencies(SAMPLE)
    yield record(values)
    metrics, absent = recorded(METRICS, values)
    yield record_as_users_do(metrics, absent, values)
    yield record_bound(metrics, absent, values)
    yield monitor(metrics, absent)
    say(f"{scale.many:,} records in each histogram")
    many = latencies(scale.many)
    yield summary(many)
    yield percentiles(many)
    yield record_many(many)


def record(values: Array) -> Operation:
    """Record one value into the histogram itself."""
    recorders, absent = recorded(RECORDERS, values)
    return Operation(
        "record a latency, histogram.record(x)",
        {name: recorder.record(values).run() for name, recorder in recorders.items()},
        absent,
        (Target(PURE, 2), *(Target(library, 4) for library in LIBRARIES)),
        (empty_call_with(values),),
    )


def record_as_users_do(
    metrics: Mapping[str, Metrics], absent: Mapping[str, str], values: Array
) -> Operation:
    """Record one value by way of the metrics, where the original has a method in Python."""
    runs = {name: held.record(values).run() for name, held in metrics.items()}
    runs["list.append"] = Call("values.append(item)", {"values": []}, values.tolist()).run()
    idle = SimpleNamespace(record_api_latency=().count)
    call = Call("metrics.record_api_latency(item)", {"metrics": idle}, values.tolist())
    return Operation(
        "record a latency, metrics.record_api_latency(x)",
        runs,
        absent,
        (Target(ORIGINAL, 2.5), Target(PURE, 2)),
        (Part("the same call of a compiled method that does nothing", call.run()),),
    )


def record_bound(
    metrics: Mapping[str, Metrics], absent: Mapping[str, str], values: Array
) -> Operation:
    """Record one value by the method that a caller has looked up once."""
    return Operation(
        "record a latency, record(x) with record = metrics.record_api_latency",
        {name: held.record_bound(values).run() for name, held in metrics.items()},
        absent,
    )


def monitor(metrics: Mapping[str, Metrics], absent: Mapping[str, str]) -> Operation:
    """Time an empty block."""
    for name, held in metrics.items():
        before = held.metrics.get_summary()["api"]["count"]
        held.monitor.function()()
        expect(name, "count", held.metrics.get_summary()["api"]["count"], before + 1)
    blocks: dict[str, object] = {"connection": connect(":memory:"), "Empty": Empty, "metrics": None}
    return Operation(
        "time a block, with PerformanceMonitor(metrics, 'api')",
        {
            **{name: held.monitor.run() for name, held in metrics.items()},
            "an empty class": Call("with Empty(metrics, 'api'):\n    pass", blocks).run(),
        },
        absent,
        (Target(ORIGINAL, 6), Target(PURE, 2)),
        (
            Part("making an object", Call("object()", {}).run()),
            # Outside a transaction, entering and leaving a connection does nothing.
            Part(
                "a with statement on a compiled object",
                Call("with connection:\n    pass", blocks).run(),
            ),
            clock_reads(2),
        ),
    )


def summary(values: Array) -> Operation:
    """Summarise all that was recorded."""
    metrics, absent = loaded(METRICS, values)
    statistics = {operation: {str(i): float(i) for i in range(12)} for operation in OPERATIONS}
    copying = Call("[held.copy() for held in held_by.values()]", {"held_by": statistics})
    return Operation(
        f"summary after {len(values):,} records",
        {name: held.summary.run() for name, held in metrics.items()},
        absent,
        (Target(ORIGINAL, 10_000), Target(PURE, 2)),
        (Part("copying as many statistics", copying.run()),),
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
        (EMPTY_CALL,),
        unjudged=less_than_a_million(len(values)),
    )


def record_many(values: Array) -> Operation:
    """Record an array, value by value where there is no other way."""
    wanted = (COMPILED, PURE, "crick")
    recorders, absent = loaded({name: RECORDERS[name] for name in wanted}, values)
    copy = Call("values.copy()", {"values": values})
    return Operation(
        f"record an array of {len(values):,}, each value",
        {
            name: Call("fill(values)", {"fill": held.fill, "values": values}).run()
            for name, held in recorders.items()
        },
        absent,
        (Target(PURE, 2),),
        (Part("numpy's copy of the array", copy.run()),),
        per=len(values),
        unjudged=less_than_a_million(len(values)),
    )


class Empty:
    """A context manager in Python that does nothing."""

    def __init__(self, metrics: object, operation: str) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def empty_call_with(values: Array) -> Part:
    """Return the part of calling a compiled method with a value."""
    call = Call("nothing.count(item)", {"nothing": ()}, values.tolist())
    return Part("an empty call of a compiled method", call.run())


def latencies(number: int) -> Array:
    """Return latencies around 7 ms as services have them: with a long tail."""
    return np.random.default_rng(7).lognormal(-5, 1, number)


def recorded(
    makers: Mapping[str, Callable[[], R]], values: Array
) -> tuple[dict[str, R], dict[str, str]]:
    """Make the contenders that are installed; record values one by one, as timed, and check."""
    contenders, absent = installed(makers)
    for contender in contenders.values():
        call = contender.record(values)
        record_one = call.function()
        for item in call.items or ():
            record_one(item)
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
