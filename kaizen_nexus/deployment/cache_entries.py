"""What the deployment cache keeps of each entry, and what it tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kaizen_nexus._errors import NexusError
from kaizen_nexus.deployment.fingerprint import Fingerprint
from kaizen_nexus.deployment.key_fields import FieldDifference, KeyField, differences

__all__ = ["Comparison", "Entry", "EntryNotFoundError", "compare", "find_key"]

MIN_PREFIX = 4
"""With how many digits a key may be abbreviated."""


class EntryNotFoundError(NexusError, LookupError):
    """No entry of the cache has that key or name, or several have."""


class Entry:
    """A cached value and its history.

    Parameters
    ----------
    value
        What is cached.
    key
        Its key; a `Fingerprint` says what the entry is and is not kept itself.
    now
        Monotonic seconds.
    build_seconds
        How long building took; None for a value that was stored ready made.
    """

    __slots__ = ("build_seconds", "fields", "hits", "kind", "name", "stored", "value")

    def __init__(
        self, value: Any, key: str, now: float, build_seconds: float | None = None
    ) -> None:
        self.value = value
        self.name: str | None = None
        self.kind: str | None = None
        self.fields: tuple[KeyField, ...] = ()
        if isinstance(key, Fingerprint):
            self.name, self.kind, self.fields = key.name, key.kind, key.fields()
        self.stored = now
        self.hits = 0
        self.build_seconds = build_seconds

    def report(self, key: str, now: float) -> dict[str, Any]:
        """Return what `DeploymentCache.entries` tells of this entry."""
        return {
            "key": key,
            "name": self.name,
            "kind": self.kind,
            "age_seconds": now - self.stored,
            "hits": self.hits,
            "build_seconds": self.build_seconds,
            "fields": len(self.fields),
            "field_bytes": sum(len(part.encode()) for field in self.fields for part in field),
        }


class Comparison(NamedTuple):
    """Two entries, and what their keys differ in."""

    a: str
    """The one's key, in full."""
    b: str
    differences: list[FieldDifference]


def find_key(entries: Mapping[str, Entry], wanted: str) -> str:
    """Return the key that `wanted` stands for: a key, the beginning of one, or a name.

    Raises
    ------
    EntryNotFoundError
        No entry is meant, or more than one; the message says which.
    """
    if wanted in entries:
        return wanted
    found = [key for key, entry in entries.items() if entry.name == wanted]
    if not found and len(wanted) >= MIN_PREFIX:
        found = [key for key in entries if key.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise EntryNotFoundError(
            f"nothing is cached under {wanted!r}: give a key, its first {MIN_PREFIX} digits or "
            "more, or a name"
        )
    raise EntryNotFoundError(f"{wanted!r} may be any of {', '.join(found)}: give a key")


def compare(entries: Mapping[str, Entry], a: str, b: str) -> Comparison:
    """Return what the keys of two entries differ in.

    Raises
    ------
    EntryNotFoundError
        One of them is not there, or may be several.
    """
    one, other = find_key(entries, a), find_key(entries, b)
    return Comparison(one, other, differences(entries[one].fields, entries[other].fields))
