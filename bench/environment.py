"""On what the figures were measured."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["CORE", "GUIDE", "describe"]

GUIDE = ("numpy", "starlette", "uvicorn", "msgspec", "click")
"""The packages that the guide's figures depend on."""
CORE = (
    "numpy",
    "kailash-kaizen",
    "kailash-nexus",
    "cachebox",
    "cachetools",
    "prometheus_client",
    "hdrhistogram",
    "ddsketch",
    "crick",
    "orjson",
)
"""The packages of the contenders in the suite ``core``."""


def describe(
    packages: Sequence[str], pythons: Mapping[str, str] | None = None, before: str | None = None
) -> dict[str, str]:
    """Return the machine, the interpreter and the versions that matter.

    Parameters
    ----------
    packages
        The distributions whose versions matter.
    pythons
        The interpreters of those that are not installed beside this package.
    before
        The interpreter that has another version of this package.
    """
    import kaizen_nexus

    others = pythons or {}
    described = {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "core": kaizen_nexus.IMPLEMENTATION,
        "kaizen-nexus": kaizen_nexus.__version__,
    }
    if before is not None:
        described["kaizen-nexus before"] = _version("kaizen-nexus", before)
    return described | {package: _version(package, others.get(package)) for package in packages}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _version(package: str, python: str | None = None) -> str:
    """Return a version as this interpreter finds it, or another one."""
    try:
        if python is None:
            return version(package)
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        found = subprocess.run(
            [python, "-c", code], check=True, capture_output=True, text=True, timeout=30
        )
    except (PackageNotFoundError, OSError, subprocess.SubprocessError):
        return "not installed"
    return found.stdout.strip()
