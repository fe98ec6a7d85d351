"""Which modules ``--reload`` exchanges, and what becomes of the app they hold."""

from __future__ import annotations

import importlib
import os
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaizen_nexus import Nexus
from kaizen_nexus.console import reloading
from kaizen_nexus.console.loading import load_app
from kaizen_nexus.console.reloading import Reloader

TEXTS = "GREETING = {!r}\n"
ELSEWHERE = """\
from kaizen_nexus import Nexus

app = Nexus(api_port=0)
"""
PROJECT = """\
from elsewhere import app
from kaizen_nexus import deploy_multi_channel
from texts import GREETING


def greet() -> str:
    return GREETING


deploy_multi_channel(greet, app, "greet")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project that deploys its agent on an app of a library's, which lies beside it."""
    project, library = tmp_path / "project", tmp_path / "library"
    for place, name, content in (
        (library, "elsewhere", ELSEWHERE),
        (project, "service", PROJECT),
        (project, "texts", TEXTS.format("Hello")),
    ):
        place.mkdir(exist_ok=True)
        file = place / f"{name}.py"
        file.write_text(content)
        os.utime(file, (0, 0))  # long before it is loaded
        monkeypatch.syspath_prepend(place)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield project
    for name in ("elsewhere", "service", "texts"):
        sys.modules.pop(name, None)


def change(file: Path, reloader: Reloader) -> None:
    file.write_text(TEXTS.format("Good morning"))
    for _ in range(2):  # seen once, and unchanged since
        reloader.poll()


def test_an_app_that_lies_elsewhere_goes_on_being_served(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    since = time.time_ns()
    app: Nexus = load_app("service:app")
    reloader = Reloader(app, "service:app", folder, since)
    app.start(blocking=False)
    try:
        change(folder / "texts.py", reloader)
        assert "Reloaded. Workflows: greet" in capsys.readouterr().err
        request = urllib.request.Request(  # noqa: S310
            f"{app.url}/api/workflows/greet/execute", method="POST"
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            assert b'"Good morning"' in answer.read()
        assert app.runtime.registry.find("greet", "api").version == 2
    finally:
        app.close()


def test_the_standard_library_is_left_alone_wherever_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reloading, "_STANDARD_LIBRARY", folder)
    texts = importlib.import_module("texts")
    since = time.time_ns()
    app: Nexus = load_app("service:app")
    change(folder / "texts.py", Reloader(app, "service:app", folder.parent, since))
    assert sys.modules["texts"] is texts
    assert not capsys.readouterr().err
    app.close()
