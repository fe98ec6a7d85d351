"""The sections about load, on a few sessions: that they measure what they say, not how fast."""

from __future__ import annotations

import gc
import json
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from bench import plots
from bench.core import collector, memory, pauses, sessions
from bench.core.child import run
from bench.core.contenders import COMPILED, ORIGINAL, PURE, WrongAnswerError
from bench.core.contenders.sessions import STORES, Table
from bench.core.scale import Scale
from bench.report import Section

SMALL = Scale(rounds=1, sizes=(1, 1_000, 2_000), many=2_000)
linux = pytest.mark.skipif(not memory.STATM.exists(), reason="resident memory is read from /proc")


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
    monkeypatch.setitem(STORES, ORIGINAL, _absent)
    monkeypatch.setattr(pauses, "DRAWS", pauses.CHUNK)


def _absent() -> Table:
    raise ModuleNotFoundError("not wanted here", name="the original")


def test_pauses_are_measured_while_sessions_expire() -> None:
    threads = set(threading.enumerate())
    section = measured(pauses)
    assert set(threading.enumerate()) <= threads
    curves = section.data["pause_survival"]
    assert isinstance(curves, dict)
    assert set(curves[PURE]) == {"expiry", "quiet"}
    assert curves[PURE]["expiry"][0][1] == 1.0


def test_a_wrong_answer_ends_the_measurement() -> None:
    table = Table("_fallback")
    table.read = lambda *_: None
    with pytest.raises(WrongAnswerError):
        pauses.expire_under_load(table, pauses.Load(100), pauses.Measured())


def test_one_request_in_ten_is_an_update() -> None:
    chunks = pauses.draws(["a"], ["b"], np.random.default_rng(0), pauses.CHUNK)
    assert [draw[2] for draw in chunks[0][:20]] == ([False] * 9 + [True]) * 2
    assert {draw[:2] for draw in chunks[0]} == {("a", True), ("b", False)}


@pytest.mark.parametrize(("large", "met"), [(1_700.0, True), (1_900.0, False)])
def test_growth_is_judged_beside_what_a_dict_shows(large: float, met: bool) -> None:
    def of(own: float, dictionary: float) -> dict[str, object]:
        return {"contenders": {COMPILED: {"median": own}, "dict": {"median": dictionary}}}

    data = {
        "get, random ids of 1,000": of(100.0, 40.0),
        "get, random ids of 1,000,000": of(large, 360.0),
        "get, one hot session": of(1.0, 1.0),
    }
    costs, (row,) = sessions.growth(data, 1_000_000)
    assert costs["dict"]["get"] == {1_000: 40.0, 1_000_000: 360.0}
    assert row.met is met


def test_collections_are_timed_over_every_store() -> None:
    measured(collector)
    assert gc.isenabled()


@linux
def test_memory_is_measured_in_a_process_of_its_own() -> None:
    before, full, *left = run(memory.__name__, "resident_in_rounds", PURE, 20_000, 2, False)
    assert 100 < (full - before) / 20_000 < 2_000
    assert len(left) == 2
    assert all(1e6 < size < 1e9 for size in left)


@linux
def test_memory_reports_every_store() -> None:
    section = measured(memory)
    assert PURE in section.data["memory"]  # type: ignore[operator]


def test_drift_is_the_farthest_from_the_first_round() -> None:
    assert memory.drift([100, 101, 97, 100]) == 0.03


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
    curve = [(1e-6, 1.0), (1e-3, 1e-3)]
    points = [{"offered": 1_000.0 * n, "p50": 0.001 * n, "p99": 0.01 * n} for n in (1, 2)]
    data: dict[str, object] = {
        "cost_by_size": {COMPILED: {"get": {1_000: 9e-8, 100_000: 1.2e-7}}},
        "pause_survival": {COMPILED: {"expiry": curve, "quiet": curve}},
        "latency_by_load": {COMPILED: points},
    }
    first = plots.write([Section("", [], data)], tmp_path / "a")
    again = plots.write([Section("", [], data), Section("", [])], tmp_path / "b")
    assert [path.stem for path in first] == ["latency-by-size", "pauses", "latency-by-load"]
    for path, same in zip(first, again, strict=True):
        assert path.read_bytes() == same.read_bytes()
        assert "<title>" in path.read_text(encoding="utf-8")
        assert COMPILED in path.read_text(encoding="utf-8")
    assert plots.write([Section("", [])], tmp_path / "c") == []
