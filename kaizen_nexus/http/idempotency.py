"""The header ``Idempotency-Key``, for every channel that speaks HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kaizen_nexus.runtime.errors import IdempotencyKeyError
from kaizen_nexus.runtime.replays import MAX_KEY_LENGTH

__all__ = ["KEY_HEADER", "KEY_NAME", "KEY_PATTERN", "REPLAYED_HEADER", "idempotency_key"]

KEY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"
"""``true`` in an answer that repeats an earlier one."""
KEY_NAME = KEY_HEADER.lower().encode()
_IN_QUOTES = r'(?:[ !#-\[\]-~]|\\["\\])'
_BARE = r"[!#-+\--:<-~]"
"""Printable ASCII except what separates or quotes values of headers."""
_KEY = re.compile(f'"{_IN_QUOTES}*"|{_BARE}+')
KEY_PATTERN = f'^("{_IN_QUOTES}{{1,{MAX_KEY_LENGTH}}}"|{_BARE}{{1,{MAX_KEY_LENGTH}}})$'
"""What the header's value looks like, as JSON Schema says it."""


def idempotency_key(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the idempotency key in an ASGI request's `headers`, or None.

    The key is a string as in structured fields (RFC 9651); its quotes may be left out.

    Raises
    ------
    IdempotencyKeyError
        The header comes several times, or does not hold such a string.
    """
    found = [value for name, value in headers if name == KEY_NAME]
    if not found:
        return None
    text = found[0].decode("latin-1").strip(" \t")
    if len(found) == 1 and _KEY.fullmatch(text):
        return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
    raise IdempotencyKeyError(
        f'{KEY_HEADER} must be one string of printable ASCII in quotes, such as "8e03978e-40d5"'
    )
