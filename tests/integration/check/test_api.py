"""`kaizen_nexus.testing` as a user's own tests use it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kaizen_nexus import Nexus, deploy_multi_channel
from kaizen_nexus.testing import CannotCheckError, InconsistentError, assert_consistent, check
from tests.integration.check.broken_apps import sound
from tests.integration.check.conftest import ROOT

USERS_TESTS = """
from kaizen_nexus import Nexus, PerformanceMetrics, deploy_multi_channel
from kaizen_nexus.testing import assert_consistent, check


class Forgetful(PerformanceMetrics):
    def record(self, operation, seconds, *, failed=False):
        if operation != "cli":
            super().record(operation, seconds, failed=failed)


def app(**settings):
    app = Nexus(**settings)
    deploy_multi_channel(lambda text: text.upper(), app, "shout")
    return app


def test_consistent():
    report = check(app(), inputs={"shout": [{"text": "x"}]})
    report.raise_for_differences()
    assert report.ok


def test_inconsistent():
    assert_consistent(app(metrics=Forgetful()), inputs={"shout": [{"text": "x"}]})
"""


def test_in_a_users_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_channels.py").write_text(USERS_TESTS, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "InconsistentError" in done.stdout
    assert "recorded cli 0 times instead of once" in done.stdout


def test_an_app_can_be_served_after_it_was_checked() -> None:
    app = sound()
    report = check(app, inputs={"notes": [{"fact": "a"}]})
    assert report.ok, report.as_data()
    app.api_port = 0
    app.start(blocking=False)
    app.close()


def test_a_report_raises_what_pytest_takes_for_a_failed_assertion() -> None:
    app = Nexus()
    deploy_multi_channel(lambda: 1, app, "one")
    report = check(app)
    report.raise_for_differences()
    report.differ("one", "result", "a case", {"http": "1", "cli": "2"})
    with pytest.raises(AssertionError, match="1 difference: ") as caught:
        report.raise_for_differences()
    assert type(caught.value) is InconsistentError
    assert "\033" not in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"notes": [{}], "nots": [{}]}, "no workflow named 'nots' is deployed"),
        ({"notes": {"fact": "a"}}, "'notes' must be an array of objects"),
        ({}, "it holds no inputs"),
    ],
)
def test_inputs_that_cannot_be_used(inputs: Any, expected: str) -> None:
    with pytest.raises(CannotCheckError, match=expected):
        assert_consistent(sound(), inputs=inputs)


async def silent(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def test_an_application_that_is_no_nexus() -> None:
    with pytest.raises(CannotCheckError, match="GET /api/workflows does not answer as a Nexus"):
        check(silent)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(ImportError, match=r"pip install 'kaizen-nexus\[testing\]'"):
        check("service:app")
