"""Measuring in a process of its own, where nothing else has used memory before.

The child imports the very package that its parent measures: the parent passes on its search path,
and the child says which files it found.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["run"]

CODE = """
import json, sys
root, path, module, function, arguments = map(json.loads, sys.argv[1:])
sys.path[:0] = [root]
import bench
sys.path[:] = path
from importlib import import_module
import kaizen_nexus
result = getattr(import_module(module), function)(*arguments)
print("\\n" + json.dumps([kaizen_nexus.__file__, result]))
"""
ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 300.0


def run(module: str, function: str, *arguments: object, **environ: str) -> Any:
    """Call a function in a fresh interpreter; its arguments and its result are JSON.

    Parameters
    ----------
    module, function
        What to call.
    *arguments
        What to call it with.
    **environ
        Variables that the interpreter gets besides those of this process.

    Raises
    ------
    RuntimeError
        If the child fails, or finds another kaizen_nexus than this process has.
    """
    passed = [str(ROOT), sys.path, module, function, arguments]
    completed = subprocess.run(
        [sys.executable, "-c", CODE, *map(json.dumps, passed)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    if completed.returncode != 0:
        raise RuntimeError(f"{function} failed in a process of its own:\n{completed.stderr}")
    # An import may have printed something, too.
    found, result = json.loads(completed.stdout.splitlines()[-1])
    spec = find_spec("kaizen_nexus")
    if spec is None or found != spec.origin:
        raise RuntimeError(f"a process of its own measured {found}, not {spec and spec.origin}")
    return result
