"""Compile the prototypes when they are first measured: they are no part of the package."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import subprocess
import sys
import sysconfig
import tempfile
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

__all__ = ["SOURCES", "BuildError", "compiled"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NAME = "expiry_structures"
SOURCES = HERE / f"{NAME}.pyx"
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


class BuildError(RuntimeError):
    """The prototypes cannot be compiled here; the message says why."""


@cache
def compiled() -> ModuleType:
    """Return the module `expiry_structures`, compiled as setup.py compiles the core.

    It is kept in the build folder until the sources, the interpreter or Cython change.

    Raises
    ------
    BuildError
        If Cython, setuptools or a C compiler is missing.
    """
    library = ROOT / "build" / "bench" / fingerprint() / f"{NAME}{SUFFIX}"
    if not library.exists():
        build(library)
    spec = importlib.util.spec_from_file_location(NAME, library)
    if spec is None or spec.loader is None:
        raise BuildError(f"{library} is no extension module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def directives() -> dict[str, object]:
    """Return the compiler directives of setup.py, which would build if it were imported."""
    for node in ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DIRECTIVES":
            found: dict[str, object] = ast.literal_eval(node.value)
            return found
    raise BuildError("setup.py has no DIRECTIVES")


def fingerprint() -> str:
    """Return what tells one build from another."""
    try:
        versions = [version(package) for package in ("cython", "setuptools")]
    except PackageNotFoundError as error:
        raise BuildError(f"{error.name} is missing: pip install cython setuptools") from error
    parts = [*versions, sys.version, repr(directives())]
    sources = [*sorted(HERE.glob("*.px*")), ROOT / "_core" / "clock.pxd", Path(__file__)]
    parts += [source.read_text(encoding="utf-8") for source in sources]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def build(library: Path) -> None:
    """Compile in a folder of its own, and move the result into place when it is whole."""
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        script = Path(folder) / "setup.py"
        script.write_text(
            "from Cython.Build import cythonize\n"
            "from setuptools import Extension, setup\n"
            f"extension = Extension({NAME!r}, [{str(SOURCES)!r}])\n"
            f"setup(name={NAME!r}, py_modules=[], ext_modules=cythonize(\n"
            f"    [extension], build_dir='c', include_path=[{str(ROOT / '_core')!r}],\n"
            f"    compiler_directives={directives()!r}))\n",
            encoding="utf-8",
        )
        command = [sys.executable, str(script), "-q", "build_ext", "--inplace"]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            raise BuildError(f"the prototypes do not compile:\n{done.stdout}{done.stderr}")
        (Path(folder) / library.name).replace(library)
