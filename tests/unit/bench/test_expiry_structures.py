"""The expiry structures that are measured against each other find the same rows."""

from __future__ import annotations

import importlib
import shutil
import sys
import sysconfig
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

NAMES = ("PackedScan", "EagerWheel", "LazyWheel", "RekeyedHeap")
SLOTS = 6
COMPILER = (sysconfig.get_config_var("CC") or "cc").split()[0]


@pytest.fixture(scope="module")
def structures() -> ModuleType:
    if sys.platform != "win32" and shutil.which(COMPILER) is None:
        pytest.skip(f"there is no C compiler {COMPILER!r} here")
    for package in ("Cython", "setuptools"):
        pytest.importorskip(package)
    module: ModuleType = importlib.import_module("bench.wheel.build").compiled()
    return module


def array(kind: type, *values: int) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=kind)


class Driven:
    """One structure, called a row at a time."""

    def __init__(self, module: ModuleType, name: str, slots: int = SLOTS) -> None:
        self.module = module
        self.structure = getattr(module, name)(slots)

    def insert(self, slot: int, expires: int) -> None:
        self.module.insert(self.structure, array(np.int32, slot), array(np.int64, expires))

    def touch(self, slot: int, expires: int) -> None:
        self.module.touch(self.structure, array(np.int32, slot), array(np.int64, expires))

    def remove(self, slot: int) -> None:
        self.module.remove(self.structure, array(np.int32, slot))

    def sweep(self, now: int, budget: int) -> list[int]:
        found = np.full(self.structure.capacity, -1, np.int32)
        count, taken, longest = self.module.sweep(self.structure, now, budget, found)
        assert taken >= longest >= 0
        return found[:count].tolist()

    def expiries(self) -> list[int]:
        into = np.empty(self.structure.capacity, np.int64)
        self.module.read(self.structure, into)
        return into.tolist()


# A duration in ticks reaches every level of the wheels, and their boundaries in particular.
DURATIONS = st.one_of(
    st.integers(1, 600),
    st.sampled_from([255, 256, 257, 511, 512, 65_535, 65_536, 65_537]),
    st.integers(1, 200_000),
    st.just(2**24 + 3),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("use"), st.integers(0, SLOTS - 1), DURATIONS, st.integers(0, 999)),
        st.tuples(st.just("remove"), st.integers(0, SLOTS - 1)),
        st.tuples(st.just("sweep"), DURATIONS.filter(lambda n: n < 2**24), st.integers(1, 300)),
    ),
    max_size=40,
)


