"""JSON as RFC 8259 and RFC 7493 (I-JSON) have it: no NaN, no duplicate keys, no lone surrogates."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import msgspec

from kaizen_nexus.http.json_scan import JsonScan, TooManyValuesError
from kaizen_nexus.http.large_body import LargeBody

__all__ = ["LARGE", "StrictJsonError", "check", "check_keys", "loads"]

MAX_DEPTH = 100
LARGE = 64 * 1024
"""Bytes from which on a text is looked at before it is decoded, and decoded from its bytes."""


class StrictJsonError(ValueError):
    """The text is not JSON, or is JSON whose meaning depends on who reads it."""


class DuplicateKeyError(StrictJsonError):
    """An object has a key twice."""


class TooManyError(StrictJsonError):
    """There are more than 65,536 values."""


def loads(text: bytes | LargeBody, budget: int | None = None) -> Any:
    """Return the value of UTF-8 encoded JSON `text`.

    Parameters
    ----------
    text
        The text. Nothing is left of a `LargeBody`.
    budget
        Bytes of memory that a text of more than 64 KiB and its value may take; None for any number.

    Raises
    ------
    BodyTooCostlyError
        `budget` is too little.
    StrictJsonError
        The text is malformed or not UTF-8, holds NaN, an infinity, a lone surrogate or a key
        twice in one object, is nested more than 100 levels deep or has more than 65,536 values.
    """
    if len(text) > LARGE or isinstance(text, LargeBody):
        return _loads_large(text, budget)
    value = _flat_object(text)
    return _thorough(text) if value is None else value


def _thorough(text: bytes) -> Any:
    """Do as `loads`, whatever a text that is not large says."""
    try:
        decoded = text.decode("utf-8")
        value = _DECODER.decode(decoded)
    except UnicodeDecodeError as error:
        raise StrictJsonError(f"the text is not UTF-8: {error.reason}") from None
    except json.JSONDecodeError as error:
        message = f"malformed JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise StrictJsonError(message) from None
    except RecursionError:
        raise _too_deep() from None
    except StrictJsonError:
        raise
    except ValueError as error:
        # What the hooks below raise, and integers with more digits than int() converts.
        raise StrictJsonError(str(error)) from None
    # A text with so few brackets is not nested deeply, and only escapes make surrogates.
    escapes = "\\u" in decoded
    if escapes or decoded.count("[") + decoded.count("{") > MAX_DEPTH:
        check(value, escapes=escapes)
    return value


def check_keys(text: bytes) -> None:
    """Refuse JSON text in which an object has a key twice, and leave all else to whoever reads it.

    Raises
    ------
    StrictJsonError
        A key comes twice, or there are more than 65,536 values.
    """
    try:
        loads(text)
    except (DuplicateKeyError, TooManyError):
        raise
    except StrictJsonError:
        return


def _loads_large(text: bytes | LargeBody, budget: int | None) -> Any:
    """Do as `loads`, without ever holding more than `text` and what it becomes."""
    try:
        scan = JsonScan(text, budget)
        value = msgspec.json.decode(scan.rest)
    except TooManyValuesError as error:
        raise TooManyError(str(error)) from None
    except UnicodeDecodeError as error:
        raise StrictJsonError(f"the text is not UTF-8: {error.reason}") from None
    except msgspec.MsgspecError as error:
        # Where that is, it says of another text.
        raise StrictJsonError(f"malformed JSON: {str(error).partition(' (byte')[0]}") from None
    except RecursionError:
        raise _too_deep() from None
    # Lone surrogates are none of JSON's to msgspec.
    check(value, escapes=False)
    if _keys(value) != scan.keys:
        raise DuplicateKeyError("duplicate key")
    try:
        return scan.restore(value)
    except KeyError:
        raise DuplicateKeyError("duplicate key") from None


def _keys(root: Any) -> int:
    """Return how many members all objects in a decoded value have."""
    number, pending = 0, [root]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            number += len(value)
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    return number


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"a number is out of range: {digits[:64]}")
    return number


def _flat_object(text: bytes) -> dict[str, Any] | None:
    """Return the object that `text` is, if it is plain to see that nothing is wrong with it.

    msgspec refuses all that `loads` does, but for depth and keys that come twice; there are no such
    keys in an object, without another in it, of as many keys as there are colons in the text.
    """
    if text.count(b"{") != 1 or text.count(b"[") >= MAX_DEPTH:
        return None
    try:
        value = msgspec.json.decode(text)
    except ValueError:  # msgspec's own errors among them
        return None
    return value if type(value) is dict and len(value) == text.count(b":") else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise DuplicateKeyError(f"duplicate key {name[:64]!r}")
            seen.add(name)
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _too_deep() -> StrictJsonError:
    return StrictJsonError(f"JSON nested more than {MAX_DEPTH} levels deep")


def check(root: Any, *, escapes: bool = True) -> None:
    """Refuse deep nesting in a decoded value and, where its text had escapes, lone surrogates.

    Breadth first, so that no depth exhausts the stack.

    Raises
    ------
    StrictJsonError
        The value is nested more than 100 levels deep, or a string holds a lone surrogate.
    """
    depth, level = 0, [root]
    while level:
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value.values())
                if escapes:
                    below.extend(value)
            elif isinstance(value, list):
                below.extend(value)
            elif escapes and isinstance(value, str):
                _check_surrogates(value)
        depth += any(isinstance(value, (dict, list)) for value in level)
        if depth > MAX_DEPTH:
            raise _too_deep()
        level = below


def _check_surrogates(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise StrictJsonError("a string holds a lone surrogate") from None


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite
)
