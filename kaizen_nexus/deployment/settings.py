"""A configuration as plain values, with the names of its classes.

Every tuple that is returned begins with a mark of what it stands for, so that a record never equals
a tuple.
"""

from __future__ import annotations

import dataclasses
import enum
import weakref
from typing import Any

__all__ = ["MEMBER", "RECORD", "SCALARS", "TUPLE", "settings"]

MAX_DEPTH = 50
SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_AS_THEY_ARE = SCALARS | {set, frozenset}
"""Returned as they are; the digest accepts or refuses the items of sets."""

RECORD, MEMBER, TUPLE = "record", "member", "tuple"


def settings(value: Any, depth: int = 0) -> Any:
    """Return a configuration as values for a digest.

    Records and plain objects become the name of their class and their contents. Other values that
    are neither containers nor scalars are returned as they are; the digest accepts or refuses them.

    Raises
    ------
    TypeError
        The configuration nests too deep, or contains itself.
    """
    cls = type(value)
    if cls in _AS_THEY_ARE:
        return value
    if depth > MAX_DEPTH:
        raise TypeError("the configuration nests too deep, or contains itself")
    if cls is dict:
        # Most values are scalars, and a call for each would be most of the time.
        return {
            key: item if type(item) in SCALARS else settings(item, depth + 1)
            for key, item in value.items()
        }
    if cls is list or cls is tuple:
        items = [settings(item, depth + 1) for item in value]
        return items if cls is list else (TUPLE, *items)
    if isinstance(value, enum.Enum):
        content = value.value if type(value.value) in SCALARS else None
        return (MEMBER, cls.__module__, cls.__qualname__, value.name, content)
    contents = _contents(value, cls, depth)
    if contents is None:
        return value
    return (RECORD, cls.__module__, cls.__qualname__, contents)


def _contents(value: Any, cls: type, depth: int) -> dict[str, Any] | None:
    """Return the fields of a record or the attributes of a plain object, or None."""
    fields = _fields.get(cls)
    if fields is None:
        fields = _fields[cls] = _read_fields(cls)
    if fields:
        return _record(value, cls, fields, depth)
    own: dict[str, Any] | None = getattr(value, "__dict__", None)
    if own is None or not _is_plain(cls):
        return None
    contents: dict[str, Any] = settings({**_class_settings(cls), **own}, depth + 1)
    return contents


_fields: weakref.WeakKeyDictionary[type, frozenset[str]] = weakref.WeakKeyDictionary()


def _record(value: Any, cls: type, fields: frozenset[str], depth: int) -> dict[str, Any]:
    """Return the fields of a record, and other public attributes that were set on it.

    Private attributes and cached properties are state, and left out.
    """
    contents = {
        name: item if type(item) in SCALARS else settings(item, depth + 1)
        for name, item in getattr(value, "__dict__", {}).items()
        if name in fields or not (name.startswith("_") or hasattr(cls, name))
    }
    if not fields <= contents.keys():
        for name in fields - contents.keys():
            contents[name] = settings(getattr(value, name), depth + 1)
    further = getattr(value, "__pydantic_extra__", None)
    return {**contents, "(further)": settings(further, depth + 1)} if further else contents


def _read_fields(cls: type) -> frozenset[str]:
    """Return the fields of a dataclass or pydantic model; none for any other class."""
    if hasattr(cls, "__cache_key__"):
        return frozenset()
    if dataclasses.is_dataclass(cls):
        return frozenset(field.name for field in dataclasses.fields(cls))
    return frozenset(getattr(cls, "__pydantic_fields__", ()))


def _is_plain(cls: type) -> bool:
    """Whether instances have only attributes: no base class, ``__call__`` or ``__cache_key__``."""
    own = vars(cls)
    return cls.__mro__[1:] == (object,) and "__call__" not in own and "__cache_key__" not in own


def _class_settings(cls: type) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(cls).items()
        if not name.startswith("_") and not callable(value) and not hasattr(value, "__get__")
    }
