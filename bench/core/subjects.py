"""The session stores that are put under load, behind the few calls that the load makes.

The compiled table and its twin are imported by module name, never through the selector. The
original and cachetools take part where they are installed. A dict under a lock is what one would
write first.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from importlib import import_module
from typing import Any, Final

from bench.core import yardsticks
from bench.core.contenders import COMPILED, ORIGINAL, PURE, original
from bench.core.store import BRIEF, ROOM, STATE, TTL, USER, Store

__all__ = [
    "DICT",
    "LIBRARY",
    "isolated_heap",
    "no_collections",
    "stores",
]

LIBRARY: Final = "cachetools"
DICT: Final = "dict with a lock"


def stores(*names: str) -> tuple[dict[str, Callable[[], Store]], dict[str, str]]:
    """Return how to make each of the named stores, and why the others cannot be had."""
    made: dict[str, Callable[[], Store]] = {}
    missing: dict[str, str] = {}
    for name in names:
        import_library, make = _CONTENDERS[name]
        try:
            made[name] = partial(make, import_library())
        except ModuleNotFoundError as error:
            missing[name] = f"{error.name} is not installed"
    return made, missing


@contextmanager
def isolated_heap() -> Iterator[None]:
    """Keep what is alive by now out of the garbage collector's way, as if it were not there."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.collect()


@contextmanager
def no_collections() -> Iterator[None]:
    """Create many objects without the garbage collector passing over them; collect once then."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()


def _table(module: Any) -> Store:
    table = module.SessionTable(TTL, capacity=ROOM)

    def fill(ids: Sequence[str], state: Mapping[str, Any] | None) -> None:
        for session_id in ids:
            table.create(session_id, USER, None, state)

    def expire(ids: Sequence[str]) -> None:
        now = table.now()
        for session_id in ids:
            table.peek(session_id).expires = now

    return Store(
        get=table.get_state,
        update=table.update,
        create=partial(table.create, None, USER),
        create_stateful=partial(table.create, None, USER, None, STATE),
        create_brief=partial(table.create, None, USER, BRIEF),
        fill=fill,
        expire=expire,
        sweep_slice=table.sweep,
        sweep=table.sweep_all,
        ids=table.ids,
        delete=table.delete,
        size=table.__len__,
        sweep_batch=lambda: table.sweep(budget=0.0),
    )


def _original(module: Any) -> Store:
    manager = module.NexusSessionManager(cleanup_interval=None)

    def fill(ids: Sequence[str], state: Mapping[str, Any] | None) -> None:
        for session_id in ids:
            manager.create_session(session_id, USER).state.update(state or {})

    def expire(ids: Sequence[str]) -> None:
        past = datetime.now() - timedelta(seconds=1)  # noqa: DTZ005 - naive, as it keeps them
        for session_id in ids:
            manager.sessions[session_id].expires_at = past

    return Store(
        get=manager.get_session_state,
        update=manager.update_session_state,
        create=partial(manager.create_session, None, USER),
        create_stateful=lambda: manager.create_session(None, USER).state.update(STATE),
        create_brief=partial(manager.create_session, None, USER, BRIEF / 3600),
        fill=fill,
        expire=expire,
        sweep_slice=lambda: (manager.cleanup_expired_sessions(), True),
        sweep=manager.cleanup_expired_sessions,
        ids=lambda: list(manager.sessions),
        delete=manager.sessions.pop,
        size=manager.sessions.__len__,
    )


_CONTENDERS: Final[dict[str, tuple[Callable[[], Any], Callable[[Any], Store]]]] = {
    COMPILED: (partial(import_module, "kaizen_nexus._core.session_table"), _table),
    PURE: (partial(import_module, "kaizen_nexus._fallback.session_table"), _table),
    ORIGINAL: (original, _original),
    LIBRARY: (partial(import_module, "cachetools"), yardsticks.ttl_cache),
    DICT: (partial(import_module, "threading"), yardsticks.locked_dict),
}
