"""Reading a request body, up to the number of bytes that the server takes."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.types import Receive

from kaizen_nexus.http.strict_json import StrictJsonError, loads
from kaizen_nexus.runtime.errors import AbandonedError

__all__ = [
    "DEFAULT_MAX_BODY",
    "BodyTooLargeError",
    "is_declared_longer",
    "json_object",
    "read_body",
    "read_json_object",
    "receive_body",
    "until_disconnected",
]

DEFAULT_MAX_BODY = 1024 * 1024
MAX_DIGITS = 18
"""Of a ``Content-Length`` that is compared: Python raises on numbers of thousands of digits."""


class BodyTooLargeError(ValueError):
    """A request body is larger than the server takes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes, which is the limit")


async def read_body(request: Request, limit: int) -> bytes | bytearray:
    """Return the body, reading no further than `limit` bytes.

    Raises
    ------
    BodyTooLargeError
        The body is declared longer, or turns out to be while it arrives.
    """
    declared = request.headers.get("content-length")
    encoded = None if declared is None else declared.encode("latin-1")
    return await receive_body(request.receive, encoded, limit)


async def receive_body(receive: Receive, declared: bytes | None, limit: int) -> bytes | bytearray:
    """Return the body of a request whose body is unread; see `read_body`.

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
    body: bytes | bytearray = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise AbandonedError
        chunk: bytes = message.get("body", b"")
        if len(body) + len(chunk) > limit:
            raise BodyTooLargeError(limit)
        if not body:
            body = chunk
        elif isinstance(body, bytearray):
            body += chunk
        else:
            body = bytearray(body)
            body += chunk
        if not message.get("more_body", False):
            return body


def is_declared_longer(declared: bytes | None, limit: int) -> bool:
    """Whether a ``Content-Length`` says that there will be more than `limit` bytes."""
    return (
        declared is not None
        and declared.isdigit()
        and (len(declared) > MAX_DIGITS or int(declared) > limit)
    )


async def read_json_object(request: Request, limit: int) -> dict[str, Any]:
    """Return the JSON object in a request's body; see `read_body` and `json_object`."""
    return json_object(await read_body(request, limit))


def json_object(body: bytes | bytearray) -> dict[str, Any]:
    """Return the JSON object that a body is; an empty body stands for an empty object.

    Raises
    ------
    StrictJsonError
        The body is not a JSON object.
    """
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
