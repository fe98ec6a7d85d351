from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import pytest

from kaizen_nexus import _accel, sessions

SECOND = 1_000_000_000


class FakeClock:
    """A monotonic clock that moves when it is told to, and fails when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000 * SECOND
        self.error: BaseException | None = None

    def __call__(self) -> int:
        if self.error is not None:
            raise self.error
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)


OTHERS: dict[str, dict[str, ModuleType]] = {}


def modules_on(core: Any) -> dict[str, ModuleType]:
    """Return the modules of the package, imported anew for the core that is not in use."""
    if core.name == _accel.IMPLEMENTATION:
        return {}
    if core.name not in OTHERS:
        table = core.module("session_table")
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in sys.modules if name.startswith(sessions.__name__)]:
                patch.delitem(sys.modules, name)
            for name in ("SessionCalls", "SessionHandle", "SessionTable"):
                patch.setattr(_accel, name, getattr(table, name))
            importlib.import_module(sessions.__name__)
            importlib.import_module(f"{sessions.__name__}.rotation")
            names = [name for name in sys.modules if name.startswith(sessions.__name__)]
            OTHERS[core.name] = {name: sys.modules.pop(name) for name in names}
        importlib.import_module(sessions.__name__)
    return OTHERS[core.name]


@pytest.fixture(autouse=True)
def _implementation(core, request, monkeypatch):
    """Run every test of the sessions on both implementations of the core."""
    for name, module in modules_on(core).items():
        monkeypatch.setitem(sys.modules, name, module)
        for attribute, value in vars(request.module).items():
            known = getattr(value, "__module__", None) == name
            if known and hasattr(module, getattr(value, "__name__", "")):
                monkeypatch.setattr(request.module, attribute, getattr(module, value.__name__))


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def make():
    """Make managers that are closed in the end."""
    made = []

    def make(*arguments, **options):
        manager = sys.modules[sessions.__name__].NexusSessionManager(*arguments, **options)
        made.append(manager)
        return manager

    yield make
    for manager in made:
        manager.close()


@pytest.fixture
def manager(make, clock):
    return make(None, 60, clock=clock)
