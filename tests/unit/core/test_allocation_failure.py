"""Memory runs out at each allocation in turn, and the compiled core takes no harm."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs LD_PRELOAD"),
    pytest.mark.skipif(
        shutil.which(shlex.split(os.environ.get("CC", "cc"))[0]) is None,
        reason="needs a C compiler",
    ),
]


@pytest.mark.parametrize(
    ("program", "cases"), [("table_allocation_failures", 36), ("value_allocation_failures", 24)]
)
def test_every_allocation_may_fail(program: str, cases: int, tmp_path: Path) -> None:
    completed = subprocess.run(
        [sys.executable, PROGRAMS / "failing_malloc.py", PROGRAMS / f"{program}.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert completed.returncode == 0, completed.stdout[-500:] + completed.stderr
    assert completed.stdout.count("failed") >= 2 * cases