@given(steps=STEPS)
def test_all_structures_find_what_has_expired(
    structures: ModuleType, steps: list[tuple[Any, ...]]
) -> None:
    tick = structures.TICK
    contenders = {name: Driven(structures, name) for name in NAMES}
    model: dict[int, int] = {}
    now = 0

    def everywhere(call: Callable[[Driven], None]) -> None:
        for driven in contenders.values():
            call(driven)

    for step in steps:
        if step[0] == "use":
            _, slot, ticks, rest = step
            expires = now + ticks * tick + rest
            method = "touch" if slot in model else "insert"
            everywhere(lambda d, m=method, s=slot, e=expires: getattr(d, m)(s, e))
            model[slot] = expires
        elif step[0] == "remove" and model.pop(step[1], None) is not None:
            everywhere(lambda d, s=step[1]: d.remove(s))
        elif step[0] == "sweep":
            now += step[1] * tick
            expired = sorted(slot for slot, expires in model.items() if expires < now)
            model = {slot: expires for slot, expires in model.items() if slot not in expired}
            for name, driven in contenders.items():
                assert sorted(driven.sweep(now - 1, step[2])) == expired, name
    held = [model.get(slot, 2**63 - 1) for slot in range(SLOTS)]
    assert {name: driven.expiries() for name, driven in contenders.items()} == dict.fromkeys(
        NAMES, held
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_found_at_its_time_or_when_its_tick_has_passed(
    structures: ModuleType, name: str
) -> None:
    driven = Driven(structures, name)
    expires = 5 * structures.TICK + 7
    driven.insert(3, expires)
    assert driven.sweep(expires - 1, 100) == []
    at_its_time = driven.sweep(expires, 100)
    assert at_its_time == ([] if name.endswith("Wheel") else [3])
    assert at_its_time + driven.sweep(6 * structures.TICK - 1, 100) == [3]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("turn", [2**8, 2**16, 2**24])
def test_rows_are_found_across_the_end_of_a_turn(
    structures: ModuleType, turn: int, name: str
) -> None:
    tick = structures.TICK
    driven = Driven(structures, name)
    driven.sweep((turn - 2) * tick - 1, 2**30)
    after = sorted({0, 1, 257, 2**16 + 1, turn})
    for slot, ticks in enumerate(after):
        driven.insert(slot, (turn - 2 + ticks) * tick + 5)
    for slot, ticks in enumerate(after):
        end = (turn - 2 + ticks + 1) * tick - 1
        assert driven.sweep(end - tick, 2**30) == []
        assert driven.sweep(end, 1) == [slot]


@pytest.mark.parametrize("name", NAMES)
def test_an_expiry_may_be_moved_either_way(structures: ModuleType, name: str) -> None:
    tick = structures.TICK
    driven = Driven(structures, name)
    driven.insert(0, 1_000 * tick)
    driven.insert(1, 10 * tick)
    driven.touch(0, 10 * tick)
    driven.touch(1, 1_000 * tick)
    assert driven.sweep(11 * tick - 1, 2) == [0]
    assert driven.sweep(1_000 * tick - 1, 2) == []
    assert driven.sweep(1_001 * tick - 1, 2) == [1]


@pytest.mark.parametrize("name", NAMES)
def test_what_lies_outside_is_refused(structures: ModuleType, name: str) -> None:
    driven = Driven(structures, name)
    for slot, expires in ((SLOTS, 1), (-1, 1), (0, -1), (0, 2**62)):
        with pytest.raises(ValueError, match="is n"):
            driven.insert(slot, expires)
    with pytest.raises(ValueError, match="room for every slot"):
        structures.sweep(driven.structure, 0, 1, np.empty(SLOTS - 1, np.int32))
    with pytest.raises(ValueError, match="must be one of int32"):
        structures.remove(driven.structure, np.zeros(1, np.int64))
    assert driven.expiries() == [2**63 - 1] * SLOTS


@pytest.mark.parametrize("kind", ["equal_ttls", "mixed_ttls"])
@pytest.mark.parametrize("seconds", [2, 300])
def test_the_workload_leaves_the_same_sessions(
    structures: ModuleType, kind: str, seconds: int
) -> None:
    steps = importlib.import_module("bench.wheel.steps")
    whole = importlib.import_module("bench.wheel.whole")
    workload = importlib.import_module("bench.wheel.workload")
    users = 500
    random = np.random.default_rng(7)
    start = workload.table(random, getattr(workload, kind)(random, users))
    trace = workload.trace(random, users, 30_000)
    every = max(1, seconds * 10**9 // start.step)
    results = {}
    for name in NAMES:
        structure = getattr(structures, name)(users)
        steps.filled(structures, structure, start, start.held)
        figures, left = whole.replay(structures, structure, start, trace, every)
        counts = {key: figures[key] for key in ("created", "expired", "sweeps")}
        assert figures["taken"] >= figures["sweeping"] >= figures["longest"]
        results[name] = counts, left.tolist()
    assert results["PackedScan"][0]["expired"] > 100
    assert all(result == results["PackedScan"] for result in results.values())


def test_the_section_reports_every_structure(structures: ModuleType) -> None:
    wheel = importlib.import_module("bench.wheel")
    scale = importlib.import_module("bench.core.scale")
    said: list[str] = []
    section = wheel.measure(scale.Scale(rounds=1, sizes=(1, 1_000), many=1_000), said.append)
    assert len(said) == 4
    for row in section.rows:
        assert all(f"{name} " in row.figure for name in ("scan", "eager wheel", "lazy wheel"))
