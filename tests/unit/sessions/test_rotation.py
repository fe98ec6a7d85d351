"""A session under another id: nothing of it is lost, whatever is done to it meanwhile."""

from __future__ import annotations

import sys
import threading

import pytest

from kaizen_nexus.sessions.rotation import rotated

ROUNDS = 30
HELD = 2_000
"""How many keys a state has beforehand, so that looking at them takes a while."""


@pytest.fixture
def _hasty():
    """Let threads take turns often."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_a_rotated_session_is_the_same_under_another_id(manager, clock):
    session = manager.create_session("old", "ada", ttl_hours=2)
    manager.update_session_state("old", {"a": 1}, channel="cli")
    manager.bind_memory_pool("old", "pool")
    clock.tick(3_600)
    successor = rotated(manager, session)
    assert successor.session_id != "old"
    assert manager.get_session("old") is None
    for name in (
        "user_id",
        "created_at",
        "expires_at",
        "state",
        "version",
        "memory_pool_id",
        "ttl",
    ):
        assert getattr(successor, name) == getattr(session, name), name
    assert successor.memory_pool_id == "pool"
    assert dict(successor.channel_activity) == dict(session.channel_activity)
    clock.tick(3_599)
    assert manager.get_session(successor.session_id) == successor
    clock.tick(7_200)
    assert manager.get_session(successor.session_id) is None


@pytest.mark.usefixtures("_hasty")
def test_what_is_merged_meanwhile_is_kept(make):
    manager = make(None)
    for _ in range(ROUNDS):
        session = manager.create_session(user_id="ada")
        session.update_state(dict.fromkeys(map(str, range(HELD))))
        merged = []
        begun = threading.Event()

        def merge(session_id=session.session_id, merged=merged, begun=begun):
            number = 0
            while manager.update_session_state(session_id, {f"late {number}": True}):
                merged.append(f"late {number}")
                number += 1
                begun.set()

        thread = threading.Thread(target=merge)
        thread.start()
        assert begun.wait(30)
        try:
            successor = rotated(manager, session)
        finally:
            manager.delete_session(session.session_id)
            thread.join()
        state = manager.get_session_state(successor.session_id)
        assert state.keys() == {*map(str, range(HELD)), *merged}
        assert successor.version == 1 + len(merged)
