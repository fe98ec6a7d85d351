"""How expired sessions are found: the packed scan of the core against two timing wheels and a heap.

The structures are compiled when they are first measured; see expiry_structures.pyx.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.core.scale import Scale
from bench.report import Row, Section
from bench.wheel.build import SOURCES, BuildError, compiled
from bench.wheel.steps import Structures, extra_bytes, single_steps
from bench.wheel.whole import whole_workload
from bench.wheel.workload import equal_ttls, mixed_ttls

__all__ = ["PACKAGES", "SOURCES", "measure"]

PACKAGES = ("numpy", "cython", "setuptools")
"""What the figures depend on."""

TITLE = "How expired sessions are found"
LEAST = 1_000  # rows: below, a sweep of any kind costs less than a clock


def measure(scale: Scale, say: Callable[[str], None]) -> Section:
    """Compare the structures step by step and on the whole workload.

    Parameters
    ----------
    scale
        Tables of its sizes from a thousand rows up are measured, at most five times each.
    say
        Told what is being measured.
    """
    say("the expiry structures: compiling")
    try:
        module = compiled()
    except BuildError as error:
        return Section(TITLE, [Row("the expiry structures", f"not measured: {error}")])
    structures: Structures = {
        "scan": module.PackedScan,
        "eager wheel": module.EagerWheel,
        "lazy wheel": module.LazyWheel,
        "heap": module.RekeyedHeap,
    }
    rounds = min(scale.rounds, 5)
    rows = [extra_bytes(structures)]
    data: dict[str, object] = {}
    for size in (size for size in scale.sizes if size >= LEAST):
        random = np.random.default_rng(size)
        say(f"the expiry structures: single steps on {size:,} rows")
        found = single_steps(module, structures, equal_ttls(random, size), rounds)
        for kind, ttls in (("equal", equal_ttls), ("mixed", mixed_ttls)):
            say(f"the expiry structures: the whole workload on {size:,} rows, {kind} TTLs")
            ttl = ttls(random, size)
            found += whole_workload(module, structures, ttl, rounds, f"{kind} TTLs")
        rows += [Row(f"{size:,} rows: {each.name}", each.text) for each in found if not each.detail]
        data[str(size)] = {each.name: each.data for each in found}
    return Section(TITLE, rows, data)
