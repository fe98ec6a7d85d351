"""``nexus serve --reload``: load the app's modules again when one of its files changes.

The server, its connections, sessions and metrics stay. All modules in the app's folder are replaced
together, since one that did not change may refer to one that did.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click

from kaizen_nexus.console.loading import load_app
from kaizen_nexus.deployment.cache import clear_deployment_cache

if TYPE_CHECKING:
    from kaizen_nexus.nexus import Nexus

__all__ = ["Reloader"]

Stamps = dict[Path, tuple[int, int] | None]
"""Time of modification and size of each file; None if it is missing, or changed while loading."""
PATIENCE = 3.0
"""Seconds after which a message says that loading goes on."""
TICK = 10_000_000
"""Nanoseconds by which the time of modification may be earlier than the change."""
_FOREIGN = frozenset({"site-packages", "dist-packages"})
_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()
_OWN = __name__.partition(".")[0]


class Reloader:
    """Watches the modules in an app's folder, and replaces what they deployed when they change.

    Parameters
    ----------
    app
        The app that is served, just loaded.
    target
        What `load_app` was given.
    folder
        Where the app's own modules are; the standard library and installed packages are left alone,
        even if they are below it.
    since
        When loading the app began, in nanoseconds since the epoch: a file that was saved later may
        not be what was loaded.
    """

    def __init__(self, app: Nexus, target: str, folder: Path, since: int) -> None:
        self._app = app
        self._target = target
        self._folder = folder.resolve()
        self._names = app.runtime.registry.names()
        self._files: set[Path] = set()
        self._seen: Stamps = {}
        self._changed: Stamps = {}
        self._watch(self._files_of(self._modules().values()), since)

    def poll(self) -> None:
        """Reload if a file has changed, but not since the last call: it may be half written."""
        stamps = _stamps(self._files)
        settled, self._changed = stamps == self._changed, stamps
        if settled and stamps != self._seen:
            self._seen = stamps
            with _message_if_it_lasts(f"Still loading {self._target}. The former code answers."):
                outcome = self._reload()
            # Only now, when nothing refers to the old modules any more.
            click.echo(outcome, err=True)

    def _reload(self) -> str:
        """Replace the modules, or keep them if that fails; return a message about it."""
        since = time.time_ns()
        former = self._modules()
        for name in former:
            del sys.modules[name]
        importlib.invalidate_caches()
        # Cached plans refer to classes of the old modules.
        clear_deployment_cache()
        try:
            fresh = load_app(self._target)
        except (Exception, SystemExit) as error:
            files = {*self._files_of(self._modules().values()), *_files_behind(error)}
            self._watch(files, since)
            for name in self._modules():
                del sys.modules[name]
            sys.modules.update(former)
            if not isinstance(error, click.ClickException):
                traceback.print_exception(error)
            reason = (
                f": {error.format_message()}" if isinstance(error, click.ClickException) else ""
            )
            return f"Not reloaded{reason}. The former code still answers."
        modules = self._modules()
        self._watch(self._files_of(modules.values()), since)
        if fresh is self._app:  # from outside the folder; these modules deploy to it
            self._names = self._app.runtime.registry.names()
        else:
            self._adopt(fresh, modules.values())
        return f"Reloaded. Workflows: {', '.join(self._names) or 'none'}"

    def _adopt(self, fresh: Nexus, modules: Iterable[ModuleType]) -> None:
        """Deploy on the running app what `fresh` has, and replace `fresh` by it in the modules."""
        registry = self._app.runtime.registry
        names = fresh.runtime.registry.names()
        for name in names:
            registry.replace(name, fresh.runtime.registry.channels_of(name))
        for name in set(self._names) - set(names):
            registry.remove(name)
        self._names = names
        for module in modules:
            for attribute, value in list(vars(module).items()):
                if value is fresh:
                    setattr(module, attribute, self._app)
        fresh.close()

    def _watch(self, files: set[Path], since: int) -> None:
        """Watch these files too; one that changed since loading began counts as changed."""
        new = _stamps(files - self._files)
        self._files |= files
        for file, stamp in new.items():
            if stamp is not None and stamp[0] > since - TICK:
                new[file] = None
        self._seen = {**self._seen, **new}
        self._changed = dict(self._seen)

    def _modules(self) -> dict[str, ModuleType]:
        """Return the modules that are loaded from the folder."""
        return {
            name: module
            for name, module in list(sys.modules.items())
            if name != "__main__"
            and name.partition(".")[0] != _OWN
            and (path := _path_of(module)) is not None
            and path.is_relative_to(self._folder)
            and not path.is_relative_to(_STANDARD_LIBRARY)
            and _FOREIGN.isdisjoint(path.parts)
        }

    @staticmethod
    def _files_of(modules: Iterable[ModuleType]) -> set[Path]:
        return {path for module in modules if (path := _path_of(module)) is not None}


@contextlib.contextmanager
def _message_if_it_lasts(text: str) -> Iterator[None]:
    """Print `text` once if the block takes longer than `PATIENCE`."""
    timer = threading.Timer(PATIENCE, click.echo, (text,), {"err": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _path_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) else None


def _stamps(files: Iterable[Path]) -> Stamps:
    """Return time of modification and size of each file; None if it is missing."""
    return {file: _stamp(file) for file in files}


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _files_behind(error: BaseException) -> set[Path]:
    """Return the Python files in which an error may have to be fixed, imported or not."""
    files = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
    if isinstance(error, SyntaxError) and error.filename:
        files.add(error.filename)
    return {path for file in files if (path := Path(file)).suffix == ".py" and path.is_file()}
