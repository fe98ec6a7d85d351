"""Canonical digests of nested Python values, for keys that must mean the same in every process.

`encode` writes values in a form that says their types and sizes, `cache_key` hashes that form with
BLAKE2b. What has no canonical form (NaN, a cycle, a lambda, an object known only by its address)
is refused rather than guessed at.

========  ================================  ====================================================
tag       values                            what follows the tag
========  ================================  ====================================================
N T F     None, True, False                 nothing
I J       int n >= 0; int n < 0             size, then n or ~n in so many big-endian bytes
D         float                             eight bytes, IEEE 754, big-endian
S B       str; bytes                        size, then UTF-8; the bytes
L U       list; tuple                       count, then the items
M         dict                              count, then key and value of each entry, sorted
E Z       set; frozenset                    count, then the elements, sorted
Q         class or function                 text module, text qualified name
O         instance of any other class       text module, text qualified name, one value
========  ================================  ====================================================

A size or count below 248 is one byte; a larger one is a byte 247 + k and k big-endian bytes, the
fewest that hold it. A text is a size and UTF-8. A message is a count and that many values. Entries
and elements are sorted as byte strings, so neither insertion order nor the hash seed shows.

No two messages encode alike. Reading from the left, a tag alone decides how to read what follows,
and every variable part is preceded by its size or count; so a reader always knows where a value
ends, no encoding is a prefix of another, and the values can be read back out of the bytes (the
tests do so). What a digest conflates beyond that is a collision of BLAKE2b at 128 bits. An ``O``
stands for a class that its name leads back to, and its one value is the fields by name, the result
of ``__cache_key__()``, an enumeration member's name, or the parts of a standard type.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, Any

from kaizen_nexus._common.cache_key_format import (
    ELEMENT_STEP,
    FIELDS,
    KEYS_STEP,
    LONE_SURROGATE,
    MAX_DEPTH,
    MAX_SIZE,
    METHOD_STEP,
    NAME,
    NAN,
    PERSON,
    RESULT,
    SAME_ELEMENTS,
    SAME_KEYS,
    TOO_DEEP,
    WITHIN_ITSELF,
    Refusal,
    changed_size,
    field_step,
    item_step,
    size_prefix,
    too_large,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["cache_key", "encode"]

_EMPTY = blake2b(digest_size=16, person=PERSON)
_STR_HEADS = [b"S" + size_prefix(size) for size in range(248)]
_pack_float = Struct(">cd").pack


def cache_key(*values: object) -> str:
    """Return a digest that equals another exactly when the values have equal types and contents.

    Encodable are None, bool, int, float, complex, str, bytes, bytearray, range, list, tuple, dict,
    set, frozenset, OrderedDict, mappingproxy and SimpleNamespace; date, time, datetime, timedelta,
    timezone and ZoneInfo; Decimal, Fraction, UUID, the paths of pathlib and compiled regular
    expressions; members of enumerations; named tuples, dataclasses, pydantic models (fields and
    extras, not private attributes) and msgspec Structs; classes and functions, by name; and
    instances of any class with a method ``__cache_key__()`` that returns an encodable value.
    ``1``, ``True``, ``1.0`` and ``"1"`` differ; so do ``0.0`` and ``-0.0``, a list and a tuple.

    Parameters
    ----------
    *values
        What the key shall stand for, in order; must not change during the call.

    Returns
    -------
    str
        32 lower-case hexadecimal digits, the same in every process, on every platform, with every
        hash seed, from both implementations.

    Raises
    ------
    TypeError
        If a value has no canonical encoding; the message gives the path to it: NaN, a lone
        surrogate, a value that contains itself, a class or function that is not found under its
        own name (such as a lambda), an unlisted subclass of a built-in type, any other object.
    ValueError
        If values nest more than 100 deep or encode to more than 16 MiB.
    RuntimeError
        If a container changes size during the call.

    Notes
    -----
    Thread-safe and re-entrant: calls share no state. The time is O(n log n) in the size of the
    encoding. Attributes of a dataclass beyond its fields do not count. A class or function that is
    renamed or moved to another module counts as another one.
    """
    state = _EMPTY.copy()
    state.update(encode(*values))
    return state.hexdigest()


def encode(*values: object) -> bytes:
    """Return the canonical encoding that `cache_key` hashes; see there for what is raised."""
    encoder = _Encoder()
    parts = [encoder.head(b"", len(values), len(values))]
    try:
        parts.extend(map(encoder.encode, values))
    except Refusal as refusal:
        refusal.steps.append(item_step(len(parts) - 1))
        raise refusal.as_error() from None
    return b"".join(parts)


class _Encoder:
    """The state of one call: the containers that are open, and how much may still be written.

    A container pays for its items' tags when it is opened, an item for the rest of itself.
    """

    __slots__ = ("open", "room")

    def __init__(self) -> None:
        self.open: set[int] = set()
        self.room = MAX_SIZE

    def encode(self, value: Any) -> bytes:  # noqa: C901, PLR0911, PLR0912 - one branch per type
        kind = type(value)
        if kind is str:
            try:
                data: bytes = value.encode()
            except UnicodeEncodeError:
                raise Refusal(LONE_SURROGATE) from None
            size = len(data)
            head = _STR_HEADS[size] if size < len(_STR_HEADS) else b"S" + size_prefix(size)
            self.room -= len(head) - 1 + size
            if self.room < 0:
                raise too_large()
            return head + data
        if value is None:
            return b"N"
        if value is True:
            return b"T"
        if value is False:
            return b"F"
        if kind is int:
            tag, magnitude = (b"I", value) if value >= 0 else (b"J", ~value)
            size = (magnitude.bit_length() + 7) // 8
            head = tag + size_prefix(size)
            self.spend(len(head) - 1 + size)
            data = magnitude.to_bytes(size, "big")
            return head + data
        if kind is float:
            if value != value:  # noqa: PLR0124 - only NaN differs from itself
                raise Refusal(NAN)
            self.spend(8)
            return _pack_float(b"D", value)
        if kind is dict:
            self.enter(value)
            encoded = self.entries(value, item_step)
            self.open.remove(id(value))
            return encoded
        if kind is list:
            return self.items(b"L", value)
        if kind is tuple:
            return self.items(b"U", value)
        if kind is bytes:
            head = b"B" + size_prefix(len(value))
            self.spend(len(head) - 1 + len(value))
            return head + bytes(value)
        if kind is set:
            return self.elements(b"E", value)
        if kind is frozenset:
            return self.elements(b"Z", value)
        return self.instance(value)

    def items(self, tag: bytes, value: list[Any] | tuple[Any, ...]) -> bytes:
        self.enter(value)
        count = len(value)
        parts = [self.head(tag, count, count)]
        try:
            parts.extend(map(self.encode, value))
        except Refusal as refusal:
            # `extend` appends as it goes: the parts are the head and the items before this one.
            refusal.steps.append(item_step(len(parts) - 1))
            raise
        if len(value) != count:
            raise changed_size(type(value).__name__)
        self.open.remove(id(value))
        return b"".join(parts)

    def entries(self, value: dict[Any, Any], step: Callable[[object], str]) -> bytes:
        """Encode an open dict; `step` gives the path from it to the value of a key."""
        count = len(value)
        head = self.head(b"M", count, 2 * count)
        entries = []
        unusual = []
        for key, item in tuple(value.items()):
            name = b""
            try:
                name = self.encode(key)
                entries.append(name + self.encode(item))
            except Refusal as refusal:
                refusal.steps.append(step(key) if name else KEYS_STEP)
                raise
            if type(key) is not str:
                unusual.append(name)
        if len(value) != count:
            raise changed_size("dict")
        # Unequal strings never encode alike, but objects compare as they please.
        if len(set(unusual)) != len(unusual):
            raise Refusal(SAME_KEYS)
        entries.sort()
        return head + b"".join(entries)

    def elements(self, tag: bytes, value: set[Any] | frozenset[Any]) -> bytes:
        self.enter(value)
        count = len(value)
        head = self.head(tag, count, count)
        try:
            encoded = set(map(self.encode, tuple(value)))
        except Refusal as refusal:
            refusal.steps.append(ELEMENT_STEP)
            raise
        if len(value) != count:
            raise changed_size(type(value).__name__)
        if len(encoded) != count:
            raise Refusal(SAME_ELEMENTS)
        self.open.remove(id(value))
        return head + b"".join(sorted(encoded))

    def instance(self, value: object) -> bytes:
        # Loads decimal, pathlib, uuid and more, which many processes never need for a key.
        from kaizen_nexus._common.cache_key_objects import reduce_object

        header, form, payload = reduce_object(value)
        if form == NAME:
            self.spend(len(header) - 1)
            return header
        self.spend(len(header))
        self.enter(value)
        if form == FIELDS:
            encoded = self.entries(payload, field_step)
        else:
            try:
                encoded = self.encode(payload)
            except Refusal as refusal:
                if form == RESULT:
                    refusal.steps.append(METHOD_STEP)
                raise
        self.open.remove(id(value))
        return header + encoded

    def enter(self, container: object) -> None:
        """Open a container, unless it is open already or too many are."""
        if id(container) in self.open:
            raise Refusal(WITHIN_ITSELF)
        if len(self.open) == MAX_DEPTH:
            raise Refusal(TOO_DEEP, error=ValueError)
        self.open.add(id(container))

    def head(self, tag: bytes, count: int, values: int) -> bytes:
        """Return `tag` and `count`, and pay for them and for the tags of so many values."""
        head = tag + size_prefix(count)
        self.spend(len(head) - len(tag) + values)
        return head

    def spend(self, size: int) -> None:
        self.room -= size
        if self.room < 0:
            raise too_large()
