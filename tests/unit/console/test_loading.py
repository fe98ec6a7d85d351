"""Finding the app that a command line names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from kaizen_nexus.console.loading import load_app

SERVICE = """\
from kaizen_nexus import Nexus

app = Nexus()
other = Nexus()
number = 7


class Holder:
    app = other
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with an app in it; nothing that is imported there stays."""
    (tmp_path / "nexus_test_service.py").write_text(SERVICE)
    package = tmp_path / "nexus_test_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "service.py").write_text("from nexus_test_service import app\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if "nexus_test" in name:
            app = getattr(sys.modules[name], "app", None)
            if app is not None:
                app.close()
            del sys.modules[name]


@pytest.mark.parametrize(
    ("target", "attribute"),
    [
        ("nexus_test_service", "app"),
        ("nexus_test_service:app", "app"),
        ("nexus_test_service:other", "other"),
        ("nexus_test_service:Holder.app", "other"),
        ("nexus_test_service.py", "app"),
        ("./nexus_test_service.py:other", "other"),
    ],
)
def test_an_app_is_found_by_module_or_file(target: str, attribute: str) -> None:
    app = load_app(target)
    assert app is getattr(sys.modules["nexus_test_service"], attribute)


def test_a_module_in_a_package_may_import_its_neighbours() -> None:
    assert load_app("nexus_test_package.service") is load_app("nexus_test_service")


def test_a_file_may_import_its_neighbours_and_be_called_like_a_known_module(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "nexus_test_neighbour.py").write_text("from kaizen_nexus import Nexus as Made\n")
    (elsewhere / "json.py").write_text("from nexus_test_neighbour import Made\napp = Made()\n")
    import json

    app = load_app("elsewhere/json.py")
    app.close()
    monkeypatch.delitem(sys.modules, "_nexus_app_json")
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("nexus_test_missing", "there is no module 'nexus_test_missing' in "),
        ("nexus_test_package.missing", "there is no module 'nexus_test_package.missing' in "),
        ("missing/service.py", "there is no file missing/service.py"),
        ("missing.py:app", "there is no file missing.py"),
        (
            "nexus_test_service:nothing",
            "has no 'nothing': try nexus_test_service:app or nexus_test_service:other",
        ),
        ("nexus_test_service:number", "nexus_test_service:number is of type int, not Nexus"),
        ("nexus_test_package", "it defines no Nexus app"),
        ("not a module", "neither a module nor a Python file"),
        ("http://127.0.0.1:8000", "neither a module nor a Python file"),
        ("", "neither a module nor a Python file"),
        (":app", "neither a module nor a Python file"),
    ],
)
def test_what_cannot_be_found_is_a_usage_error(target: str, complaint: str) -> None:
    with pytest.raises(click.UsageError) as refused:
        load_app(target)
    assert complaint in refused.value.message


def test_what_the_module_itself_does_wrong_is_not_hidden(folder: Path) -> None:
    (folder / "nexus_test_broken.py").write_text("import nexus_test_not_installed\n")
    with pytest.raises(ModuleNotFoundError, match="nexus_test_not_installed"):
        load_app("nexus_test_broken")
    (folder / "nexus_test_wrong.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        load_app("nexus_test_wrong.py")
