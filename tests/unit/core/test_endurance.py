"""Threads, forks and rounds of filling and emptying, long ones if KAIZEN_NEXUS_ENDURANCE=full.

Each runs as a program of its own, which says where it stands if it does not end in time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = Path(__file__).parent / "programs"


@dataclass(frozen=True)
class Scale:
    """How much of each there is, and in how many seconds it must be done."""

    operations: int
    forks: int
    sessions: int
    seconds: int


SCALES = {"short": Scale(5_000, 20, 20_000, 100), "full": Scale(1_000_000, 200, 1_000_000, 3_000)}
SCALE = SCALES[os.environ.get("KAIZEN_NEXUS_ENDURANCE", "short")]
# Sanitizers and valgrind keep freed memory for a while.
INSTRUMENTED = any(tool in os.environ.get("LD_PRELOAD", "") for tool in ("asan", "vgpreload"))

pytestmark = pytest.mark.timeout(SCALE.seconds + 20)


def run(folder: Path, program: str, *arguments: object) -> str:
    # Forking beside threads, which this is about, is deprecated from Python 3.12 on.
    warnings = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    completed = subprocess.run(
        [sys.executable, *warnings, PROGRAMS / program, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SCALE.seconds + 10,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


def test_eight_threads_lose_nothing(core: Any, tmp_path: Path) -> None:
    printed = run(tmp_path, "traffic.py", core.package, SCALE.operations, SCALE.seconds)
    assert printed.startswith(f"8 threads, {SCALE.operations} operations each")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_children_forked_under_load_work(core: Any, tmp_path: Path) -> None:
    printed = run(tmp_path, "forks.py", core.package, SCALE.forks, SCALE.seconds)
    assert printed.startswith(f"{SCALE.forks} forks")


def test_ten_rounds_of_sessions_leave_nothing_behind(core: Any, tmp_path: Path) -> None:
    measured = core.name == "c" and sys.platform == "linux" and not INSTRUMENTED
    # From 3.12 on the interpreter keeps some of its own arenas, more with each round, for a while.
    watch = ["resident"] if measured and sys.version_info < (3, 12) else []
    sessions = max(SCALE.sessions, 60_000) if watch else SCALE.sessions  # enough to be measured
    printed = run(tmp_path, "churn.py", core.package, sessions, 10, SCALE.seconds, *watch)
    assert printed.startswith(f"10 rounds of {sessions} sessions")
