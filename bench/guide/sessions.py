"""Cleaning up expired sessions, and many threads on many sessions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from bench.guide.figures import expect, milliseconds, once
from bench.report import Row
from bench.timing import Sample
from kaizen_nexus import NexusSessionManager

__all__ = ["sessions"]

SESSIONS = 5_000
THREADS = 20
EXPIRED = 1_000


def sessions(rounds: int) -> list[Row]:
    """Measure cleaning up expired sessions, and many threads on many sessions."""
    now = [0]
    with NexusSessionManager(
        cleanup_interval=None, session_ttl=60, clock=lambda: now[0]
    ) as manager:
        seconds = []
        for _ in range(rounds):
            for i in range(EXPIRED):
                manager.create_session(user_id=f"user_{i}")
            now[0] += 61 * 10**9
            sample = once(lambda: expect(manager.cleanup_expired_sessions(), EXPIRED))
            seconds.append(sample)
    cleanup = Sample(tuple(seconds))
    threads = Sample(tuple(once(many_threads) for _ in range(max(3, rounds // 5))))
    return [
        Row(
            f"cleanup of {EXPIRED:,} expired sessions",
            milliseconds(cleanup),
            "10 ms",
            cleanup.median < 0.010,
        ),
        Row(
            f"{SESSIONS:,} sessions created, updated and read from {THREADS} threads",
            f"{milliseconds(threads)}, none lost",
            "nothing lost",
            True,
        ),
    ]


def many_threads() -> None:
    """Create, update and read sessions from many threads; raise if anything is lost."""

    def worker(thread: int) -> int:
        for i in range(SESSIONS // THREADS):
            session_id = manager.create_session(user_id=f"{thread}-{i}").session_id
            manager.update_session_state(session_id, {"a": thread}, channel="api")
            manager.update_session_state(session_id, {"b": i}, channel="mcp")
            expect(manager.get_session_state(session_id), {"a": thread, "b": i})
        return SESSIONS // THREADS

    with NexusSessionManager(cleanup_interval=None) as manager:
        with ThreadPoolExecutor(THREADS) as pool:
            expect(sum(pool.map(worker, range(THREADS))), SESSIONS)
        expect(manager.get_session_metrics()["active_sessions"], SESSIONS)
