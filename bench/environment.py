"""On what the figures were measured."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["CORE", "GUIDE", "describe"]

GUIDE = ("numpy", "starlette", "uvicorn", "msgspec", "mcp", "click")
"""The packages that the guide's figures depend on."""
CORE = (
    "numpy",
    "kailash-kaizen",
    "kailash-nexus",
    "cachebox",
    "cachetools",
    "theine",
    "prometheus_client",
    "hdrhistogram",
    "ddsketch",
    "crick",
    "opentelemetry-sdk",
    "orjson",
    "joblib",
    "dask",
)
"""The packages of the contenders in the suite ``core``."""


def describe(
    packages: Sequence[str],
    pythons: Mapping[str, str] | None = None,
    before: str | None = None,
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

    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "core": kaizen_nexus.IMPLEMENTATION,
        "kaizen-nexus": kaizen_nexus.__version__,
        **({"kaizen-nexus before": _version_in(before, "kaizen-nexus")} if before else {}),
        **{
            package: _version_in(others[package], package)
            if package in others
            else _version(package)
            for package in packages
        },
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _version_in(python: str, package: str) -> str:
    """Return a version as another interpreter finds it."""
    command = [python, "-c", f"import importlib.metadata as m; print(m.version({package!r}))"]
    try:
        found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return "not installed"
    return found.stdout.strip() or "not installed"
