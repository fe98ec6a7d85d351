"""Limits, sizes and refusals of the cache key's encoding, for both implementations alike."""

from __future__ import annotations

__all__ = [
    "ELEMENT_STEP",
    "FIELDS",
    "KEYS_STEP",
    "LONE_SURROGATE",
    "MAX_DEPTH",
    "MAX_SIZE",
    "METHOD_STEP",
    "NAME",
    "NAN",
    "PERSON",
    "RESULT",
    "SAME_ELEMENTS",
    "SAME_KEYS",
    "TOO_DEEP",
    "VALUE",
    "WITHIN_ITSELF",
    "Refusal",
    "changed_size",
    "field_step",
    "item_step",
    "size_prefix",
    "text",
    "too_large",
]

MAX_DEPTH = 100
"""How deep containers and objects may nest."""

MAX_SIZE = 16 * 1024 * 1024
"""How many bytes one call may encode to."""

PERSON = b"kaizen-nexus/1"
"""BLAKE2b personalisation; its number is the version of the encoding."""

NAN = "cannot encode NaN"
LONE_SURROGATE = "cannot encode a str with a lone surrogate"
WITHIN_ITSELF = "cannot encode a value that contains itself"
SAME_KEYS = "cannot encode two keys that are written alike"
SAME_ELEMENTS = "cannot encode two elements that are written alike"
TOO_DEEP = f"values are nested more than {MAX_DEPTH} deep"

# How an object's payload is written after its header: not at all; as a value that stands for it;
# as what its __cache_key__() returned; as a dict from field names to values.
NAME, VALUE, RESULT, FIELDS = range(4)

KEYS_STEP = ".keys()"
ELEMENT_STEP = "{*}"
METHOD_STEP = ".__cache_key__()"

_SHOWN_STEPS = 12
_SHOWN_KEY = 40
_SHOWN_INT_BITS = 64

_ONE_BYTE_SIZES = 248
_SIZES = [bytes((size,)) for size in range(_ONE_BYTE_SIZES)]


class Refusal(Exception):  # noqa: N818 - never leaves the package: `as_error` makes the public error
    """A value that has no canonical encoding; containers add where it was while it passes through.

    Parameters
    ----------
    reason
        What is wrong, to be followed by the path.
    remedy
        What to do about it, to follow the path.
    error
        The public exception to raise in the end.
    """

    def __init__(
        self, reason: str, remedy: str = "", error: type[TypeError | ValueError] = TypeError
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.error = error
        self.steps: list[str] = []

    def as_error(self) -> TypeError | ValueError:
        """Return the public error; `steps` holds the path, its innermost step first."""
        steps = self.steps[::-1]
        if len(steps) > _SHOWN_STEPS:
            half = _SHOWN_STEPS // 2
            steps = [*steps[:half], "...", *steps[-half:]]
        remedy = f"; {self.remedy}" if self.remedy else ""
        return self.error(f"cache_key: {self.reason} at ${''.join(steps)}{remedy}")


def item_step(key: object) -> str:
    """Return the path step to a sequence's index or a dict's key, never calling a user's repr."""
    if type(key) is str:
        shown = repr(key) if len(key) <= _SHOWN_KEY else f"{key[:_SHOWN_KEY]!r}..."
    elif type(key) is int and key.bit_length() <= _SHOWN_INT_BITS:
        shown = str(key)
    elif key is None or type(key) in {bool, float}:
        shown = repr(key)
    else:
        shown = f"<{type(key).__name__}>"
    return f"[{shown}]"


def field_step(name: object) -> str:
    """Return the path step to the field `name` of an object."""
    return f".{name}"


def too_large() -> ValueError:
    """Return the error for values whose encoding outgrows the limit."""
    return ValueError(f"cache_key: the values encode to more than {MAX_SIZE} bytes")


def changed_size(kind: str) -> RuntimeError:
    """Return the error for a container that shrank or grew while it was encoded."""
    return RuntimeError(f"cache_key: {kind} changed size while it was encoded")


def size_prefix(size: int) -> bytes:
    """Return `size` in the fewest bytes, such that longer sizes also compare greater as bytes.

    Sizes below 248 are one byte; else 247 plus the number of big-endian bytes that follow.
    """
    if size < _ONE_BYTE_SIZES:
        return _SIZES[size]
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((_ONE_BYTE_SIZES - 1 + len(digits),)) + digits


def text(value: str) -> bytes:
    """Return `value` as UTF-8 behind its size.

    Raises
    ------
    Refusal
        If `value` holds a lone surrogate, which UTF-8 cannot write.
    """
    try:
        data = value.encode()
    except UnicodeEncodeError:
        raise Refusal(LONE_SURROGATE) from None
    return size_prefix(len(data)) + data
