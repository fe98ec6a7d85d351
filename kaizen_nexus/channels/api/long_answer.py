"""JSON answers whose long strings are encoded while they are sent.

A string and its JSON text are then never there at the same time as a whole, and a string of other
characters than ASCII does not keep its UTF-8 form, as it otherwise would for as long as it lives.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec
from starlette.responses import Response, StreamingResponse

__all__ = ["long_json_response"]

MEDIA_TYPE = "application/json"
LONG = 64 * 1024
"""Characters from which on a string is long."""
PIECE = 16 * 1024

_MARK = secrets.token_urlsafe(24)
"""What stands for long strings until they are sent; nobody else can know it."""


def long_json_response(
    content: dict[str, Any],
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    enc_hook: Callable[[Any], Any],
) -> Response:
    """Return `content` as a JSON response; `enc_hook` is given what has no JSON form."""
    strings: list[str] = []
    text = msgspec.json.encode(_marked(content, strings), enc_hook=enc_hook)
    if not strings:
        return Response(text, status_code, headers, MEDIA_TYPE)
    parts = _parts(text.split(_MARK.encode()), strings)
    return StreamingResponse(parts, status_code, headers, MEDIA_TYPE)


def _marked(value: Any, strings: list[str]) -> Any:
    """Return `value` with a mark for each long string in its objects, which `strings` gets."""
    if isinstance(value, str) and len(value) > LONG:
        strings.append(value)
        return _MARK
    if type(value) is not dict:
        return value
    changed = {
        name: marked
        for name, member in value.items()
        if (marked := _marked(member, strings)) is not member
    }
    return {**value, **changed} if changed else value


async def _parts(between: list[bytes], strings: list[str]) -> AsyncIterator[bytes]:
    for text, string in zip(between, strings, strict=False):
        yield text
        for start in range(0, len(string), PIECE):
            yield msgspec.json.encode(string[start : start + PIECE])[1:-1]
    yield between[-1]
