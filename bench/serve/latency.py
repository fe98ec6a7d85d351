"""Latency under a load that does not wait for the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.core.operations import duration, figures, number, spread
from bench.report import Row, Section
from bench.serve.contenders import BARE, FASTAPI, OURS, Running
from bench.serve.load import Load, closed_loop, open_loop
from bench.serve.scale import Scale
from bench.serve.throughput import UNJUDGED, WARM_UP, Measured
from bench.timing import Sample

__all__ = ["curves", "overhead"]

P50_TARGET = 100e-6
P99_TARGET = 1e-3
HALF = 0.5
DRAWN = (BARE, OURS, FASTAPI)


def overhead(
    running: Mapping[str, Running],
    measured: Mapping[str, Measured],
    scale: Scale,
    say: Callable[[str], None],
) -> Section:
    """Measure what the platform adds to the latency of a bare ASGI app, at half of its maximum.

    Both get the same requests at the same moments, in turn; what is reported is the difference of
    their percentiles, so that what the server, the kernel and the generator take cancels out.
    """
    rate = HALF * measured[OURS].rate
    loads: dict[str, list[Load]] = {OURS: [], BARE: []}
    for turn in range(scale.rounds):
        for name, results in loads.items():
            say(f"{name} at half of the load")
            results.append(offered(running[name], rate, scale.at_load, seed=turn))
    rows = []
    data: dict[str, object] = {"rate": rate}
    for label, target in (("p50", P50_TARGET), ("p99", P99_TARGET)):
        own, bare = (Sample(tuple(getattr(x, label) for x in loads[n])) for n in (OURS, BARE))
        pairs = zip(own.seconds, bare.seconds, strict=True)
        added = Sample(tuple(a - b for a, b in pairs))
        data[label] = {OURS: figures(own), BARE: figures(bare), "overhead": figures(added)}
        rows.append(
            Row(
                f"{label} of the platform's overhead, at {number(rate)} requests a second",
                f"{_signed(added)}; {duration(own.median)} against {duration(bare.median)}",
                f"under {duration(target)}",
                added.median < target if scale.judged else None,
                "" if scale.judged else UNJUDGED,
            )
        )
    return Section("Overhead at half of the maximum load", rows, {"overhead": data})


def curves(
    running: Mapping[str, Running],
    measured: Mapping[str, Measured],
    scale: Scale,
    say: Callable[[str], None],
) -> Section:
    """Measure latency at growing parts of each server's own maximum."""
    data: dict[str, object] = {}
    rows = []
    for name in DRAWN:
        if name not in running:
            continue
        maximum = measured[name].rate
        points = []
        for part in scale.loads:
            say(f"{name} at {part:.0%} of its maximum")
            load = offered(running[name], part * maximum, scale.at_load, seed=1)
            points.append((part, load))
        data[name] = [
            {
                "part": part,
                "offered": load.offered / scale.at_load,
                "p50": load.p50,
                "p99": load.p99,
            }
            for part, load in points
        ]
        shown = (
            f"{number(load.offered / scale.at_load)}/s: {duration(load.p50)}, {duration(load.p99)}"
            for _, load in points
        )
        rows.append(Row(f"{name}: p50 and p99 by offered load", "; ".join(shown)))
    return Section("Latency against offered load", rows, {"latency_by_load": data})


def offered(contender: Running, rate: float, seconds: float, seed: int) -> Load:
    """Offer a load to a server that has been paused, after warming it up."""
    port = contender.server.port
    with contender.awake():
        closed_loop(port, contender.template, WARM_UP)
        return open_loop(port, contender.template, seconds, rate, seed)


def _signed(sample: Sample) -> str:
    """Return a difference of durations, which noise may make negative."""
    low, high = sample.spread
    if low >= 0:
        return spread(sample)
    shown = (f"{seconds * 1e6:,.0f} us" for seconds in (sample.median, low, high))
    return "{} ({} to {})".format(*shown)
