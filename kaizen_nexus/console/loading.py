"""Finding the app that ``module:app`` or ``path/to/file.py:app`` names."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kaizen_nexus.nexus import Nexus

__all__ = ["folder_of", "load_app"]

DEFAULT_ATTRIBUTE = "app"


def load_app(target: str) -> Nexus:
    """Import what `target` names and return the `Nexus` it holds.

    Parameters
    ----------
    target
        A module or the path of a Python file, then a colon and the app's name there; the name is
        ``app`` if it is left out. Modules are looked for in the working directory first.

    Raises
    ------
    click.UsageError
        There is no such module, file or name, or it is not a `Nexus`. What the module itself
        raises while it is imported is not caught.
    """
    place, attribute = _split(target)
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    found: object = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise click.UsageError(f"{place} has no {attribute!r}: {_apps_in(module, place)}")
        found = getattr(found, name)

    from kaizen_nexus.nexus import Nexus

    if not isinstance(found, Nexus):
        kind = type(found).__qualname__
        raise click.UsageError(
            f"{place}:{attribute} is of type {kind}, not Nexus: {_apps_in(module, place)}"
        )
    return found


def folder_of(target: str) -> Path:
    """Return the folder in which `load_app` looks for `target` first."""
    place, _ = _split(target)
    return Path(place).parent if place.endswith(".py") else Path.cwd()


def _split(target: str) -> tuple[str, str]:
    """Return the module or file that `target` names, and the app's name there."""
    place, _, attribute = target.rpartition(":")
    if not place or "/" in attribute or "\\" in attribute:
        place, attribute = target, ""
    return place, attribute or DEFAULT_ATTRIBUTE


def _load_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise click.UsageError(
            f"{name!r} is neither a module nor a Python file: write module:app or path/file.py:app"
        )
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The module itself may be there, and import one that is missing.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise click.UsageError(
            f"there is no module {error.name!r} in {folder}, and none is installed"
        ) from None


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise click.UsageError(f"there is no file {path}")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    name = path.stem if path.stem not in sys.modules else f"_nexus_app_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise click.UsageError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    # Annotations of a module that is imported by path are resolved through sys.modules.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _apps_in(module: ModuleType, place: str) -> str:
    from kaizen_nexus.nexus import Nexus

    names = [name for name, value in vars(module).items() if isinstance(value, Nexus)]
    if not names:
        return "it defines no Nexus app; write app = Nexus() there"
    return f"try {' or '.join(f'{place}:{name}' for name in names)}"
