"""Latency under a load that does not wait for the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from bench.comparing import duration, figures, number
from bench.guide.assistant import within
from bench.report import Row, Section
from bench.serve.cases import Case
from bench.serve.contenders import BARE, FASTAPI, OURS, Running
from bench.serve.load import Load, load
from bench.serve.scale import UNJUDGED, Scale
from bench.serve.throughput import WARM_UP, Measured
from bench.timing import Sample

__all__ = ["curves", "overhead"]

TARGETS = {"p50": 50e-6, "p99": 1e-3}
HALF = 0.5
DRAWN = (BARE, OURS, FASTAPI)


class Offering:
    """Offers a load to servers that have been paused, after warming them up."""

    def __init__(self, running: Mapping[str, Running], case: Case, seconds: float) -> None:
        self._running = running
        self._case = case
        self.seconds = seconds

    def __call__(self, name: str, rate: float, seed: int) -> Load:
        """Offer `rate` requests a second to one of them."""
        template = self._case.sent[name]
        with self._running[name].awake() as server:
            load(server.port, template, WARM_UP)
            return load(server.port, template, self.seconds, rate=rate, seed=seed)


def overhead(
    offer: Offering, measured: Mapping[str, Measured], scale: Scale, say: Callable[[str], None]
) -> Section:
    """Measure what the platform adds to the latency of a bare ASGI app, at half of its maximum.

    Both get the same requests at the same moments, in turn; what is reported is the difference of
    their percentiles, so that what the server, the kernel and the generator take cancels out.
    """
    rate = HALF * measured[OURS].rates.median
    loads: dict[str, list[Load]] = {OURS: [], BARE: []}
    for turn in range(scale.rounds):
        for name, results in loads.items():
            say(f"{name} at half of the load")
            results.append(offer(name, rate, seed=turn))
    rows = []
    data: dict[str, object] = {"rate": rate}
    for label, target in TARGETS.items():
        own, bare = (Sample(tuple(getattr(x, label) for x in loads[n])) for n in (OURS, BARE))
        pairs = zip(own.seconds, bare.seconds, strict=True)
        added = Sample(tuple(a - b for a, b in pairs))
        data[label] = {OURS: figures(own), BARE: figures(bare), "overhead": figures(added)}
        what = f"{label} of the platform's overhead, at {number(rate)} requests a second"
        row = within(what, added, target, f"{duration(own.median)} against {duration(bare.median)}")
        rows.append(row if scale.judged else replace(row, met=None, reason=UNJUDGED))
    return Section("Overhead at half of the maximum load", rows, {"overhead": data})


def curves(
    offer: Offering, measured: Mapping[str, Measured], scale: Scale, say: Callable[[str], None]
) -> Section:
    """Measure latency at growing parts of each server's own maximum."""
    data: dict[str, object] = {}
    rows = []
    for name in DRAWN:
        if name not in measured:
            continue
        points = []
        for part in scale.loads:
            say(f"{name} at {part:.0%} of its maximum")
            seen = offer(name, part * measured[name].rates.median, seed=1)
            offered = seen.offered / offer.seconds
            points.append({"part": part, "offered": offered, "p50": seen.p50, "p99": seen.p99})
        data[name] = points
        shown = (
            f"{number(p['offered'])}/s: {duration(p['p50'])}, {duration(p['p99'])}" for p in points
        )
        rows.append(Row(f"{name}: p50 and p99 by offered load", "; ".join(shown)))
    return Section("Latency against offered load", rows, {"latency_by_load": data})
