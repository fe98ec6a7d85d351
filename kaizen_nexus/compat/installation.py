"""`install` and `uninstall`: whether ``import kaizen.integrations.nexus`` finds this package."""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from kaizen_nexus.compat.dataflow import original_locations
from kaizen_nexus.compat.facade import Facade
from kaizen_nexus.compat.names import ORIGINAL, PACKAGE_NAMES, SUBMODULES

__all__ = ["install", "uninstall"]

_REPLACED: dict[str, dict[str, str]] = {
    ORIGINAL: PACKAGE_NAMES,
    **{f"{ORIGINAL}.{name}": names for name, names in SUBMODULES.items()},
}
_FILLED_IN: dict[str, dict[str, str]] = {
    "kaizen": {},
    "kaizen.integrations": {},
    "nexus": {"Nexus": "kaizen_nexus.nexus:Nexus"},
}
_SUBMODULES_OF: dict[str, frozenset[str]] = {
    "kaizen": frozenset({"integrations"}),
    "kaizen.integrations": frozenset({"nexus"}),
    ORIGINAL: frozenset(SUBMODULES),
}
_MISSING: Any = object()

# Re-entrant: an import that runs under it may call `install`, too.
_lock = threading.RLock()
_installed: _Installation | None = None


def install() -> None:
    """Make ``from kaizen.integrations.nexus import ...`` resolve to kaizen-nexus.

    Works with or without Kaizen installed; without kailash-nexus, ``from nexus import Nexus``
    resolves to ours, too. Call it before the first import of the original: code that has imported
    names from it already keeps them, and a warning says so. Calling it again changes nothing.
    `uninstall` undoes it. Thread-safe.

    Warns
    -----
    RuntimeWarning
        The original was imported before.
    """
    global _installed  # noqa: PLW0603 - imports are global, and so is what answers them
    with _lock:
        if _installed is not None:
            if _installed.in_force:
                return
            _installed.undo()
        _installed = _Installation()
        replaced = _installed.replaced
    if replaced:
        warnings.warn(
            f"{ORIGINAL} was imported before kaizen_nexus.install(): modules that already hold "
            "names from it keep the original's. Call install() first thing at start-up",
            RuntimeWarning,
            stacklevel=2,
        )


def uninstall() -> None:
    """Undo `install`: imports find the original again, if it is installed.

    Modules of the original that were imported before `install` come back as the same objects. Code
    that imported names meanwhile keeps ours. Without an installation it changes nothing.
    Thread-safe.
    """
    global _installed  # noqa: PLW0603 - see install
    with _lock:
        if _installed is not None:
            _installed.undo()
            _installed = None


class _Installation:
    """The finders that answer for the original, and the modules that they replaced."""

    def __init__(self) -> None:
        # The second answers only for modules that no other finder has found.
        self._finders = (_Finder(_REPLACED), _Finder(_FILLED_IN))
        sys.meta_path.insert(0, self._finders[0])
        sys.meta_path.append(self._finders[1])
        parent, child = _split(ORIGINAL)
        for name in _REPLACED:
            if sys.modules.get(name) is not None:
                importlib.import_module(name)  # waits for another thread that is importing it
        self._attribute = _attribute(parent, child)
        self.replaced = {name: sys.modules.pop(name) for name in _REPLACED if name in sys.modules}
        if self._attribute is not _MISSING:
            # The parent package, which others may hold, gets ours as its attribute.
            importlib.import_module(ORIGINAL)

    @property
    def in_force(self) -> bool:
        """Whether the finders are in `sys.meta_path`: code that restores it removes them."""
        return all(finder in sys.meta_path for finder in self._finders)

    def undo(self) -> None:
        """Remove the finders and restore what they replaced, except what others have changed."""
        for finder in self._finders:
            with contextlib.suppress(ValueError):  # removed by other code
                sys.meta_path.remove(finder)
        for name in reversed([*_FILLED_IN, *_REPLACED]):
            parent, child = _split(name)
            if isinstance(_attribute(parent, child), Facade):
                delattr(sys.modules[parent], child)
            if isinstance(sys.modules.get(name), Facade):
                del sys.modules[name]
        for name, module in self.replaced.items():
            sys.modules.setdefault(name, module)
        parent, child = _split(ORIGINAL)
        if self._attribute is not _MISSING and _attribute(parent, child) is _MISSING:
            setattr(sys.modules[parent], child, self._attribute)


def _split(name: str) -> tuple[str, str]:
    parent, _, child = name.rpartition(".")
    return parent, child


def _attribute(module: str, name: str) -> Any:
    """Return an attribute of an imported module, without importing anything for it."""
    holder = sys.modules.get(module)
    return _MISSING if holder is None else vars(holder).get(name, _MISSING)


class _Finder(MetaPathFinder):
    """Finds modules that stand in for others.

    Parameters
    ----------
    modules
        For each module's full name, its names.
    """

    def __init__(self, modules: dict[str, dict[str, str]]) -> None:
        self._modules = modules

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        names = self._modules.get(fullname)
        if names is None:
            return None
        loader = _FacadeLoader(names)
        spec = ModuleSpec(fullname, loader, is_package=fullname in _SUBMODULES_OF)
        if fullname == ORIGINAL:
            # Modules that only the installed version has are still found.
            spec.submodule_search_locations = original_locations(path)
        return spec


class _FacadeLoader(Loader):
    """Makes a module that stands in."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Facade(spec.name, self._names, _SUBMODULES_OF.get(spec.name, frozenset()))

    def exec_module(self, module: ModuleType) -> None:
        """Reset the module, as `importlib.reload` expects."""
        if isinstance(module, Facade):
            module.reset()
