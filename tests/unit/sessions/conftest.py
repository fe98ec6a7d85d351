from __future__ import annotations

import pytest

from kaizen_nexus import _accel
from kaizen_nexus.sessions import NexusSessionManager

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


@pytest.fixture(autouse=True)
def _implementation(core, monkeypatch):
    """Run every test of the sessions on both implementations of the table."""
    monkeypatch.setattr(_accel, "SessionTable", core.module("session_table").SessionTable)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def make():
    """Make managers that are closed in the end."""
    made = []

    def make(*arguments, **options):
        manager = NexusSessionManager(*arguments, **options)
        made.append(manager)
        return manager

    yield make
    for manager in made:
        manager.close()


@pytest.fixture
def manager(make, clock):
    return make(None, 60, clock=clock)
