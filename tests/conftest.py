from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None)
settings.register_profile("brief", deadline=None, max_examples=20)
settings.register_profile(
    "nightly",
    deadline=None,
    max_examples=1000,
    stateful_step_count=100,
    suppress_health_check=[HealthCheck.too_slow],
)


@dataclass
class Core:
    """The three modules of one implementation, imported by name, never through the selector."""

    name: str
    package: str

    def module(self, name: str) -> ModuleType:
        return importlib.import_module(f"{self.package}.{name}")


COMPILED = Core("c", "kaizen_nexus._core")
PURE = Core("py", "kaizen_nexus._fallback")


def pytest_addoption(parser: pytest.Parser) -> None:
    choice = "run the core's tests on this implementation alone"
    parser.addoption("--core", choices=[COMPILED.name, PURE.name], help=choice)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = config.getoption("--core")
    if chosen is None:
        return
    unwanted = PURE if chosen == COMPILED.name else COMPILED
    kept, dropped = [], []
    for item in items:
        values = item.callspec.params.values() if hasattr(item, "callspec") else ()
        packages = [value.package if isinstance(value, Core) else value for value in values]
        # A fixture of wider scope than `core` has the package's name itself as its parameter.
        drop = any(isinstance(name, str) and name == unwanted.package for name in packages)
        (dropped if drop else kept).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=dropped)


@pytest.fixture(params=[COMPILED, PURE], ids=lambda core: core.name)
def core(request: pytest.FixtureRequest) -> Core:
    """Each test that takes this runs once per implementation of the core."""
    return request.param
