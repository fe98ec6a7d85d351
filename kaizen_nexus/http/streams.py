"""Streamed answers: how many may be open, how each is written, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypedDict

from kaizen_nexus.access.errors import (
    AuthenticationUnavailableError,
    ForbiddenError,
    UnauthenticatedError,
)
from kaizen_nexus.http.body import until_disconnected
from kaizen_nexus.runtime.errors import AbandonedError, OverloadedError, ShuttingDownError

if TYPE_CHECKING:
    from starlette.types import Receive, Send

    from kaizen_nexus.runtime.invocation import Invocation

__all__ = [
    "DEFAULT_MAX_STREAMS",
    "OpenStream",
    "StreamStats",
    "StreamedAnswer",
    "Streams",
    "emitter",
]

DEFAULT_MAX_STREAMS = 500
CHECK_INTERVAL = 15.0
"""Seconds between two checks whether a reader may still read."""
FAREWELL_TIMEOUT = 5.0
"""Seconds that the last part of an answer may wait for a reader who does not read."""


class StreamStats(TypedDict):
    """What is counted of an app's streams."""

    open: int
    max_open: int
    refused: int


class Streams:
    """The open streams of an app, which are bounded, and ended together when it stops.

    For one event loop.

    Parameters
    ----------
    max_open
        How many may be open at the same time; further ones are refused.
    """

    def __init__(self, max_open: int = DEFAULT_MAX_STREAMS) -> None:
        if isinstance(max_open, bool) or not isinstance(max_open, int) or max_open < 1:
            raise ValueError(f"max_streams must be a whole number of at least 1, not {max_open!r}")
        self.max_open = max_open
        self.refused = 0
        self._open: set[OpenStream] = set()
        self._closed = False

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._open)

    def stats(self) -> StreamStats:
        """Return how many are open, may be open, and were refused."""
        return {"open": len(self), "max_open": self.max_open, "refused": self.refused}

    @contextlib.contextmanager
    def enter(self) -> Iterator[OpenStream]:
        """Count as one more open stream until the block ends.

        Raises
        ------
        OverloadedError
            `max_open` are open.
        ShuttingDownError
            `close` was called.
        """
        if self._closed:
            raise ShuttingDownError
        if len(self._open) >= self.max_open:
            self.refused += 1
            raise OverloadedError(f"{self.max_open} streams are open")
        stream = OpenStream()
        self._open.add(stream)
        try:
            yield stream
        finally:
            self._open.discard(stream)

    def open(self) -> None:
        """Let streams be opened again after `close`."""
        self._closed = False

    def close(self, grace: float = 0.0) -> None:
        """Refuse further streams, and end the open ones with a last part for their readers.

        Parameters
        ----------
        grace
            Seconds that open streams have to end by themselves.
        """
        self._closed = True
        asyncio.get_running_loop().call_later(grace, self._end)

    def _end(self) -> None:
        for stream in list(self._open) if self._closed else ():
            stream.end()


class OpenStream:
    """One open stream."""

    def __init__(self) -> None:
        self._ending = asyncio.Event()
        self._refusal: Exception | None = None

    def end(self) -> None:
        """Ask for its end."""
        self._ending.set()

    async def given_up(
        self,
        receive: Receive,
        check: Callable[[], Awaitable[None]] | None = None,
        interval: float = CHECK_INTERVAL,
    ) -> None:
        """Return when its end is asked for, or when its reader has gone or lost access.

        Parameters
        ----------
        receive
            Where the reader's connection is watched.
        check
            Raises if the reader would be refused now.
        interval
            Seconds between two checks.
        """
        reasons: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(until_disconnected(receive)),
            asyncio.ensure_future(self._ending.wait()),
        ]
        if check is not None:
            reasons.append(asyncio.ensure_future(self._until_refused(check, interval)))
        try:
            await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for reason in reasons:
                reason.cancel()

    async def _until_refused(self, check: Callable[[], Awaitable[None]], interval: float) -> None:
        while self._refusal is None:
            await asyncio.sleep(interval)
            try:
                with contextlib.suppress(AuthenticationUnavailableError):  # try again later
                    await check()
            except (UnauthenticatedError, ForbiddenError) as error:
                self._refusal = error

    def reason(self, error: Exception) -> Exception:
        """Return the error to send to the reader of a run that ended in `error`."""
        if isinstance(error, AbandonedError):
            if self._ending.is_set():
                return ShuttingDownError()
            if self._refusal is not None:
                return self._refusal
        return error


def emitter(
    invocation: Invocation, emit: Callable[[bytes], Awaitable[None]]
) -> Callable[[bytes], Awaitable[None]]:
    """Return what passes the chunks of a run on to `emit`.

    A run with an idempotency key goes on when its reader has gone: the reader may ask again.
    """
    if invocation.idempotency_key is None:
        return emit

    async def emit_if_read(chunk: bytes) -> None:
        with contextlib.suppress(AbandonedError, OSError):
            await emit(chunk)

    return emit_if_read


class StreamedAnswer:
    """An HTTP answer with status 200 whose head is sent with the first part of its body.

    Until then, the request can be answered in any other way. Parts may be written by one task and
    the last one by another.

    Parameters
    ----------
    send
        Where the server takes the answer; a slow reader makes it wait.
    headers
        The answer's headers; may be added to until the first part is written.
    """

    def __init__(self, send: Send, headers: dict[str, str]) -> None:
        self.headers = headers
        self.begun = False
        """Whether the head has been sent; does not change after `settle`."""
        self._send = send
        self._lock = asyncio.Lock()
        self._settled = False

    async def write(self, data: bytes) -> None:
        """Send one part, as soon as the reader lets it be sent.

        Raises
        ------
        AbandonedError
            The answer is settled.
        """
        async with self._lock:
            if self._settled:
                raise AbandonedError
            await self._begin()
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def settle(self) -> None:
        """Let no more parts be written but the last, and wait for one that is being written."""
        self._settled = True
        async with self._lock:
            return

    async def finish(self, data: bytes) -> None:
        """Send the last part."""
        await self._begin()
        await self._send({"type": "http.response.body", "body": data})

    async def _begin(self) -> None:
        if self.begun:
            return
        headers = [(n.lower().encode(), v.encode("latin-1")) for n, v in self.headers.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        # Afterwards: a task that is cancelled while `send` waits has sent nothing.
        self.begun = True
