"""Sessions in a DataFlow database: Kaizen's own tables and storage, working on our sessions.

Kaizen and DataFlow own the tables and queries. Their installed code is loaded beside the modules
that stand in for it, so that it works with our sessions.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from kaizen_nexus.compat.names import ORIGINAL

__all__ = ["original_module"]

_lock = threading.RLock()
_loaded: dict[str, ModuleType | None] = {}


def original_module(name: str) -> ModuleType | None:
    """Return a submodule of the installed original, loaded once, or None if it cannot be loaded.

    Thread-safe. The module is not in `sys.modules`.
    """
    with _lock:
        if name not in _loaded:
            _loaded[name] = _load(f"{ORIGINAL}.{name}")
        return _loaded[name]


def original_locations(path: Any) -> list[str]:
    """Return where the original's files are, given the path of the package it lies in."""
    spec = PathFinder.find_spec(ORIGINAL, path)
    locations = None if spec is None else spec.submodule_search_locations
    return list(locations or ())


def _load(fullname: str) -> ModuleType | None:
    try:
        integrations = importlib.import_module("kaizen.integrations")
        spec = PathFinder.find_spec(fullname, original_locations(integrations.__path__))
        if spec is None or spec.loader is None:
            return None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except ImportError:
        return None  # as the original does without DataFlow
    return module


def __getattr__(name: str) -> Any:
    """Return the original's class or function, or what replaces it where it is not installed."""
    if name == "register_session_models":
        models = original_module("models")
        return None if models is None else models.register_session_models
    if name == "SessionStorage":
        storage = original_module("storage")
        if storage is not None:
            return storage.SessionStorage
        from kaizen_nexus.sessions import SessionStorage

        return SessionStorage
    if name == "_DATAFLOW_AVAILABLE":
        return original_module("storage") is not None
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
