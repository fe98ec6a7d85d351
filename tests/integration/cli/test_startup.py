"""What `nexus run` loads: a process that lives for one request must load next to nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

HEAVY = {
    "asyncio", "click", "dataclasses", "email", "http", "inspect", "logging", "msgspec", "numpy",
    "pathlib", "ssl", "starlette", "subprocess", "urllib", "uvicorn",
}  # fmt: skip


def imported_by(program: Any, *arguments: str) -> tuple[int, set[str]]:
    """Return the exit code of the program, and which modules it imported beyond an idle Python."""
    start = "import sys; from kaizen_nexus.console.main import main; sys.exit(main(sys.argv[1:]))"
    imported = []
    for code in ("pass", start):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", code, *arguments],
            cwd=program.folder,
            env=program.environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        imported.append(set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE)))
    return done.returncode, imported[1] - imported[0]


def test_a_run_imports_nothing_heavy(nexus: Any) -> None:
    code, modules = imported_by(nexus, "run", "shout", "--query", "x")
    assert code == 0
    assert "kaizen_nexus.console.run" in modules
    assert not {name.partition(".")[0] for name in modules} & HEAVY
    own = {name for name in modules if name.startswith("kaizen_nexus")}
    assert own == {
        "kaizen_nexus",
        "kaizen_nexus.channels",
        "kaizen_nexus.channels.cli",
        "kaizen_nexus.channels.cli.protocol",
        "kaizen_nexus.console",
        "kaizen_nexus.console.arguments",
        "kaizen_nexus.console.main",
        "kaizen_nexus.channels.cli.response",
        "kaizen_nexus.console.run",
        "kaizen_nexus.channels.cli.transport",
    }


def test_the_check_would_notice(nexus: Any) -> None:
    code, modules = imported_by(nexus, "list")
    assert code == 0
    assert {"click", "kaizen_nexus.console.commands"} <= modules


def without(program: Any, missing: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program where the module `missing` is not installed."""
    start = (
        f"import sys; sys.modules[{missing!r}] = None; "
        "from kaizen_nexus.console.main import main; sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", start, *arguments],
        cwd=program.folder,
        env=program.environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_run_works_in_a_base_install(nexus: Any) -> None:
    done = without(nexus, "click", "run", "shout", "--query", "x")
    assert (done.returncode, done.stdout, done.stderr) == (0, "X\n", "")


def test_other_commands_name_the_extra_that_they_need(nexus: Any) -> None:
    done = without(nexus, "click", "serve", "service:app")
    assert done.returncode == 1
    assert done.stderr == (
        "Error: 'nexus serve' needs click, which is not installed; "
        "run: pip install 'kaizen-nexus[serve]'\n"
    )


def test_so_do_commands_that_find_out_late(nexus: Any) -> None:
    (nexus.folder / "service.py").write_text("from kaizen_nexus import Nexus\napp = Nexus()\n")
    done = without(nexus, "starlette.applications", "serve", "service:app")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.endswith("run: pip install 'kaizen-nexus[serve]'\n")
