"""``nexus bench`` and ``python -m bench``: what they print, write and return."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import bench.__main__ as harness
import kaizen_nexus
from bench.core import suite
from bench.core.contenders import WrongAnswerError
from bench.report import Row, Section
from kaizen_nexus.console.bench import harness_folder
from kaizen_nexus.console.main import main as nexus

TIMEOUT = 60
Measure = Callable[[object, Callable[[str], None]], Section]


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Callable[[Measure], None]:
    """Let the suite ``core`` consist of one section."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")

    def use(measure: Measure) -> None:
        section = ModuleType("bench.core.only")
        section.measure = measure  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, section.__name__, section)
        monkeypatch.setattr(suite, "SECTIONS", ["only"])

    return use


def small(scale: object, say: Callable[[str], None]) -> Section:
    say("something")
    return Section("Only", [Row("get", "1 ns", "2 ns", met=True)], {"scale": str(scale)})


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kaizen_nexus", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=TIMEOUT)


def test_the_installed_program_runs_the_harness_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "__init__.py").write_text("raise SystemExit('another bench')")
    completed = run("bench", cwd=tmp_path)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.startswith("usage: nexus bench")
    assert "core " in completed.stdout
    assert "guide " in completed.stdout


def test_each_suite_explains_its_options(tmp_path: Path) -> None:
    completed = run("bench", "core", "--help", cwd=tmp_path)
    assert completed.returncode == 0
    for option in ("--quick", "--json FILE", "--markdown FILE", "--plots DIR"):
        assert option in completed.stdout


def test_an_unknown_suite_is_a_usage_error(tmp_path: Path) -> None:
    completed = run("bench", "nothing", cwd=tmp_path)
    assert completed.returncode == 2
    assert "invalid choice: 'nothing'" in completed.stderr


def test_the_program_lists_it_among_its_subcommands(capsys: pytest.CaptureFixture[str]) -> None:
    assert nexus(["--help"]) == 0
    assert "bench " in capsys.readouterr().out


def test_a_missing_harness_is_said_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kaizen_nexus, "__file__", str(tmp_path / "kaizen_nexus" / "__init__.py"))
    monkeypatch.setattr(importlib.metadata, "files", lambda _: None)
    assert harness_folder() is None
    assert nexus(["bench", "core"]) == 1
    assert "pip install --force-reinstall kaizen-nexus" in capsys.readouterr().err


def test_the_tables_are_printed_and_written(
    measuring: Callable[[Measure], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measuring(small)
    out, table = tmp_path / "out.json", tmp_path / "out.md"
    assert harness.main(["core", "--quick", "--json", str(out), "--markdown", str(table)]) == 0
    printed = capsys.readouterr()
    assert "| get | 1 ns | 2 ns | met |" in printed.out
    assert "All 1 targets are met." in printed.out
    assert printed.err == "", "progress is for terminals"
    assert table.read_text(encoding="utf-8") == printed.out
    written = json.loads(out.read_text(encoding="utf-8"))
    assert written["suite"] == "core"
    assert "many=100000" in written["sections"][0]["data"]["scale"]
    assert {"machine", "python", "numpy", "cachebox"} <= set(written["environment"])


def test_a_wrong_answer_fails_the_run(
    measuring: Callable[[Measure], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(scale: object, say: Callable[[str], None]) -> Section:
        raise WrongAnswerError("rival: the state gives 1, and should give 2")

    measuring(wrong)
    out = tmp_path / "out.json"
    assert harness.main(["core", "--json", str(out)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "rival: the state gives 1, and should give 2" in printed.err
    assert not out.exists()


def test_an_interruption_ends_the_run_without_a_traceback(
    measuring: Callable[[Measure], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(scale: object, say: Callable[[str], None]) -> Section:
        raise KeyboardInterrupt

    measuring(interrupted)
    assert harness.main(["core"]) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_plots_without_matplotlib_are_refused_before_anything_is_measured(
    measuring: Callable[[Measure], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def never(scale: object, say: Callable[[str], None]) -> Section:
        raise AssertionError("was measured")

    measuring(never)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert harness.main(["core", "--plots", str(tmp_path)]) == 1
    assert "pip install 'kaizen-nexus[bench]'" in capsys.readouterr().err
