"""How the ``nexus`` program is started, as a process of its own."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import sysconfig
from pathlib import Path

from kaizen_nexus.runtime.breaker import SWITCH

__all__ = ["environment", "nexus_command"]

COLUMNS = 120
"""How wide help is asked for: as wide as the server lays it out at most."""


def nexus_command(*arguments: str) -> list[str]:
    """Return how to run ``nexus`` with `arguments`: the installed script where there is one.

    Another package may have installed a script of that name, so it counts only if ours is
    installed in this environment.
    """
    try:
        importlib.metadata.version("kaizen-nexus")
    except importlib.metadata.PackageNotFoundError:
        scripts: list[Path] = []
    else:
        folder = Path(sysconfig.get_path("scripts"))
        scripts = [folder / name for name in ("kaizen-nexus", "kaizen-nexus.exe")]
    for script in scripts:
        if script.exists():
            return [str(script), *arguments]
    return [sys.executable, "-m", "kaizen_nexus", *arguments]


def environment() -> dict[str, str]:
    """Return the environment of such a process: ours, with nothing left to the terminal.

    Nor to what was asked before: an agent that fails is to fail in the same way every time.
    """
    fixed = {
        "COLUMNS": str(COLUMNS),
        "PYTHONIOENCODING": "utf-8",
        "NO_COLOR": "1",
        SWITCH: "off",
    }
    return {**os.environ, **fixed}
