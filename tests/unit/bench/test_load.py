"""The sections about load, on a few sessions: that they measure what they say, not how fast."""

from __future__ import annotations

import gc
import json
import sys
import threading
from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.core import collector, growth, memory, pauses, plots, reader, subjects, trace
from bench.core.child import run
from bench.core.contenders import COMPILED, ORIGINAL, PURE, WrongAnswerError
from bench.core.ids import random_ids
from bench.core.scale import Scale
from bench.core.store import CHANNEL, STATE, Store
from bench.report import Section

SMALL = Scale(rounds=1, sizes=(1, 1_000, 2_000), many=2_000)
linux = pytest.mark.skipif(not memory.STATM.exists(), reason="resident memory is read from /proc")


@pytest.fixture(params=[PURE, subjects.LIBRARY, subjects.DICT])
def make(request: pytest.FixtureRequest) -> Callable[[], Store]:
    makers, missing = subjects.stores(request.param)
    if missing:
        pytest.skip(missing[request.param])
    return makers[request.param]


def measured(module: object) -> Section:
    said: list[str] = []
    section: Section = module.measure(SMALL, said.append)  # type: ignore[attr-defined]
    assert said
    assert json.loads(json.dumps(section.data, allow_nan=False))
    named = [row.name for row in section.rows]
    assert len(set(named)) == len(named)
    assert any(PURE in name for name in named)
    return section


@pytest.fixture(autouse=True)
def _little_and_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the load small, and leave out the original, which takes seconds to import."""
    monkeypatch.setitem(subjects._CONTENDERS, ORIGINAL, (_absent, subjects._original))
    monkeypatch.setattr(pauses, "DRAWS", reader.CHUNK)
    monkeypatch.setattr(pauses, "CONTROL", reader.CHUNK)


def _absent() -> None:
    raise ModuleNotFoundError("not wanted here", name="the original")


def test_every_store_does_what_the_load_needs(make: Callable[[], Store]) -> None:
    store = make()
    dying, live = random_ids(6)[:3], random_ids(6)[3:]
    store.fill(dying, STATE)
    store.fill(live, STATE)
    assert store.size() == 6
    assert store.get(live[0], CHANNEL) == STATE
    assert store.update(live[0], {"a": 2}, CHANNEL) is True
    assert store.get(live[0], CHANNEL) == {**STATE, "a": 2}
    assert store.get("absent", CHANNEL) is None
    assert store.update("absent", {}, CHANNEL) is False
    store.expire(dying)
    assert [store.get(key, CHANNEL) for key in dying] == [None] * 3
    store.sweep_slice()
    assert sorted(store.ids()) == sorted(live)
    store.delete(live[0])
    store.create()
    store.create_stateful()
    store.create_brief()
    assert store.size() == 5


def test_pauses_are_measured_while_sessions_expire() -> None:
    threads = threading.active_count()
    section = measured(pauses)
    assert threading.active_count() == threads
    curves = section.data["pause_survival_ns"]
    assert isinstance(curves, dict)
    for name in (PURE, subjects.DICT):
        assert {"expiry", "quiet"} == set(curves[name])
        assert curves[name]["expiry"][0][1] == 1.0


def test_a_wrong_answer_ends_the_measurement() -> None:
    load = pauses.prepared(100)
    store = subjects.stores(subjects.DICT)[0][subjects.DICT]()
    forgetful = Store(**{**vars(store), "get": lambda *_: None})
    with pytest.raises(WrongAnswerError):
        pauses.expire_under_load(forgetful, load, pauses.Measured())


def test_what_a_reader_sees_has_no_holes() -> None:
    gaps = reader.without_table(2 * reader.CHUNK)
    assert len(gaps) == 2 * reader.CHUNK
    assert (gaps >= 0).all()
    assert reader.gaps_of(array("q", [3, 4, 9])).tolist() == [1, 5]


def test_one_request_in_ten_is_an_update() -> None:
    chunks = reader.draws(["a"], ["b"], np.random.default_rng(0), reader.CHUNK)
    assert [draw[2] for draw in chunks[0][:20]] == ([False] * 9 + [True]) * 2
    assert {draw[:2] for draw in chunks[0]} == {("a", True), ("b", False)}


def test_growth_is_compared_with_what_a_dict_shows() -> None:
    assert growth.factor({1_000: 100.0, 10**6: 500.0}, {1_000: 40.0, 10**6: 400.0}, 10**6) == 0.5
    section = measured(growth)
    costs = section.data["cost_by_size_ns"]
    assert isinstance(costs, dict)
    assert set(costs["dict"]) == {"get", "set", "insert"}
    assert set(costs[PURE]) == {"get", "update", "create", "record"}
    assert all(set(cost) == set(SMALL.sizes) for cost in costs[PURE].values())


def test_the_trace_has_its_shares() -> None:
    ids = random_ids(100)
    drawn = trace.drawn(ids, 100_000, np.random.default_rng(3))
    operations = np.bincount([operation for operation, _ in drawn]) / len(drawn)
    assert operations == pytest.approx(trace.SHARES, abs=0.01)
    assert {session_id for _, session_id in drawn} == set(ids)
    assert drawn == trace.drawn(ids, 100_000, np.random.default_rng(3))


def test_the_trace_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "SIZE", SMALL.many)
    section = measured(trace)
    assert {entry["threads"] for entry in section.data["trace"]} == {1, 4}  # type: ignore[attr-defined]


def test_collections_are_recorded_as_the_interpreter_announces_them() -> None:
    callbacks = list(gc.callbacks)
    assert len(collector.full_collections(3)) >= 2
    assert gc.callbacks == callbacks
    measured(collector)
    assert gc.isenabled()


@linux
def test_memory_is_measured_in_a_process_of_its_own() -> None:
    without, with_state = run(memory.HERE, "idle", PURE, 20_000)
    assert 100 < without < with_state < 2_000
    left = run(memory.HERE, "churned", memory.MODULES[PURE], 1_000, 3)
    assert len(left) == 3
    assert all(1e6 < size < 1e9 for size in left)


@linux
def test_memory_reports_every_store() -> None:
    section = measured(memory)
    assert PURE in section.data["bytes_per_session"]  # type: ignore[operator]


def test_drift_is_the_farthest_from_the_first_round() -> None:
    assert memory.drift([100, 101, 97, 100]) == pytest.approx(0.03)


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="no attribute 'absent'"):
        run("json", "absent")


def test_a_process_must_measure_the_same_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run("json", "loads", "[1]") == [1]
    package = tmp_path / "kaizen_nexus"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(RuntimeError, match="a process of its own measured"):
        run("json", "loads", "[1]")


def test_plots_are_drawn_from_what_the_sections_keep(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    curve = [(1e3, 1.0), (1e6, 1e-3)]
    section = Section(
        "",
        [],
        {
            "cost_by_size_ns": {COMPILED: {"get": {1: 90.0, 1_000: 120.0}}},
            "pause_survival_ns": {COMPILED: {"expiry": curve, "quiet": curve}},
            "create_peaks_ns": {COMPILED: [1e3, 5e4]},
            "bucket": 10_000,
        },
    )
    first = plots.write([section], tmp_path / "a")
    again = plots.write([section, Section("", [])], tmp_path / "b")
    assert [path.name for path in first] == ["latency-by-size.svg", "pauses.svg", "creating.svg"]
    for path, same in zip(first, again, strict=True):
        assert path.read_bytes() == same.read_bytes()
        assert "<title>" in path.read_text(encoding="utf-8")
        assert COMPILED in path.read_text(encoding="utf-8")
    assert plots.write([Section("", [])], tmp_path / "c") == []
