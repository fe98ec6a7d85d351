"""What a client is told of a tool that streams: how many chunks there were, and the last one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from kaizen_nexus.channels.mcp.messages import encode

__all__ = ["MAX_MESSAGE", "reporter"]

MAX_MESSAGE = 4096
"""How much of a chunk is shown, in characters."""


def reporter(
    token: int | str, send: Callable[[bytes], Awaitable[None]]
) -> Callable[[bytes], Awaitable[None]]:
    """Return what takes the chunks of a run, and sends a notification of each.

    Parameters
    ----------
    token
        What the client knows the call by.
    send
        Takes a message; the next chunk is made when it returns.
    """
    count = 0

    async def emit(chunk: bytes) -> None:
        nonlocal count
        count += 1
        text = msgspec.json.decode(chunk) if chunk.startswith(b'"') else chunk.decode()
        message = text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}…"
        params = {"progressToken": token, "progress": count, "message": message}
        notification = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
        await send(encode(notification))

    return emit
