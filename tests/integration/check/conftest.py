"""The `nexus check` program, run as a process of its own in a folder that is not the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import kaizen_nexus

ROOT = Path(kaizen_nexus.__file__).resolve().parent.parent
TIMEOUT = 100


@dataclass
class Finished:
    """A check that has come to its end."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        """What `-o json` printed."""
        report: dict[str, Any] = json.loads(self.stdout)
        return report


@dataclass
class Check:
    """Starts `nexus check`."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "kaizen_nexus", "check", *arguments]

    def environment(self, **changes: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in {"NEXUS_URL", "NO_COLOR"}}
        return {**kept, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **changes}

    def __call__(self, *arguments: str, **environment: str) -> Finished:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            encoding="utf-8",
            timeout=TIMEOUT,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, **streams: Any) -> subprocess.Popen[str]:
        """Start it; whoever calls this ends it."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            encoding="utf-8",
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
        )


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """The program, started in an empty folder."""
    return Check(tmp_path)


@pytest.fixture
def service(tmp_path: Path) -> Callable[[str], str]:
    """Write a module that makes an app; return what names it."""

    def write(code: str) -> str:
        (tmp_path / "service.py").write_text(code, encoding="utf-8")
        return "service:app"

    return write
