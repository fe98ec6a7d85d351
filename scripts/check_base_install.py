"""Check what an installation with numpy alone can do; run it outside the repository."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.metadata import requires

import kaizen_nexus
from kaizen_nexus import (
    DeploymentCache,
    LatencyHistogram,
    NexusSessionManager,
    PerformanceMetrics,
    PerformanceMonitor,
    SessionTable,
    cache_key,
    deploy_as_api,
    install,
)


class ForeignApp:
    """An app of another kind, which only takes registrations."""

    def __init__(self) -> None:
        self.registered: dict[str, object] = {}

    def register(self, name: str, workflow: object) -> None:
        """Remember a workflow."""
        self.registered[name] = workflow


class Agent:
    """An agent that builds its own workflow."""

    def to_workflow(self) -> Agent:
        """Return the builder."""
        return self

    def build(self) -> str:
        """Return the workflow."""
        return "built"


def main() -> int:
    """Use every piece that needs no extra, and check that the others say what they need."""
    unconditional = [r for r in requires("kaizen-nexus") or () if "extra" not in r]
    assert [r.partition(">")[0] for r in unconditional] == ["numpy"], unconditional

    with NexusSessionManager(cleanup_interval=60, session_ttl=60) as manager:
        session = manager.create_session(user_id="someone")
        assert manager.update_session_state(session.session_id, {"a": 1}, channel="api")
        assert manager.get_session_state(session.session_id) == {"a": 1}
    metrics = PerformanceMetrics()
    with PerformanceMonitor(metrics, "api"):
        pass
    assert metrics.get_summary()["api"]["count"] == 1
    histogram = LatencyHistogram()
    histogram.record(0.001)
    assert LatencyHistogram.from_bytes(histogram.to_bytes()).count == 1
    assert len(cache_key({"a": [1, 2.0, None]})) == 32
    assert SessionTable().create(user_id="someone")
    assert DeploymentCache(max_size=1).get_or_build("key", lambda: 1) == 1
    app = ForeignApp()
    assert deploy_as_api(Agent(), app, "it") == "/api/workflows/it/execute"
    assert app.registered == {"it": "built"}
    install()
    nexus = importlib.import_module("kaizen.integrations.nexus")

    assert nexus.PerformanceMetrics is PerformanceMetrics

    message = ""
    try:
        message = f"{kaizen_nexus.Nexus} was importable without its dependencies"
    except ImportError as error:
        message = str(error)
    assert "pip install 'kaizen-nexus[serve]'" in message, message
    command = subprocess.run(
        [sys.executable, "-m", "kaizen_nexus", "serve", "x:app"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert command.returncode == 1, command
    assert "pip install 'kaizen-nexus[serve]'" in command.stderr, command.stderr
    sys.stdout.write(f"base install: ok ({kaizen_nexus.IMPLEMENTATION})\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
