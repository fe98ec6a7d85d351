"""Reading a request body without ever holding more of it than is allowed."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.types import Receive

from kaizen_nexus.channels.strict_json import StrictJsonError, loads

__all__ = ["DEFAULT_MAX_BODY", "BodyTooLargeError", "read_json_object", "until_disconnected"]

DEFAULT_MAX_BODY = 4 * 1024 * 1024


class BodyTooLargeError(ValueError):
    """A request body is larger than the server takes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes, which is the limit")


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body, reading no further than `limit` bytes.

    Raises
    ------
    BodyTooLargeError
        The body is declared longer, or turns out to be while it arrives.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise BodyTooLargeError(limit)
    chunks = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise BodyTooLargeError(limit)
        chunks.append(chunk)
    return b"".join(chunks)


async def read_json_object(request: Request, limit: int) -> dict[str, Any]:
    """Return the body's JSON object; an empty body stands for an empty object.

    Raises
    ------
    BodyTooLargeError
        The body is longer than `limit` bytes.
    StrictJsonError
        The body is not a JSON object.
    """
    body = await read_body(request, limit)
    if not body:
        return {}
    value = loads(body)
    if not isinstance(value, dict):
        raise StrictJsonError(f"the body must be a JSON object, not {_json_type(value)}")
    return value


async def until_disconnected(receive: Receive) -> None:
    """Return when the client of a request, whose body has been read, has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _json_type(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
