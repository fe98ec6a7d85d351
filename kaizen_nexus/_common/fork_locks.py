"""Locks that no fork finds held: it waits until what they guard is whole, in parent and child."""

from __future__ import annotations

import os
from threading import RLock
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["fork_lock"]

_PATIENCE: Final = 10.0
"""Seconds that a fork waits for a lock; who holds one for longer is stuck, fork or no fork."""

_locks: WeakSet[Any] = WeakSet()
_one_fork = RLock()
_held: list[Any] = []


def fork_lock() -> AbstractContextManager[object]:
    """Return a re-entrant lock that a fork takes first, and gives back on both of its sides."""
    lock = RLock()
    _locks.add(lock)
    return lock


def _before_fork() -> None:
    if _one_fork.acquire(timeout=_PATIENCE):
        _held.append(_one_fork)
        _held.extend(lock for lock in list(_locks) if lock.acquire(timeout=_PATIENCE))


def _after_fork() -> None:
    while _held:
        _held.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )
