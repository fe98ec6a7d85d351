"""Reading a request body without ever holding more of it than is allowed."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.types import Receive

from kaizen_nexus.http.large_body import BodyTooCostlyError, BodyTooLargeError, LargeBody
from kaizen_nexus.http.strict_json import LARGE, StrictJsonError, loads
from kaizen_nexus.runtime.errors import AbandonedError

__all__ = [
    "DEFAULT_MAX_BODY",
    "BodyTooCostlyError",
    "BodyTooLargeError",
    "is_declared_longer",
    "json_object",
    "memory_for",
    "read_body",
    "read_json_object",
    "receive_body",
    "until_disconnected",
]

DEFAULT_MAX_BODY = 4 * 1024 * 1024
MEMORY = 7_424 * 1024
"""Bytes that a body of `DEFAULT_MAX_BODY` and what it becomes may take; of larger ones, more."""
MAX_DIGITS = 18
"""Of a ``Content-Length`` that is compared: Python raises on numbers of thousands of digits."""


async def read_body(request: Request, limit: int) -> bytes | LargeBody:
    """Return the body, reading no further than `limit` bytes.

    Raises
    ------
    BodyTooLargeError
        The body is declared longer, or turns out to be while it arrives.
    """
    declared = request.headers.get("content-length")
    encoded = None if declared is None else declared.encode("latin-1")
    return await receive_body(request.receive, encoded, limit)


async def receive_body(receive: Receive, declared: bytes | None, limit: int) -> bytes | LargeBody:
    """Return the body of a request that nobody has read from yet; see `read_body`.

    Parameters
    ----------
    receive
        Where it comes from.
    declared
        The ``Content-Length``, if there is one.
    limit
        How many bytes it may have.

    Raises
    ------
    BodyTooLargeError
        The body is declared longer, or turns out to be while it arrives.
    AbandonedError
        The client has gone before it was complete.
    """
    if is_declared_longer(declared, limit):
        raise BodyTooLargeError(limit)
    # Not a list of chunks: a client decides how small those are, and each has its own overhead.
    body: bytearray | LargeBody | None = None
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise AbandonedError
        chunk: bytes = message.get("body", b"")
        size = len(chunk) + (0 if body is None else len(body))
        if size > limit:
            raise BodyTooLargeError(limit)
        complete = not message.get("more_body", False)
        if body is None and complete:
            return chunk
        body = _appended(body, chunk, limit)
        if complete:
            return body if isinstance(body, LargeBody) else bytes(body)


def is_declared_longer(declared: bytes | None, limit: int) -> bool:
    """Whether a ``Content-Length`` says that there will be more than `limit` bytes."""
    return (
        declared is not None
        and declared.isdigit()
        and (len(declared) > MAX_DIGITS or int(declared) > limit)
    )


def _appended(
    body: bytearray | LargeBody | None, chunk: bytes, limit: int
) -> bytearray | LargeBody:
    """Return a body with one chunk more, which turns out to be large at some time."""
    if body is None:
        body = bytearray()
    if isinstance(body, bytearray) and len(body) + len(chunk) > LARGE:
        begun, body = bytes(body), LargeBody(limit)
        body.write(begun)
    if isinstance(body, bytearray):
        body += chunk
    else:
        body.write(chunk)
    return body


async def read_json_object(request: Request, limit: int) -> dict[str, Any]:
    """Return the JSON object in a request's body; see `read_body` and `json_object`."""
    return json_object(await read_body(request, limit), limit)


def json_object(body: bytes | LargeBody, limit: int = DEFAULT_MAX_BODY) -> dict[str, Any]:
    """Return the JSON object that a body is; an empty body stands for an empty object.

    Parameters
    ----------
    body
        The body. Nothing is left of a large one.
    limit
        How many bytes it may have had; what it becomes may take 29/16 of that, or 7.25 MiB.

    Raises
    ------
    BodyTooCostlyError
        What it would become takes more.
    StrictJsonError
        The body is not a JSON object.
    """
    if not body:
        return {}
    value = loads(body, memory_for(limit))
    if not isinstance(value, dict):
        raise StrictJsonError(f"the body must be a JSON object, not {_json_type(value)}")
    return value


def memory_for(limit: int) -> int:
    """Return how many bytes a body may take together with what it becomes."""
    return max(MEMORY, MEMORY * limit // DEFAULT_MAX_BODY)


async def until_disconnected(receive: Receive) -> None:
    """Return when the client of a request, whose body has been read, has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _json_type(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
