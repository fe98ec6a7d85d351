"""What the cache key writes of a value that is no plain container or scalar.

Loaded by both implementations when they first meet such a value: it says which objects have a
canonical form, and what that form is. It refuses what cannot be named or taken apart reliably.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import OrderedDict
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from fractions import Fraction
from functools import lru_cache
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from re import Pattern
from types import BuiltinFunctionType, FunctionType, MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from kaizen_nexus._common.cache_key_format import (
    FIELDS,
    NAME,
    NAN,
    RESULT,
    VALUE,
    Refusal,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["reduce_object"]

_BUILTINS = (bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset)

_UNSET = object()

_REMEDY = (
    "make it a dataclass, or give its class a __cache_key__() method that returns "
    "an encodable value"
)


def reduce_object(value: object) -> tuple[bytes, int, Any]:
    """Take apart an object that is not of a type that the encoder writes itself.

    Parameters
    ----------
    value
        Any object.

    Returns
    -------
    header : bytes
        The encoding's beginning: its tag and the qualified name of a class or function.
    form : int
        `NAME`, `VALUE`, `RESULT` or `FIELDS`: how `payload` is to be written.
    payload : object
        What follows the header; None for `NAME`.

    Raises
    ------
    Refusal
        If the object has no canonical encoding.
    """
    cls: Any = type(value)
    method = getattr(cls, "__cache_key__", None)
    if method is not None:
        return _header(b"O", cls), RESULT, method(value)
    known = _KNOWN.get(cls)
    if known is not None:
        header, take_apart = known
        return header, VALUE, take_apart(value)
    if issubclass(cls, type):  # not isinstance: list[int] claims to be an instance on 3.10
        return _header(b"Q", value), NAME, None
    if isinstance(value, Enum):
        # A Flag's combinations have no names that all versions of Python agree on.
        label = value.value if isinstance(value, Flag) else value.name
        return _header(b"O", cls), VALUE, label
    names = _field_names(cls)
    if names is not None:
        return _header(b"O", cls), FIELDS, _fields(cls, value, names)
    if isinstance(value, (FunctionType, BuiltinFunctionType)) or _is_found_by_name(value):
        return _header(b"Q", value), NAME, None
    raise Refusal(f"cannot encode {_type_name(cls)}", _REMEDY)


@lru_cache(maxsize=256)
def _field_names(cls: Any) -> tuple[str, ...] | None:
    """Return the names of the fields of a record-like class, or None if it is not one.

    A class cannot change them once it exists, so they are found once.
    """
    for base in _BUILTINS:
        if issubclass(cls, base):
            names = getattr(cls, "_fields", None)
            if base is tuple and isinstance(names, tuple):
                return names
            raise Refusal(
                f"cannot encode {_type_name(cls)}",
                f"a subclass of {base.__name__} is not taken for a {base.__name__}: convert it, "
                "or give the class a __cache_key__() method",
            )
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls))
    if hasattr(cls, "__pydantic_validator__"):
        # Older releases of pydantic 2 have only the public attribute.
        known = hasattr(cls, "__pydantic_fields__")
        fields = cls.__pydantic_fields__ if known else cls.model_fields
        # Extras are kept apart: one may bear the name of a field that is read by its alias.
        # Private attributes are run-time state and stay out.
        return (*fields, "__pydantic_extra__")
    names = getattr(cls, "__struct_fields__", None)
    return names if isinstance(names, tuple) else None


def _fields(cls: type, value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    fields = {name: getattr(value, name, _UNSET) for name in names}
    for name, field in fields.items():
        if field is _UNSET:
            raise Refusal(f"cannot encode {_type_name(cls)}", f"its field {name!r} is not set")
    return fields


def _header(tag: bytes, named: Any) -> bytes:
    """Return `tag` and the qualified name of a class or function that the name leads back to."""
    if not _is_found_by_name(named):
        raise Refusal(
            f"cannot encode {_type_name(named)}",
            "that name does not lead back to it: define it at the top level of a module",
        )
    return _name(tag, named.__module__, named.__qualname__)


@lru_cache(maxsize=256)
def _name(tag: bytes, module: str, qualname: str) -> bytes:
    return tag + text(module) + text(qualname)


def _is_found_by_name(named: object) -> bool:
    module = getattr(named, "__module__", None)
    qualname = getattr(named, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str):
        return False
    found: object = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found is named


def _type_name(named: Any) -> str:
    module, qualname = named.__module__, named.__qualname__
    return str(qualname) if module in {None, "builtins"} else f"{module}.{qualname}"


def _decimal(value: Decimal) -> tuple[int, bytes, int | str]:
    if value.is_nan():
        raise Refusal(NAN)
    sign, digits, exponent = value.as_tuple()
    return sign, bytes(digits), exponent


def _clock(value: datetime | time) -> tuple[object, ...]:
    return (value.hour, value.minute, value.second, value.microsecond, value.fold, value.tzinfo)


def _zone(value: ZoneInfo) -> str:
    if value.key is None:
        raise Refusal("cannot encode zoneinfo.ZoneInfo", "it was read from a file and has no key")
    return value.key


# Standard types by exact type: a subclass may carry more than its base shows. The names are fixed
# here because some of these types move between modules from one version of Python to the next.
_KNOWN: dict[type, tuple[bytes, Callable[[Any], object]]] = {
    cls: (_name(b"O", module, cls.__name__), take_apart)
    for cls, module, take_apart in (
        (complex, "builtins", lambda value: (value.real, value.imag)),
        (bytearray, "builtins", bytes),
        (range, "builtins", lambda value: (value.start, value.stop, value.step)),
        (OrderedDict, "collections", lambda value: tuple(value.items())),
        (MappingProxyType, "types", dict),
        (SimpleNamespace, "types", vars),
        (date, "datetime", lambda value: (value.year, value.month, value.day)),
        (time, "datetime", _clock),
        (
            datetime,
            "datetime",
            lambda value: (value.year, value.month, value.day, *_clock(value)),
        ),
        (timedelta, "datetime", lambda value: (value.days, value.seconds, value.microseconds)),
        (timezone, "datetime", lambda value: (value.utcoffset(None), value.tzname(None))),
        (ZoneInfo, "zoneinfo", _zone),
        (Decimal, "decimal", _decimal),
        (Fraction, "fractions", lambda value: (value.numerator, value.denominator)),
        (UUID, "uuid", lambda value: value.bytes),
        (PurePosixPath, "pathlib", PurePosixPath.as_posix),
        (PosixPath, "pathlib", PosixPath.as_posix),
        (PureWindowsPath, "pathlib", PureWindowsPath.as_posix),
        (WindowsPath, "pathlib", WindowsPath.as_posix),
        (Pattern, "re", lambda value: (value.pattern, value.flags)),
    )
}
