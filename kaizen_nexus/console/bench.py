"""``nexus bench``: run the benchmark harness, from the installation or from a checkout."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path

import kaizen_nexus

__all__ = ["main"]

HARNESS = ("bench", "__main__.py")
EXIT_NOT_INSTALLED = 1


def main(arguments: Sequence[str]) -> int:
    """Run the harness with `arguments`, and return its exit code."""
    folder = harness_folder()
    if folder is None:
        sys.stderr.write(
            "Error: the benchmark harness is not installed; reinstall kaizen-nexus from its wheel "
            "(pip install --force-reinstall kaizen-nexus), or run 'python -m bench' in a checkout\n"
        )
        return EXIT_NOT_INSTALLED
    # First, so that no other package named bench is imported.
    sys.path.insert(0, str(folder))
    harness = importlib.import_module("bench.__main__")
    exit_code: int = harness.main(arguments, "nexus bench")
    return exit_code


def harness_folder() -> Path | None:
    """Return the folder that the package ``bench`` lies in."""
    checkout = Path(kaizen_nexus.__file__).resolve().parent.parent
    if (checkout / "pyproject.toml").exists() and checkout.joinpath(*HARNESS).exists():
        return checkout
    for file in importlib.metadata.files("kaizen-nexus") or ():
        if file.parts[-2:] == HARNESS and (found := Path(str(file.locate())).resolve()).exists():
            return found.parent.parent
    return None
