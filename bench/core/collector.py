"""How long a full garbage collection takes over idle sessions: nobody else runs meanwhile."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from bench.comparing import duration, judged, spread
from bench.core.contenders import COMPILED, WrongAnswerError, available
from bench.core.contenders.sessions import CHANNEL, STORES, MakeState, Sessions, state_of
from bench.core.heap import isolated_heap, no_collections, random_ids
from bench.core.scale import Scale
from bench.report import Row, Section
from bench.timing import Sample

__all__ = ["measure"]

TARGET = 0.1
PASSES = 5
NESTED = "a nested state"
STATES: dict[str, MakeState] = {
    "no state": lambda _: None,
    "a state of plain values": state_of,
    NESTED: lambda _: {"messages": [{"role": "user", "content": "hello"}]},
}


def measure(scale: Scale, say: Callable[[str], None]) -> Section:
    """Collect over `scale.many` idle sessions, without state and with two kinds of it."""
    makers, missing = available(STORES)
    ids = random_ids(scale.many)
    data: dict[str, object] = {}
    rows = [Row(f"{name}: left out", why) for name, why in missing.items()]
    for kind, make_state in STATES.items():
        for name, make in makers.items():
            what = f"{name}: sessions with {kind}"
            say(f"collector: {what}")
            with isolated_heap():
                sample = collections(make(), ids, make_state, min(PASSES, scale.rounds))
            data[what] = list(sample.seconds)
            row = Row(what, spread(sample))
            if name == COMPILED and kind != NESTED:
                worst = max(sample.seconds)
                why = f"one took {duration(worst)}"
                row = judged(Row(what, row.figure, "under 0.1 s", worst < TARGET, why), scale.many)
            rows.append(row)
    title = f"Garbage collector: a full collection over {scale.many:,} idle sessions"
    return Section(title, rows, {"full_collections": data})


def collections(store: Sessions, ids: list[str], make_state: MakeState, passes: int) -> Sample:
    """Time full collections while `store` holds a session of each id."""
    with no_collections():
        store.fill(ids, make_state)
    spent = []
    for _ in range(passes):
        started = time.perf_counter()
        gc.collect()
        spent.append(time.perf_counter() - started)
    if store.size() != len(ids) or store.read(ids[0], CHANNEL) is None:
        raise WrongAnswerError("the sessions have gone")
    return Sample(tuple(spent))
