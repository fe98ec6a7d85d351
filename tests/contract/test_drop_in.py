"""The same programs, and the same calls, on the original and on this package.

What the programs observe of the original is recorded, so that ours is compared with it where Kaizen
is not installed, too; where it is, the record is compared with the original itself.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
MIGRATING = HERE.parents[1] / "docs" / "migrating.md"

_spec = importlib.util.spec_from_file_location("contract_observe", HERE / "observe.py")
assert _spec is not None
assert _spec.loader is not None
observe = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(observe)

PROGRAMS: dict[str, str] = observe.programs()
SAME = [program for program in PROGRAMS if not program.startswith(observe.DIFFERENCES)]
DIFFERENT = [program for program in PROGRAMS if program.startswith(observe.DIFFERENCES)]
RECORDED: dict[str, Any] = json.loads(observe.RECORDED.read_text(encoding="utf-8"))

MOVED = {"NexusSessionManager"}
"""Whose parameters are not where they were: see the difference about the second one."""
NAMELESS = {"record_api_latency", "record_cli_latency", "record_deployment"} | {
    "record_mcp_latency",
    "record_session_sync",
}
"""Whose parameter cannot be given by name: see the difference about recording by name."""
COMPILED = {"PerformanceMonitor"}
"""What has no signature to look at; programs call it in every way instead."""
OF_DATAFLOW = {"SessionStorage", "register_session_models"}
"""What is Kaizen's own in both."""


@cache
def observed(*task: str) -> dict[str, Any]:
    result: dict[str, Any] = observe.run_apart(*task)
    return result


@pytest.mark.parametrize("program", SAME)
def test_a_program_observes_the_same_of_ours(program: str) -> None:
    if program.startswith(observe.NEEDS_KAIZEN) and find_spec("kaizen") is None:
        pytest.skip("kailash-kaizen and kailash-nexus are not installed")
    assert observed("ours")[program] == RECORDED[program]


@pytest.mark.parametrize("program", SAME)
def test_it_is_what_the_original_shows(program: str, original: None) -> None:
    assert observed("theirs")[program] == RECORDED[program]


@pytest.mark.parametrize("program", DIFFERENT)
def test_a_difference_is_one(program: str) -> None:
    assert observed("ours")[program] == RECORDED[program]["ours"]
    assert RECORDED[program]["ours"] != RECORDED[program]["theirs"]


@pytest.mark.parametrize("program", DIFFERENT)
def test_a_difference_is_one_from_the_original(program: str, original: None) -> None:
    assert observed("theirs")[program] == RECORDED[program]["theirs"]


def test_nothing_recorded_is_left_over() -> None:
    assert set(RECORDED) == {*PROGRAMS, "signatures"}
    failed = [name for name in SAME if isinstance(RECORDED[name], str)]
    assert failed == []


def test_the_record_has_the_originals_signatures(original: None) -> None:
    assert observed("signatures", "theirs") == RECORDED["signatures"]


@pytest.mark.parametrize("name", sorted(set(RECORDED["signatures"]) - COMPILED))
def test_ours_can_be_called_as_the_original(name: str) -> None:
    owner, _, function = name.rpartition(".")
    if find_spec("kaizen") is None and {owner, function} & OF_DATAFLOW:
        pytest.skip("kailash-kaizen and kailash-nexus are not installed")
    theirs, ours = RECORDED["signatures"][name], observed("signatures", "ours")[name]
    if function in NAMELESS:
        assert len(ours) == len(theirs)
        return
    kept = [parameter for parameter in theirs if parameter[1] != "VAR_KEYWORD"]
    if name not in MOVED:
        assert [each[0] for each in ours][: len(kept)] == [each[0] for each in kept]
    by_name = {each: (kind, default) for each, kind, default in ours}
    for parameter, kind, default in kept:
        # Nobody passes `self` by name, and methods of compiled classes do not let one.
        assert by_name[parameter][0] == kind or parameter == "self"
        if default != "<factory>" and (parameter, default) != ("ttl_hours", "1"):
            assert by_name[parameter][1] == default
    for parameter in set(by_name) - {each for each, _, _ in theirs}:
        assert by_name[parameter][1], f"{parameter} is new and must be optional"


def run_program(prelude: str) -> str:
    completed = subprocess.run(
        [sys.executable, "-c", f"import runpy\n{prelude}\nrunpy.run_path({str(GUIDE)!r})"],
        cwd=sys.prefix,  # the checkout would shadow the installed package
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


GUIDE = HERE / "programs" / "guide.py"
INSTALL = "import kaizen_nexus\nkaizen_nexus.install()\n"
OUR_NEXUS = INSTALL + (
    "import sys, types\nsys.modules['nexus'] = types.SimpleNamespace(Nexus=kaizen_nexus.Nexus)"
)


@pytest.mark.parametrize("prelude", [INSTALL, OUR_NEXUS], ids=["their Nexus", "our Nexus"])
def test_a_script_from_the_documentation_prints_the_same(prelude: str, original: None) -> None:
    printed = run_program("")
    assert run_program(prelude) == printed
    assert "=== Performance Summary ===" in printed
