from __future__ import annotations

import threading
from pathlib import Path

import pytest

from kaizen_nexus.runtime.discovery import Discovery, find_files, workflow_name

AGENT = "def workflow(query: str) -> str:\n    return query\n"


def test_files_named_like_workflows_are_found(tmp_path: Path) -> None:
    for name in (
        "a_workflow.py",
        "workflow_b.py",
        "workflows/c.py",
        "workflows/_private.py",
        "d.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(AGENT)
    found = [path.relative_to(tmp_path).as_posix() for path in find_files(tmp_path)]
    assert found == ["a_workflow.py", "workflow_b.py", "workflows/c.py"]


@pytest.mark.parametrize(
    ("file", "name"),
    [("support_workflow.py", "support"), ("workflow_sales.py", "sales"), ("faq.py", "faq")],
)
def test_the_file_names_the_workflow(file: str, name: str) -> None:
    assert workflow_name(Path(file)) == name


def test_what_is_found_is_deployed_and_what_fails_is_reported(tmp_path: Path) -> None:
    (tmp_path / "good_workflow.py").write_text(AGENT)
    (tmp_path / "exit_workflow.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "syntax_workflow.py").write_text("def\n")
    (tmp_path / "empty_workflow.py").write_text("")
    (tmp_path / "agent_workflow.py").write_text(
        "from kaizen_nexus import BaseAgent\n"
        "class Agent(BaseAgent):\n    def process(self, query: str) -> str: ...\n"
        "only = Agent()\n"
    )
    deployed: dict[str, object] = {}
    discovery = Discovery(tmp_path, lambda agent, name: deployed.update({name: agent}))
    discovery.start()
    assert discovery.wait(30)
    assert set(deployed) == {"good", "agent"}
    assert discovery.report["done"]
    assert set(discovery.report["failed"]) == {
        "exit_workflow.py",
        "syntax_workflow.py",
        "empty_workflow.py",
    }
    assert "name the one to deploy" in discovery.report["failed"]["empty_workflow.py"]


def test_a_file_that_never_finishes_does_not_hold_up_the_caller(tmp_path: Path) -> None:
    release = threading.Event()
    (tmp_path / "slow_workflow.py").write_text(AGENT)
    discovery = Discovery(tmp_path, lambda agent, name: release.wait(30))
    discovery.start()
    assert not discovery.report["done"]
    release.set()
    assert discovery.wait(30)
