"""Modules that stand in for the original's: their names resolve to ours."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

__all__ = ["Facade"]

_OWN = ("_homes", "_submodules")

_defined: dict[str, Any] = {}
"""By home, the values from before something was set through a module that stands in."""


class Facade(ModuleType):
    """A module whose names are looked up in the modules of ours that define them.

    A submodule shares its names with the module that defines them: that module's own code sees what
    `unittest.mock.patch` sets here, as in the original. A package has its own names, as after
    ``from .x import y``: setting one here or in a submodule does not change the other.

    Parameters
    ----------
    name
        The full name of the module.
    homes
        For each name, ``module:attribute`` of ours.
    submodules
        For a package, the submodules that it imports on attribute access.
    """

    _homes: Mapping[str, str]
    _submodules: frozenset[str]

    def __init__(
        self, name: str, homes: Mapping[str, str], submodules: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(name, f"Stands in for {name}; see kaizen_nexus.")
        vars(self).update(_homes=homes, _submodules=submodules)
        self.reset()

    def reset(self) -> None:
        """Undo what was set here, as executing the module again would."""
        own = vars(self)
        for name in [name for name in own if name in self._homes]:
            del own[name]
        own["__all__"] = sorted(name for name in self._homes if _is_exported(name))

    def __getattr__(self, name: str) -> Any:
        home = self._homes.get(name)
        if home is not None:
            if self._submodules and home in _defined:
                return _defined[home]
            module, attribute = _resolve(home)
            return getattr(module, attribute)
        if name in self._submodules:
            return importlib.import_module(f"{self.__name__}.{name}")
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if self._is_shared(name):
            home = self._homes[name]
            module, attribute = _resolve(home)
            if home not in _defined:
                _defined[home] = getattr(module, attribute)
            setattr(module, attribute, value)
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if self._is_shared(name):
            module, attribute = _resolve(self._homes[name])
            delattr(module, attribute)
        else:
            super().__delattr__(name)

    def __dir__(self) -> list[str]:
        shown = {*super().__dir__(), *self._homes, *self._submodules}
        return sorted(shown.difference(_OWN))

    def _is_shared(self, name: str) -> bool:
        return name in self._homes and not self._submodules


def _resolve(home: str) -> tuple[ModuleType, str]:
    module, _, attribute = home.partition(":")
    return importlib.import_module(module), attribute


def _is_exported(name: str) -> bool:
    """Whether ``import *`` gives it; the original lists one private name, and not ``Nexus``."""
    return name == "_DATAFLOW_AVAILABLE" or (not name.startswith("_") and name != "Nexus")
