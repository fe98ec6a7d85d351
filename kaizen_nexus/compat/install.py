"""`install`: from then on, ``import kaizen.integrations.nexus`` finds this package."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from kaizen_nexus.compat.names import PACKAGE_NAMES, SUBMODULES

__all__ = ["install"]

ORIGINAL = "kaizen.integrations.nexus"

_REPLACED: dict[str, dict[str, str]] = {
    ORIGINAL: PACKAGE_NAMES,
    **{f"{ORIGINAL}.{name}": names for name, names in SUBMODULES.items()},
}
_FILLED_IN: dict[str, dict[str, str]] = {
    "kaizen": {},
    "kaizen.integrations": {},
    "nexus": {"Nexus": "kaizen_nexus.nexus:Nexus"},
}
_PACKAGES = frozenset({"kaizen", "kaizen.integrations", ORIGINAL})

_lock = threading.Lock()


def install() -> None:
    """Make ``from kaizen.integrations.nexus import ...`` resolve to kaizen-nexus.

    Works with or without Kaizen installed; without kailash-nexus, ``from nexus import Nexus``
    resolves to ours, too. Call it before the first import of the original: code that has imported
    names from it already keeps them, and a warning says so. Calling it again changes nothing.
    Thread-safe.

    Warns
    -----
    RuntimeWarning
        The original was imported before.
    """
    with _lock:
        if any(isinstance(finder, _Replacing) for finder in sys.meta_path):
            return
        sys.meta_path.insert(0, _Replacing())
        sys.meta_path.append(_FillingIn())
        loaded = [name for name in _REPLACED if name in sys.modules]
        for name in loaded:
            del sys.modules[name]
        if ORIGINAL in loaded:
            importlib.import_module(ORIGINAL)
    if loaded:
        warnings.warn(
            f"{ORIGINAL} was imported before kaizen_nexus.install(): modules that already hold "
            "names from it keep the original's. Call install() first thing at start-up",
            RuntimeWarning,
            stacklevel=2,
        )


class _Replacing(MetaPathFinder):
    """Answers for the original's package and submodules, ahead of the original itself."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        names = _REPLACED.get(fullname)
        return None if names is None else _spec(fullname, names)


class _FillingIn(MetaPathFinder):
    """Answers for what is not installed, after every other finder has given up."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        names = _FILLED_IN.get(fullname)
        return None if names is None else _spec(fullname, names)


def _spec(fullname: str, names: dict[str, str]) -> ModuleSpec:
    return ModuleSpec(fullname, _FacadeLoader(names), is_package=fullname in _PACKAGES)


class _FacadeLoader(Loader):
    """Fills a module with lazily imported names."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Facade(spec.name, self._names)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the module is complete when it is made."""


class _Facade(ModuleType):
    """A module whose names are those of this package, each imported on first use.

    A submodule without names of ours (``models``) shows the original's, where it is installed.
    """

    def __init__(self, name: str, names: dict[str, str]) -> None:
        super().__init__(name, f"Stands in for {name}; see kaizen_nexus.")
        self._names = names
        self.__all__ = sorted(names)

    def __getattr__(self, attribute: str) -> Any:
        home = self._names.get(attribute)
        if home is not None:
            module, _, name = home.partition(":")
            value = getattr(importlib.import_module(module), name)
        else:
            value = self._of_original(attribute)
        setattr(self, attribute, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._names})

    def _of_original(self, attribute: str) -> Any:
        original = (
            None if attribute.startswith("__") or self._names else _load_original(self.__name__)
        )
        if original is None or not hasattr(original, attribute):
            raise AttributeError(f"module {self.__name__!r} has no attribute {attribute!r}")
        return getattr(original, attribute)


def _load_original(fullname: str) -> ModuleType | None:
    """Return the original's own module, loaded beside ours, or None where it is not installed."""
    parent = fullname.rpartition(".")[0]
    if parent != ORIGINAL:
        return None
    integrations = importlib.import_module("kaizen.integrations")
    package = PathFinder.find_spec(parent, getattr(integrations, "__path__", None))
    locations = None if package is None else package.submodule_search_locations
    spec = PathFinder.find_spec(fullname, locations) if locations else None
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
