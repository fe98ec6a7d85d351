from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import pytest

from kaizen_nexus import Nexus

GATE = "auto_discovery_gate"


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """An event that a discovered file can wait for, under a name that it can import."""
    event = threading.Event()
    monkeypatch.setitem(sys.modules, GATE, event)
    return event


def test_a_file_that_hangs_holds_up_neither_start_up_nor_requests(
    tmp_path: Path, gate: threading.Event
) -> None:
    agent = "def workflow(query: str) -> str:\n    return query\n"
    (tmp_path / "first_workflow.py").write_text(agent)
    (tmp_path / "slow_workflow.py").write_text(f"import {GATE} as gate\ngate.wait(30)\n{agent}")
    app = Nexus(auto_discovery=True, api_port=0, discovery_root=tmp_path)
    app.start(blocking=False)
    try:
        deadline = time.monotonic() + 20
        while app.health_check()["discovery"]["deployed"] != ["first"]:
            assert time.monotonic() < deadline
            threading.Event().wait(0.01)
        answer = httpx2.post(f"{app.url}/api/workflows/first/execute", json={"query": "x"})
        assert answer.json()["result"] == "x"
        assert not app.health_check()["discovery"]["done"]
        gate.set()
        while not app.health_check()["discovery"]["done"]:
            assert time.monotonic() < deadline
            threading.Event().wait(0.01)
        assert app.health_check()["discovery"]["deployed"] == ["first", "slow"]
    finally:
        gate.set()
        app.close()


def test_discovery_looks_beside_the_file_that_makes_the_app(tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(
        "from kaizen_nexus import Nexus\napp = Nexus(auto_discovery=True)\n"
    )
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import service; "
    completed = subprocess.run(
        [sys.executable, "-c", program + "print(service.app.discovery_root)"],
        cwd=sys.prefix,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert completed.stdout.strip() == str(tmp_path), completed.stderr
