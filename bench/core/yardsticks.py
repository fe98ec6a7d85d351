"""What one would use instead of a session table: a dict under a lock, or a library's TTL cache.

Neither is safe under threads by itself, hence the lock. Both are swept in one go, under it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any
from uuid import uuid4

from bench.core.store import BRIEF, ROOM, STATE, TTL, Store

__all__ = ["locked_dict", "ttl_cache"]


class _LockedDict:
    """A dict from ids to [expiry, state]."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Any]] = {}
        self._lock = threading.Lock()

    def get(self, session_id: str, _: str) -> dict[str, Any] | None:
        now = time.monotonic()
        with self._lock:
            row = self._rows.get(session_id)
            if row is None or row[0] <= now:
                return None
            row[0] = now + TTL
            state: dict[str, Any] = row[1]
            return state.copy()

    def update(self, session_id: str, updates: dict[str, Any], _: str) -> bool:
        now = time.monotonic()
        with self._lock:
            row = self._rows.get(session_id)
            if row is None or row[0] <= now:
                return False
            row[0] = now + TTL
            row[1].update(updates)
        return True

    def create(self, ttl: float = TTL, state: Mapping[str, Any] | None = None) -> str:
        session_id = uuid4().hex
        with self._lock:
            self._rows[session_id] = [time.monotonic() + ttl, dict(state or {})]
        return session_id

    def fill(self, ids: Sequence[str], state: Mapping[str, Any] | None) -> None:
        expires = time.monotonic() + TTL
        self._rows.update((session_id, [expires, dict(state or {})]) for session_id in ids)

    def expire(self, ids: Sequence[str]) -> None:
        now = time.monotonic()
        for session_id in ids:
            self._rows[session_id][0] = now

    def sweep(self) -> int:
        now = time.monotonic()
        with self._lock:
            expired = [key for key, row in list(self._rows.items()) if row[0] <= now]
            for key in expired:
                del self._rows[key]
        return len(expired)

    def ids(self) -> list[str]:
        return list(self._rows)

    def delete(self, session_id: str) -> object:
        with self._lock:
            return self._rows.pop(session_id, None)

    def __len__(self) -> int:
        return len(self._rows)


class _TTLCache:
    """A `cachetools.TTLCache`, whose entries start anew when they are read.

    Its entries all live equally long, by a timer that is set here, so that those which were filled
    in first can be made to expire.
    """

    def __init__(self, cachetools: ModuleType) -> None:
        self._now = 0.0
        self._filled = 0
        self._cache: Any = cachetools.TTLCache(ROOM, TTL, timer=lambda: self._now)
        self._lock = threading.Lock()

    def get(self, session_id: str, _: str) -> dict[str, Any] | None:
        with self._lock:
            state: dict[str, Any] | None = self._cache.get(session_id)
            if state is None:
                return None
            self._cache[session_id] = state
            return state.copy()

    def update(self, session_id: str, updates: dict[str, Any], _: str) -> bool:
        with self._lock:
            state = self._cache.get(session_id)
            if state is None:
                return False
            state.update(updates)
            self._cache[session_id] = state
        return True

    def create(self, state: Mapping[str, Any] | None = None) -> str:
        session_id = uuid4().hex
        with self._lock:
            self._cache[session_id] = dict(state or {})
        return session_id

    def fill(self, ids: Sequence[str], state: Mapping[str, Any] | None) -> None:
        self._now = float(self._filled)
        self._filled += 1
        for session_id in ids:
            self._cache[session_id] = dict(state or {})

    def expire(self, _: Sequence[str]) -> None:
        self._now = TTL

    def sweep(self) -> int:
        with self._lock:
            return len(self._cache.expire())

    def ids(self) -> list[str]:
        with self._lock:
            return list(self._cache)

    def delete(self, session_id: str) -> object:
        with self._lock:
            return self._cache.pop(session_id, None)

    def __len__(self) -> int:
        with self._lock:
            return len(self._cache)


def locked_dict(_: ModuleType) -> Store:
    """Return an empty store on a dict."""
    rows = _LockedDict()
    return _store(rows, create_brief=lambda: rows.create(BRIEF))


def ttl_cache(cachetools: ModuleType) -> Store:
    """Return an empty store on a `TTLCache`, where no session is briefer than another."""
    cache = _TTLCache(cachetools)
    return _store(cache, create_brief=cache.create)


def _store(rows: _LockedDict | _TTLCache, create_brief: Callable[[], str]) -> Store:
    return Store(
        get=rows.get,
        update=rows.update,
        create=rows.create,
        create_stateful=lambda: rows.create(state=STATE),
        create_brief=create_brief,
        fill=rows.fill,
        expire=rows.expire,
        sweep_slice=lambda: (rows.sweep(), True),
        sweep=rows.sweep,
        ids=rows.ids,
        delete=rows.delete,
        size=rows.__len__,
    )
