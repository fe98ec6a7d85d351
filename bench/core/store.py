"""What the load needs of a session store, and what it puts there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["BRIEF", "CHANGE", "CHANNEL", "ROOM", "STATE", "TTL", "USER", "Store"]

CHANNEL: Final = "api"
USER: Final = "user"
STATE: Final[Mapping[str, Any]] = {"a": 1, "b": "x"}
CHANGE: Final[dict[str, Any]] = {"a": 2}

TTL: Final = 3600.0
"""Seconds."""
BRIEF: Final = 0.05
"""Seconds that a session lives which is there to be swept."""
ROOM: Final = 4_000_000
"""Sessions, more than any load creates: what is measured is not a full table."""


@dataclass(frozen=True)
class Store:
    """The calls of one store, its own bound methods wherever those fit."""

    get: Callable[[str, str], dict[str, Any] | None]
    """A copy of a live session's state, by id and channel; slides its expiry."""
    update: Callable[[str, dict[str, Any], str], bool]
    create: Callable[[], object]
    """A session under an id of the store's making."""
    create_stateful: Callable[[], object]
    """One that holds `STATE`."""
    create_brief: Callable[[], object]
    """One that has expired after `BRIEF` seconds, where the store can."""
    fill: Callable[[Sequence[str], Mapping[str, Any] | None], None]
    expire: Callable[[Sequence[str]], None]
    """Have sessions expire this moment: those that were the first to be filled in."""
    sweep_slice: Callable[[], tuple[int, bool]]
    """Sweep as far as the store does in one go: how many it removed, and whether that was all."""
    sweep: Callable[[], int]
    ids: Callable[[], list[str]]
    delete: Callable[[str], object]
    size: Callable[[], int]
    sweep_batch: Callable[[], tuple[int, bool]] | None = None
    """As `sweep_slice`, but letting go of its lock after the first time that it took it."""
