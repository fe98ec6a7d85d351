"""Finding workflows in files beside the entry file, without holding up start-up."""

from __future__ import annotations

import importlib.util
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from kaizen_nexus.agents.base import BaseAgent
from kaizen_nexus.agents.workflow import Workflow
from kaizen_nexus.deployment.names import check_name

__all__ = ["Discovery", "find_files", "workflow_in"]

logger = logging.getLogger("kaizen_nexus.discovery")

PATTERNS = ("workflows/*.py", "*_workflow.py", "workflow_*.py")
MAX_FILES = 1_000
_EXPORTS = ("workflow", "agent")


def find_files(root: Path) -> list[Path]:
    """Return the files below `root` that are named like workflows, sorted, at most 1,000."""
    found = {
        path
        for pattern in PATTERNS
        for path in root.glob(pattern)
        if path.is_file() and not path.name.startswith("_")
    }
    return sorted(found)[:MAX_FILES]


def workflow_name(path: Path) -> str:
    """Return the name that a file's workflow is deployed under.

    Examples
    --------
    >>> workflow_name(Path("support_workflow.py"))
    'support'
    """
    return path.stem.removeprefix("workflow_").removesuffix("_workflow") or path.stem


def workflow_in(module: ModuleType) -> object:
    """Return what a module offers for deployment.

    That is its ``workflow`` or ``agent``, or else the only `BaseAgent` or `Workflow` it holds.

    Raises
    ------
    LookupError
        It offers none, or several.
    """
    for name in _EXPORTS:
        if hasattr(module, name):
            return getattr(module, name)
    candidates = [v for v in vars(module).values() if isinstance(v, (BaseAgent, Workflow))]
    if len(candidates) != 1:
        raise LookupError(
            f"{module.__file__} holds {len(candidates)} agents: name the one to deploy "
            "'workflow' or 'agent'"
        )
    return candidates[0]


class Discovery:
    """Imports workflow files in a thread of its own and deploys what they hold.

    Parameters
    ----------
    root
        The folder to look in.
    deploy
        Called with an agent and its name, in the discovery thread.
    """

    def __init__(self, root: Path, deploy: Callable[[object, str], object]) -> None:
        self._root = root
        self._deploy = deploy
        self._thread = threading.Thread(target=self._run, name="nexus-discovery", daemon=True)
        self.report: dict[str, Any] = {
            "root": str(root),
            "done": False,
            "deployed": [],
            "failed": {},
        }

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds; return whether all files have been dealt with."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        for path in find_files(self._root):
            name = workflow_name(path)
            try:
                check_name(name)
                self._deploy(workflow_in(_load(path)), name)
            # A file that calls sys.exit() must not end discovery, nor one that fails anyhow.
            except (Exception, SystemExit) as error:
                logger.exception("could not deploy %s", path)
                self.report["failed"][path.name] = f"{type(error).__name__}: {error}"
            else:
                self.report["deployed"].append(name)
        self.report["done"] = True


def _load(path: Path) -> ModuleType:
    """Import the file under a name of its own, so that it cannot shadow an installed module."""
    name = f"_nexus_discovered_.{path.parent.name}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
