"""The calls that a request takes, as they are listed and counted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import bench.__main__ as harness
from bench import walk

pytest.importorskip("uvicorn")


def test_a_real_request_is_listed_from_the_socket_on_without_the_agents_own_calls() -> None:
    section = walk.measure(lambda _: None)
    walks: Any = section.data["walks"]
    assert set(walks) == set(walk.LIMITS)
    for row, calls in zip(section.rows, walks.values(), strict=True):
        assert calls[0].startswith("http/server/")
        assert any("_fallback/" in call for call in calls), "the core's calls count"
        assert not any("answer_0" in call or "nexus_agents" in call for call in calls)
        assert row.figure == f"{len(calls)} calls of ours"


@pytest.mark.parametrize(("limit", "exit_code"), [(3, 0), (2, 1)])
def test_a_walk_that_is_too_long_fails_the_check(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    limit: int,
    exit_code: int,
) -> None:
    monkeypatch.setattr(walk, "LIMITS", {"a request": limit})
    walks = {"a request": ["a.py:first", "  b.py:second", "a.py:third"]}
    monkeypatch.setattr(walk, "child", SimpleNamespace(run=lambda *_, **__: walks))
    assert harness.main(["walk"]) == 0
    assert harness.main(["walk", "--check"]) == exit_code
    assert "   2   b.py:second\n" in capsys.readouterr().out
