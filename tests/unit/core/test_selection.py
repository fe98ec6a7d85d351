"""Which implementation `_accel` selects, asked of fresh processes and of copies of the package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import kaizen_nexus

PACKAGE = Path(kaizen_nexus.__file__).parent
MODULES = ("cache_key", "latency_histogram", "session_table")
REPORT = """
import json, sys
from kaizen_nexus import _accel
names = [name for name in _accel.__all__ if name != "IMPLEMENTATION"]
print(json.dumps({
    "implementation": _accel.IMPLEMENTATION,
    "home": _accel.__file__,
    "modules": {name: getattr(_accel, name).__module__ for name in names},
    "key": _accel.cache_key("a", {"b": [1.5, None]}),
    "compiled": sorted(name for name in sys.modules if name.startswith("kaizen_nexus._core.")),
    "pure": "kaizen_nexus._fallback.cache_key" in sys.modules,
}))
"""
NOT_INSTALLED = "KAIZEN_NEXUS_IMPL=c, but the compiled core is not installed"


def compiled_file(package: Path, module: str) -> Path:
    return package / "_core" / f"{module}{EXTENSION_SUFFIXES[0]}"


def copy_package(target: Path) -> Path:
    """Copy the package as it lies here, compiled modules included."""
    package = target / "kaizen_nexus"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    return package


def run(
    location: Path, implementation: str | None, program: str = REPORT
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(location), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("KAIZEN_NEXUS_IMPL", None)
    if implementation is not None:
        environment["KAIZEN_NEXUS_IMPL"] = implementation
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=location,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def report(location: Path, implementation: str | None) -> dict[str, object]:
    done = run(location, implementation)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert Path(found["home"]).is_relative_to(location)
    return found


def failure(location: Path, implementation: str | None, program: str = REPORT) -> str:
    """Return the last line of the traceback."""
    done = run(location, implementation, program)
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr.strip().splitlines()[-1]


@pytest.fixture
def without_core(tmp_path: Path) -> Path:
    package = copy_package(tmp_path)
    for module in MODULES:
        compiled_file(package, module).unlink()
    return tmp_path


@pytest.fixture
def with_broken_core(tmp_path: Path) -> Path:
    package = copy_package(tmp_path)
    compiled_file(package, "cache_key").write_bytes(b"not a shared object")
    return tmp_path


@pytest.mark.parametrize("implementation", [None, "auto", "c"])
def test_the_compiled_core_is_taken_where_it_was_built(implementation):
    found = report(PACKAGE.parent, implementation)
    assert found["implementation"] == "c"
    assert all(str(home).startswith("kaizen_nexus._core.") for home in found["modules"].values())
    assert found["compiled"] == [f"kaizen_nexus._core.{module}" for module in MODULES]
    assert found["pure"] is False


def test_the_twin_is_taken_on_request_and_nothing_compiled_is_loaded():
    found = report(PACKAGE.parent, "py")
    assert found["implementation"] == "py"
    assert all(
        str(home).startswith("kaizen_nexus._fallback.") for home in found["modules"].values()
    )
    assert found["compiled"] == []


def test_both_give_the_same_key():
    assert report(PACKAGE.parent, "c")["key"] == report(PACKAGE.parent, "py")["key"]


@pytest.mark.parametrize("implementation", ["C", "cython", "python", "1"])
def test_unknown_requests_are_errors(implementation):
    assert failure(PACKAGE.parent, implementation) == (
        f"ImportError: KAIZEN_NEXUS_IMPL={implementation!r} is not known: use 'auto', 'c' or 'py'"
    )


@pytest.mark.parametrize("implementation", [None, "auto", "py"])
def test_without_a_compiled_core_the_twin_is_taken(without_core, implementation):
    found = report(without_core, implementation)
    assert found["implementation"] == "py"
    assert found["compiled"] == []
    assert found["key"] == report(PACKAGE.parent, "c")["key"]


def test_insisting_on_a_compiled_core_that_is_missing_is_an_error(without_core):
    message = failure(without_core, "c")
    assert message.startswith(f"ImportError: {NOT_INSTALLED}: reinstall with a C compiler")
    assert "pip install" in message


@pytest.mark.parametrize("implementation", [None, "auto", "c"])
def test_a_compiled_core_that_does_not_load_is_an_error(with_broken_core, implementation):
    message = failure(with_broken_core, implementation)
    assert message.startswith("ImportError: ")
    assert str(compiled_file(with_broken_core / "kaizen_nexus", "cache_key")) in message
    assert "not installed" not in message


def test_a_compiled_core_that_does_not_load_does_not_hinder_the_twin(with_broken_core):
    assert report(with_broken_core, "py")["implementation"] == "py"


@pytest.mark.parametrize("implementation", ["auto", "c"])
def test_a_module_that_the_compiled_core_misses_is_an_error(tmp_path, implementation):
    package = copy_package(tmp_path)
    (package / "_common" / "cache_key_format.py").unlink()
    assert failure(tmp_path, implementation) == (
        "ModuleNotFoundError: No module named 'kaizen_nexus._common.cache_key_format'"
    )


@pytest.mark.parametrize("implementation", ["auto", "c"])
def test_half_a_compiled_core_is_never_filled_up_from_the_twin(tmp_path, implementation):
    package = copy_package(tmp_path)
    compiled_file(package, "session_table").unlink()
    assert failure(tmp_path, implementation) == (
        "ModuleNotFoundError: No module named 'kaizen_nexus._core.session_table'"
    )


def test_other_attributes_do_not_exist():
    program = "from kaizen_nexus import _accel\n_accel.encode\n"
    assert failure(PACKAGE.parent, None, program) == (
        "AttributeError: module 'kaizen_nexus._accel' has no attribute 'encode'"
    )


def test_a_name_is_looked_up_once():
    program = (
        "from kaizen_nexus import _accel\n"
        "assert 'cache_key' not in vars(_accel)\n"
        "first = _accel.cache_key\n"
        "assert vars(_accel)['cache_key'] is first is _accel.cache_key\n"
    )
    assert run(PACKAGE.parent, None, program).returncode == 0
