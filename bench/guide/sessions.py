"""Cleaning up expired sessions, and many threads on many sessions."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from bench.comparing import spread
from bench.core.contenders import expect
from bench.guide.assistant import within
from bench.report import Row
from bench.timing import Sample, alternate
from kaizen_nexus import NexusSessionManager

__all__ = ["sessions"]

SESSIONS = 5_000
THREADS = 20
EXPIRED = 1_000


def sessions(rounds: int) -> list[Row]:
    """Measure cleaning up expired sessions, and many threads on many sessions."""
    cleanup = Sample(tuple(cleanup_seconds() for _ in range(rounds)))
    threads = alternate({"threads": many_threads}, max(3, rounds // 5))["threads"]
    what = f"{SESSIONS:,} sessions created, updated and read from {THREADS} threads"
    return [
        within(f"cleanup of {EXPIRED:,} expired sessions", cleanup, 0.01),
        Row(what, f"{spread(threads)}, none lost", "nothing lost", True),
    ]


def cleanup_seconds() -> float:
    """Let sessions expire, and return how long it takes to clean them up."""
    now = [0]
    with NexusSessionManager(
        cleanup_interval=None, session_ttl=60, clock=lambda: now[0]
    ) as manager:
        for number in range(EXPIRED):
            manager.create_session(user_id=f"user_{number}")
        now[0] += 61 * 10**9
        started = time.perf_counter()
        removed = manager.cleanup_expired_sessions()
        seconds = time.perf_counter() - started
    expect("cleanup", "sessions", removed, EXPIRED)
    return seconds


def many_threads() -> None:
    """Create, update and read sessions from many threads; raise if anything is lost."""

    def worker(thread: int) -> None:
        for i in range(SESSIONS // THREADS):
            session_id = manager.create_session(user_id=f"{thread}-{i}").session_id
            manager.update_session_state(session_id, {"a": thread}, channel="api")
            manager.update_session_state(session_id, {"b": i}, channel="mcp")
            state = manager.get_session_state(session_id)
            expect("a thread", "a state", state, {"a": thread, "b": i})

    with NexusSessionManager(cleanup_interval=None) as manager:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(worker, range(THREADS)))
        active = manager.get_session_metrics()["active_sessions"]
        expect("threads", "sessions", active, SESSIONS)
