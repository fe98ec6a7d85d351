from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

HIDE = """
import sys
from importlib.machinery import PathFinder

class Hiding:
    @staticmethod
    def find_spec(fullname, path, target=None):
        hidden = fullname.partition(".")[0] in {"kaizen", "kailash", "nexus"}
        return None if hidden else PathFinder.find_spec(fullname, path)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hiding
"""
"""Makes an interpreter in which Kaizen is not installed."""


@pytest.fixture(scope="session")
def original() -> None:
    """Skip the test where the original is missing."""
    if not (find_spec("kaizen") and find_spec("kailash") and find_spec("nexus")):
        pytest.skip("kailash-kaizen and kailash-nexus are not installed")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Runs a program in a fresh interpreter, where what is in `tmp_path` can be imported."""

    def run(program: str, *, hide: bool = False) -> str:
        environment = dict(os.environ)
        path = [str(tmp_path), *filter(None, [environment.get("PYTHONPATH")])]
        completed = subprocess.run(
            [sys.executable, "-c", HIDE * hide + textwrap.dedent(program)],
            env={**environment, "PYTHONPATH": os.pathsep.join(path)},
            cwd=sys.prefix,  # the checkout would shadow the installed package
            capture_output=True,
            text=True,
            timeout=110,
        )
        assert completed.returncode == 0, completed.stderr
        return completed.stdout

    return run


@pytest.fixture
def kaizen(tmp_path: Path) -> Path:
    """A small package like Kaizen, found before an installed one, to import as one likes."""
    package = tmp_path / "kaizen" / "integrations" / "nexus"
    package.mkdir(parents=True)
    (tmp_path / "kaizen" / "__init__.py").write_text("core = 'theirs'\n")
    (tmp_path / "kaizen" / "integrations" / "__init__.py").write_text("other = 'theirs'\n")
    (package / "__init__.py").write_text("from .deployment import deploy_as_api\nmarker = 1\n")
    (package / "deployment.py").write_text("def deploy_as_api():\n    return 'theirs'\n")
    (package / "models.py").write_text("def register_session_models(db):\n    return 'theirs'\n")
    (package / "storage.py").write_text(
        "from kaizen.integrations.nexus.session_manager import CrossChannelSession\n"
        "class SessionStorage:\n    session = CrossChannelSession\n"
    )
    (package / "latest.py").write_text("from .deployment import deploy_as_api as used\n")
    return tmp_path
