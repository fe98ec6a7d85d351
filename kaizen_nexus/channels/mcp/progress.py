"""Progress of tools that stream: what is reported, and whether an HTTP client can be told of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

import msgspec

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope

    from kaizen_nexus.channels.mcp.sdk.surface import Progress

__all__ = ["EVENTS", "MAX_MESSAGE", "Emit", "asks_for_progress", "reporter"]

Emit: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Takes a chunk of a result, as JSON text."""

MAX_MESSAGE = 4096
"""How much of a chunk is shown, in characters."""

_TOKEN = b'"progressToken"'
EVENTS = "text/event-stream"


def reporter(progress: Progress) -> Emit:
    """Return what takes the chunks of a run, and reports each as one step more.

    Parameters
    ----------
    progress
        Takes how many chunks there were, and the last one: text as it is, anything else as JSON.
    """
    count = 0

    async def emit(chunk: bytes) -> None:
        nonlocal count
        count += 1
        text = msgspec.json.decode(chunk) if chunk.startswith(b'"') else chunk.decode()
        await progress(count, text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}…")

    return emit


async def asks_for_progress(
    scope: Scope, receive: Receive, limit: int, is_streaming: Callable[[str], bool]
) -> tuple[bool, Receive]:
    """Return whether a request is to be answered with events, and where to receive it from.

    It is if it calls a tool that streams, has a token for its progress, and takes such an answer.
    All other answers are plain JSON, as most clients would rather have them.

    Parameters
    ----------
    scope, receive
        The request.
    limit
        How many bytes of its body are looked at.
    is_streaming
        Whether a tool streams.
    """
    accepted = b",".join(value for name, value in scope["headers"] if name == b"accept")
    types = {
        part.partition(";")[0].strip() for part in accepted.decode("latin-1").lower().split(",")
    }
    if EVENTS not in types or "application/json" not in types:
        return False, receive
    body, again = await _peek(receive, limit)
    return _TOKEN in body and _calls(body, is_streaming), again


async def _peek(receive: Receive, limit: int) -> tuple[bytes, Receive]:
    """Return a body, as far as it goes within `limit`, and how to receive it once more."""
    received: list[Message] = []
    body = bytearray()
    while len(body) <= limit:
        message = await receive()
        received.append(message)
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break

    async def again() -> Message:
        return received.pop(0) if received else await receive()

    return bytes(body), again


def _calls(body: bytes, is_streaming: Callable[[str], bool]) -> bool:
    try:
        message = json.loads(body)
        params = message["params"]
        token = params["_meta"]["progressToken"]
        name = params["name"]
    except (ValueError, RecursionError, TypeError, LookupError):
        return False  # whatever is wrong with it, its answer is JSON
    if message.get("method") != "tools/call" or not isinstance(name, str):
        return False
    return isinstance(token, str | int) and not isinstance(token, bool) and is_streaming(name)
