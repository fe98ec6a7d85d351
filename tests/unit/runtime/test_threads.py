"""Calls in threads, at the moments between which nobody can tell."""

from __future__ import annotations

from kaizen_nexus.runtime.threads import _Work


def test_what_is_abandoned_before_it_begins_never_does() -> None:
    """A thread may have it already: then it is not too late, and nothing was counted."""
    called: list[str] = []
    changes: list[int] = []
    work = _Work(lambda: called.append("agent"), changes.append)
    work.abandon()
    assert work() is None
    assert (called, changes) == ([], [])


def test_what_is_abandoned_while_it_runs_counts_until_its_end() -> None:
    changes: list[int] = []

    def agent() -> str:
        work.abandon()
        assert changes == [1]
        return "late"

    work = _Work(agent, changes.append)
    assert work() == "late"
    assert changes == [1, -1]
    work.abandon()
    assert changes == [1, -1]
