"""A bounded LRU cache of built workflows, with single-flight building and statistics."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypedDict

from kaizen_nexus.agents.adapters import AgentShape, describe_agent
from kaizen_nexus.deployment.cache_entries import Entry, EntryReport, KeyComparison, compare
from kaizen_nexus.deployment.fingerprint import PLAN, Fingerprint, fingerprint

__all__ = ["CacheStats", "DeploymentCache", "clear_deployment_cache", "get_deployment_cache"]

DEFAULT_MAX_SIZE = 100
DEFAULT_BUILD_TIMEOUT = 60.0
MAX_REASON = 500
"""The most characters kept of the reason why an agent is not cached."""

_ABANDONED = object()
"""The outcome of a build whose thread was interrupted: another thread has to build."""


class CacheStats(TypedDict):
    """Counts of a cache since its creation."""

    size: int
    max_size: int
    hits: int
    misses: int
    evictions: int
    builds: int
    failed_builds: int
    build_seconds: float
    """The sum over all builds."""
    undescribed: int
    """Deployments whose agent could not be described, and so not cached."""


class _Flight:
    """One build in progress."""

    def __init__(self) -> None:
        self.leader = threading.get_ident()
        self.outcome: Future[Any] = Future()


class DeploymentCache:
    """Built workflows by fingerprint; the least recently used one is evicted first.

    All methods may be called from any thread. Nothing is built, compared or destroyed under the
    lock. Concurrent requests for one key build once. A failed build is not cached, and its error
    is raised to all that waited for it; if a build is interrupted, one of them takes over.

    Parameters
    ----------
    max_size
        How many entries to keep, at least 1.
    build_timeout
        Seconds that a request waits for another thread's build of the same key.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        max_size: int = DEFAULT_MAX_SIZE,
        *,
        build_timeout: float = DEFAULT_BUILD_TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(max_size, bool) or not isinstance(max_size, int) or max_size < 1:
            raise ValueError(f"max_size must be a whole number of at least 1, not {max_size!r}")
        self.max_size = max_size
        self._build_timeout = build_timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._uncached: OrderedDict[str, str] = OrderedDict()
        self._flights: dict[str, _Flight] = {}
        self._generation = 0
        self._hits = self._misses = self._evictions = self._failures = 0
        self._builds = self._build_ns = self._undescribed = 0

    @staticmethod
    def create_cache_key(agent: object, name: str) -> str:
        """Return the key under which deploying `agent` as `name` caches its plan.

        Raises
        ------
        TypeError
            The agent cannot be deployed, or something in it has no canonical encoding.
        """
        return fingerprint(agent, name, describe_agent(agent), PLAN)

    def key_for(
        self, agent: object, name: str, shape: AgentShape, flavour: str
    ) -> Fingerprint | None:
        """Return the key to cache `agent` under, or None if it cannot be described.

        Such an agent is not cached: `stats` counts it, and `uncached` gives the reason.
        """
        try:
            return fingerprint(agent, name, shape, flavour)
        except (TypeError, ValueError, RuntimeError) as error:
            reason = str(error)[:MAX_REASON]
        with self._lock:
            self._undescribed += 1
            self._uncached[name] = reason
            self._uncached.move_to_end(name)
            while len(self._uncached) > self.max_size:
                self._uncached.popitem(last=False)
        return None

    def get(self, cache_key: str) -> Any | None:
        """Return the entry, or None; it is the most recently used one then."""
        with self._lock:
            return self._find(cache_key)

    def _find(self, cache_key: str) -> Any | None:
        """Return the entry and count the look-up; the caller holds the lock."""
        entry = self._entries.get(cache_key)
        if entry is None:
            self._misses += 1
            return None
        self._entries.move_to_end(cache_key)
        self._hits += 1
        entry.hits += 1
        return entry.value

    def set(self, cache_key: str, workflow: Any) -> None:
        """Store an entry, evicting the least recently used one if there are too many."""
        if workflow is None:
            raise ValueError("None cannot be cached: it is what get() returns for a missing entry")
        self._store(cache_key, Entry(workflow, cache_key, self._clock()))

    def _store(self, cache_key: str, entry: Entry) -> None:
        key = str(cache_key)
        leaving: list[object] = []
        with self._lock:
            leaving.append(self._entries.pop(key, None))
            self._entries[key] = entry
            while len(self._entries) > self.max_size:
                leaving.append(self._entries.popitem(last=False))
                self._evictions += 1

    def get_or_build(self, cache_key: str, build: Callable[[], Any]) -> Any:
        """Return the entry; without one, build it in one of the threads that ask for it.

        Raises
        ------
        TimeoutError
            Another thread's build took longer than `build_timeout`.
        RuntimeError
            A build asks for its own key.
        """
        while True:
            with self._lock:
                entry = self._find(cache_key)
                if entry is not None:
                    return entry
                flight = self._flights.get(cache_key)
                leading = flight is None
                if flight is None:
                    flight = self._flights[cache_key] = _Flight()
            if leading:
                return self._lead(cache_key, flight, build)
            if flight.leader == threading.get_ident():
                raise RuntimeError("building a workflow deploys the same agent again")
            try:
                outcome = flight.outcome.result(self._build_timeout)
            except FutureTimeoutError:
                # On Python 3.10 this is a class of its own.
                raise TimeoutError(
                    "another thread has been building the same workflow for more than "
                    f"{self._build_timeout:g} s"
                ) from None
            if outcome is not _ABANDONED:
                return outcome

    def _lead(self, cache_key: str, flight: _Flight, build: Callable[[], Any]) -> Any:
        generation = self._generation
        started = time.perf_counter_ns()
        try:
            built = build()
            elapsed = time.perf_counter_ns() - started
            entry = Entry(built, cache_key, self._clock(), elapsed / 1e9)
        except Exception as error:
            self._land(cache_key, flight, failed=True)
            flight.outcome.set_exception(error)
            raise
        except BaseException:
            self._land(cache_key, flight, failed=True)
            flight.outcome.set_result(_ABANDONED)
            raise
        # After an invalidation during the build, the result may be stale already.
        if generation == self._generation:
            self._store(cache_key, entry)
        self._land(cache_key, flight, elapsed_ns=elapsed)
        flight.outcome.set_result(built)
        return built

    def _land(
        self, cache_key: str, flight: _Flight, *, elapsed_ns: int = 0, failed: bool = False
    ) -> None:
        with self._lock:
            if self._flights.get(cache_key) is flight:
                del self._flights[cache_key]
            self._failures += failed
            self._builds += not failed
            self._build_ns += elapsed_ns

    def invalidate(self, cache_key: str | None = None) -> None:
        """Remove one entry or, without a key, all; builds in progress are not cached, either."""
        with self._lock:
            self._generation += 1
            leaving: Any
            if not cache_key:
                leaving, self._entries = self._entries, OrderedDict()
                self._flights = {}
                self._uncached = OrderedDict()
            else:
                leaving = self._entries.pop(cache_key, None)
                self._flights.pop(cache_key, None)
        del leaving

    def entries(self) -> list[EntryReport]:
        """Return a report on each entry, the least recently used one first."""
        now = self._clock()
        return [entry.report(key, now) for key, entry in self._snapshot().items()]

    def why(self, a: str, b: str) -> KeyComparison:
        """Return in which fields the keys of two entries differ.

        Parameters
        ----------
        a, b
            Keys, the first digits of keys, or names that one entry has.

        Returns
        -------
        KeyComparison
            Its ``differences`` read, as text, ``config.temperature: 0.7 -> 0.3``. Long values are
            shortened, and secrets replaced by digests.

        Raises
        ------
        EntryNotFoundError
            There is no such entry, or there are several.
        """
        return compare(self._snapshot(), a, b)

    def uncached(self) -> dict[str, str]:
        """Return the reasons why agents were not cached, by the names of their deployments."""
        with self._lock:
            return dict(self._uncached)

    def _snapshot(self) -> dict[str, Entry]:
        with self._lock:
            return dict(self._entries)

    def stats(self) -> CacheStats:
        """Return counts since creation."""
        with self._lock:
            return {
                "size": len(self._entries),
                "max_size": self.max_size,
                "hits": self._hits,
                "misses": self._misses,
                "evictions": self._evictions,
                "builds": self._builds,
                "failed_builds": self._failures,
                "build_seconds": self._build_ns / 1e9,
                "undescribed": self._undescribed,
            }


_default = DeploymentCache()


def get_deployment_cache() -> DeploymentCache:
    """Return the cache that the deployment functions of this process share."""
    return _default


def clear_deployment_cache() -> None:
    """Empty the cache that deployments share; deployed workflows stay deployed."""
    _default.invalidate()
