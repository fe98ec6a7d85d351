"""Entries of the deployment cache: their history, and what their keys differ in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypedDict

from kaizen_nexus._errors import NexusError
from kaizen_nexus.deployment.fingerprint import Fingerprint
from kaizen_nexus.deployment.key_fields import FieldDifference, KeyField, differences

__all__ = ["Entry", "EntryNotFoundError", "EntryReport", "KeyComparison", "compare"]

MIN_PREFIX = 4
"""The fewest digits that may abbreviate a key."""


class EntryNotFoundError(NexusError, LookupError):
    """No entry of the cache has that key or name, or several do."""


class EntryReport(TypedDict):
    """What `DeploymentCache.entries` reports of an entry."""

    key: str
    name: str | None
    """The name of the deployment; None for a key that the cache did not compute."""
    kind: str | None
    """``"plan"`` or, for apps of another kind, ``"built"``; None as for `name`."""
    age_seconds: float
    hits: int
    build_seconds: float | None
    """None for a value that was stored ready made."""
    fields: int
    """How many fields the key covers."""
    field_bytes: int
    """How many bytes describe them."""


class Entry:
    """A cached value and its history.

    Parameters
    ----------
    value
        What is cached.
    key
        Its key; a `Fingerprint` describes the entry, and is not kept itself.
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

    def report(self, key: str, now: float) -> EntryReport:
        """Return the report on this entry, whose key is `key`."""
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


class KeyComparison(NamedTuple):
    """The fields that the keys of two entries differ in."""

    a: str
    """The key of one entry, in full."""
    b: str
    differences: list[FieldDifference]


def _find_key(entries: Mapping[str, Entry], wanted: str) -> str:
    """Return the key that `wanted` is: a key, the beginning of one, or a name.

    Raises
    ------
    EntryNotFoundError
        No entry matches, or several do; the message names them.
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
    raise EntryNotFoundError(f"{wanted!r} may be any of {', '.join(found)}: give a whole key")


def compare(entries: Mapping[str, Entry], a: str, b: str) -> KeyComparison:
    """Return the fields that the keys of two entries differ in.

    Raises
    ------
    EntryNotFoundError
        One of them does not exist, or several match.
    """
    one, other = _find_key(entries, a), _find_key(entries, b)
    return KeyComparison(one, other, differences(entries[one].fields, entries[other].fields))
