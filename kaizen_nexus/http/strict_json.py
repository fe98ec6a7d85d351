"""One strict reader of JSON for every channel: RFC 8259 with the rules of I-JSON (RFC 7493).

msgspec reads first, because it is fast, and refuses everything that this module refuses except
duplicate keys and deep nesting. Counting colons and brackets shows cheaply that a text has
neither. Where it does not, or where msgspec found an error, the standard library's decoder reads
the text again: it decides, and names the error.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["LARGE", "StrictJsonError", "loads"]

MAX_DEPTH = 100
MAX_VALUES = 65_536
LARGE = 64 * 1024
MAX_QUOTED = 64
"""How many characters of a key or a number an error message repeats."""
_CONTAINERS = frozenset({dict, list})
_BEFORE_COLONS = list(b'" \t\n\r')
_ENDS_OF_KEYS = [bytes((before,)) + b":" for before in _BEFORE_COLONS]


class StrictJsonError(ValueError):
    """The text is not JSON, or is JSON that parsers read differently."""


class TooManyValuesError(StrictJsonError):
    """The text has more than 65,536 values."""

    def __init__(self) -> None:
        super().__init__(f"JSON with more than {MAX_VALUES} values")


def loads(text: bytes | bytearray) -> Any:
    """Return the value of UTF-8 encoded JSON `text`.

    Raises
    ------
    StrictJsonError
        The text is malformed or not UTF-8, holds NaN, an infinity, a number out of range, a lone
        surrogate or a key twice in one object, is nested more than 100 levels deep or has more than
        65,536 values.
    """
    # Duplicate keys make fewer members than colons. So do colons in strings, but keys end with a
    # quote, and few strings have one before a colon.
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _read_carefully(text)
    if len(text) > LARGE:
        return value if _is_unambiguous(text, value) else _read_carefully(text)
    if text.count(b"{") + text.count(b"[") > 1:
        keys = _number_of_keys(value)
    else:
        keys = len(value) if type(value) is dict else 0
    if keys == text.count(b":") or keys == sum(map(text.count, _ENDS_OF_KEYS)):
        return value
    return _read_carefully(text)


def _is_unambiguous(text: bytes | bytearray, value: Any) -> bool:
    """Whether counting shows that a large text has no duplicate keys and no deep nesting.

    Raises
    ------
    TooManyValuesError
        There are more than 65,536 values.
    """
    keys = _number_of_keys(value)
    array = np.frombuffer(text, np.uint8)
    if keys == _number_of(ord(":"), array):
        return True
    before = array[np.flatnonzero(array == ord(":")) - 1]
    return keys == np.count_nonzero(np.isin(before, _BEFORE_COLONS))


def _number_of_keys(value: Any) -> int:
    """Return how many members the objects in a value have, or -1 if it is nested too deeply.

    Raises
    ------
    TooManyValuesError
        There are more than 65,536 values.
    """
    keys = depth = 0
    values = 1
    level = [value] if type(value) in _CONTAINERS else []
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            return -1
        below: list[Any] = []
        for container in level:
            values += len(container)
            members = container
            if type(container) is dict:
                keys += len(container)
                members = container.values()
            for member in members:
                if type(member) in _CONTAINERS:
                    below.append(member)  # noqa: PERF401  # a comprehension each takes longer
        if values > MAX_VALUES:
            raise TooManyValuesError
        level = below
    return keys


def _check_number_of_values(text: bytes | bytearray) -> None:
    """Bound what reading carefully may build, of a text that may be malformed."""
    if len(text) <= MAX_VALUES:
        return
    # Each value but the first follows a comma or a bracket, outside of strings.
    without_escapes = text.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    array = np.frombuffer(without_escapes, np.uint8)
    outside = array[~np.logical_xor.accumulate(array == ord('"'))]
    if sum(_number_of(character, outside) for character in b",[{") >= MAX_VALUES:
        raise TooManyValuesError


def _number_of(character: int, array: npt.NDArray[np.uint8]) -> int:
    """Count a character piece by piece: small arrays reuse memory that large ones would map."""
    pieces = (array[start : start + LARGE] for start in range(0, len(array), LARGE))
    return sum(int(np.count_nonzero(piece == character)) for piece in pieces)


def _read_carefully(text: bytes | bytearray) -> Any:
    """Do as `loads` does, slowly; this decides, and names what is wrong."""
    _check_number_of_values(text)
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
    except ValueError:
        raise StrictJsonError("a number is out of range: an integer of too many digits") from None
    # Only escapes can make lone surrogates.
    _check(value, escapes="\\u" in decoded)
    return value


def _check(root: Any, *, escapes: bool) -> None:
    """Refuse deep nesting in a decoded value and, where its text had escapes, lone surrogates.

    Level by level, so that deep nesting cannot exhaust the stack.
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


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise StrictJsonError(f"a number is out of range: {digits[:MAX_QUOTED]}")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise StrictJsonError(f"duplicate key {name[:MAX_QUOTED]!r}")
            seen.add(name)
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise StrictJsonError(f"{name} is not JSON")


def _too_deep() -> StrictJsonError:
    return StrictJsonError(f"JSON nested more than {MAX_DEPTH} levels deep")


def _check_surrogates(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise StrictJsonError("a string holds a lone surrogate") from None


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite
)
