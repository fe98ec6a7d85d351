from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from kaizen_nexus.deployment.cache import DeploymentCache


def test_the_least_recently_used_entry_leaves_first() -> None:
    cache = DeploymentCache(max_size=2)
    cache.set("a", 1)
    cache.set("b", 2)
    assert cache.get("a") == 1
    cache.set("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)
    stats = cache.stats()
    assert (stats["size"], stats["evictions"], stats["hits"], stats["misses"]) == (2, 1, 3, 1)


def test_a_thousand_concurrent_requests_build_once() -> None:
    cache = DeploymentCache()
    release = threading.Event()
    builds: list[int] = []

    def build() -> str:
        builds.append(1)
        assert release.wait(10)
        return "built"

    with ThreadPoolExecutor(50) as pool:
        results = [pool.submit(cache.get_or_build, "key", build) for _ in range(1000)]
        release.set()
        assert {result.result(10) for result in results} == {"built"}
    assert builds == [1]
    assert cache.stats()["builds"] == 1


def test_a_failed_build_is_told_to_all_who_wait_and_not_cached() -> None:
    cache = DeploymentCache()
    entered, release = threading.Event(), threading.Event()

    def failing() -> str:
        entered.set()
        assert release.wait(10)
        raise ValueError("no")

    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(cache.get_or_build, "key", failing)
        assert entered.wait(10)
        follower = pool.submit(cache.get_or_build, "key", lambda: "second")
        while cache.stats()["misses"] < 2:
            threading.Event().wait(0.001)
        release.set()
        for result in (leader, follower):
            with pytest.raises(ValueError, match="no"):
                result.result(10)
    assert cache.get_or_build("key", lambda: "third") == "third"
    assert cache.stats()["failed_builds"] == 1


def test_a_cancelled_leader_does_not_fail_the_others() -> None:
    cache = DeploymentCache()
    entered, release = threading.Event(), threading.Event()

    def cancelled() -> str:
        entered.set()
        assert release.wait(10)
        raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(cache.get_or_build, "key", cancelled)
        assert entered.wait(10)
        follower = pool.submit(cache.get_or_build, "key", lambda: "built")
        release.set()
        assert follower.result(10) == "built"
        assert isinstance(leader.exception(10), KeyboardInterrupt)


def test_a_build_that_asks_for_itself_is_told_so() -> None:
    cache = DeploymentCache()

    def build() -> object:
        return cache.get_or_build("key", lambda: "inner")

    with pytest.raises(RuntimeError, match="deploys the same agent again"):
        cache.get_or_build("key", build)


def test_waiting_for_another_build_is_bounded() -> None:
    cache = DeploymentCache(build_timeout=0.01)
    entered, release = threading.Event(), threading.Event()

    def slow() -> str:
        entered.set()
        assert release.wait(10)
        return "built"

    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(cache.get_or_build, "key", slow)
        assert entered.wait(10)
        with pytest.raises(TimeoutError):
            cache.get_or_build("key", slow)
        release.set()
        assert leader.result(10) == "built"


def test_what_was_being_built_during_an_invalidation_is_not_cached() -> None:
    cache = DeploymentCache()

    def build() -> str:
        cache.invalidate()
        return "stale"

    assert cache.get_or_build("key", build) == "stale"
    assert cache.get("key") is None


def test_invalidation_forgets_one_or_all() -> None:
    cache = DeploymentCache()
    cache.set("a", 1)
    cache.set("b", 2)
    cache.invalidate("a")
    assert (cache.get("a"), cache.get("b")) == (None, 2)
    cache.invalidate()
    assert cache.stats()["size"] == 0


def test_an_entry_that_leaves_may_use_the_cache_in_its_destructor() -> None:
    cache = DeploymentCache(max_size=1)
    seen: list[object] = []

    class Entry:
        def __del__(self) -> None:
            seen.append(cache.stats()["size"])

    cache.set("a", Entry())
    cache.set("b", 1)
    cache.set("b", Entry())
    cache.invalidate()
    gc.collect()
    assert len(seen) == 2


def test_entries_are_kept_alive_by_nothing_else() -> None:
    class Entry:
        pass

    cache = DeploymentCache()
    entry = Entry()
    alive = weakref.ref(entry)
    cache.set("a", entry)
    del entry
    assert alive() is not None
    cache.invalidate("a")
    assert alive() is None


@pytest.mark.parametrize("size", [0, -1, True, 1.5, None])
def test_a_bad_size_is_refused(size: object) -> None:
    with pytest.raises(ValueError, match="max_size"):
        DeploymentCache(size)  # type: ignore[arg-type]
