"""Running what a streaming agent returned: chunk after chunk, and to its end however it ends.

A generator is closed exactly once, and never while it runs: an asynchronous one by the task that
iterates over it; a synchronous one in a thread, and if that is in the middle of a step when it is
given up, by that thread when the step is over. The agent counts as running until then.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from kaizen_nexus.runtime.errors import (
    AbandonedError,
    AgentExitError,
    OverloadedError,
    ResultTooLargeError,
)

if TYPE_CHECKING:
    from kaizen_nexus.agents.streams import StreamOutputs
    from kaizen_nexus.runtime.breaker import Attempt
    from kaizen_nexus.runtime.threads import ThreadPool

__all__ = ["MAX_BYTES", "MAX_CHUNKS", "AsyncSteps", "Steps", "ThreadSteps", "collect"]

MAX_CHUNKS = 100_000
MAX_BYTES = 16 * 1024 * 1024
"""How much of a result is collected, as JSON text."""

END = object()
"""What comes after the last chunk."""

logger = logging.getLogger("kaizen_nexus.runtime")


class Steps(Protocol):
    """An iterator that is used by one task."""

    async def step(self) -> Any:
        """Return the next chunk, or `END`."""

    async def close(self) -> None:
        """Let the iterator go, whether or not it has come to its end; further calls do nothing."""


class AsyncSteps:
    """Iterates on the event loop.

    Parameters
    ----------
    invoke
        Returns the asynchronous iterator, or an awaitable of it.
    attempt
        Is told when the agent begins, and when it has ended.
    """

    def __init__(self, invoke: Callable[[], Any], attempt: Attempt) -> None:
        self._invoke = invoke
        self._attempt = attempt
        self._iterator: Any = None

    async def step(self) -> Any:
        """Return the next chunk, or `END`."""
        if self._iterator is None:
            self._attempt.begin()
            self._iterator = self._invoke()
            if inspect.isawaitable(self._iterator):
                self._iterator = await self._iterator
        try:
            chunk = await self._iterator.__anext__()
        except StopAsyncIteration:
            return END
        # An iterator that waits for nothing would not let anything else happen in between.
        await asyncio.sleep(0)
        return chunk

    async def close(self) -> None:
        """Let the iterator go."""
        try:
            close = getattr(self._iterator, "aclose", None)
            if close is not None:
                await close()
        finally:
            self._attempt.end()


class ThreadSteps:
    """Iterates in threads, each step in one that is free, so that none waits for a slow reader.

    Parameters
    ----------
    invoke
        Returns the iterator; called in a thread.
    attempt
        Is told when the agent begins, and when it has ended.
    threads
        Where it runs.
    closing
        Where it is closed: a full pool of running agents must not keep one from cleaning up.
    """

    def __init__(
        self,
        invoke: Callable[[], Any],
        attempt: Attempt,
        threads: ThreadPool,
        closing: ThreadPool,
    ) -> None:
        self._invoke = invoke
        self._attempt = attempt
        self._threads = threads
        self._closing = closing
        self._iterator: Any = None
        # One for all steps: what a generator sets in one is what it finds in the next.
        self._context = contextvars.copy_context()
        self._lock = threading.Lock()
        self._stepping = False
        self._closed = False

    async def step(self) -> Any:
        """Return the next chunk, or `END`."""
        return await self._threads.run(self._step)

    async def close(self) -> None:
        """Let the iterator go; if it is in the middle of a step, that sees to it."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._stepping:
                return
        if self._iterator is None:
            self._attempt.end()
            return
        try:
            await self._closing.run(self._close)
        except OverloadedError:
            self._attempt.end()  # it is not closed, but it does not run
            raise

    def _step(self) -> Any:
        with self._lock:
            if self._closed:
                return END
            self._stepping = True
        try:
            return self._context.run(self._next)
        finally:
            with self._lock:
                self._stepping = False
                given_up = self._closed
            if given_up:
                self._close_abandoned()

    def _next(self) -> Any:
        if self._iterator is None:
            self._attempt.begin()
            self._iterator = self._invoke()
        return next(self._iterator, END)

    def _close(self) -> None:
        try:
            close = getattr(self._iterator, "close", None)
            if close is not None:
                self._context.run(close)
        finally:
            self._attempt.end()

    def _close_abandoned(self) -> None:
        try:
            self._close()
        except Exception:
            logger.exception("an agent that was given up failed to clean up")


async def collect(
    outputs: StreamOutputs,
    steps: Steps,
    emit: Callable[[bytes], Awaitable[None]] | None = None,
) -> bytes:
    """Return the whole of what an iterator yields, as JSON text.

    Parameters
    ----------
    outputs
        How chunks are encoded.
    steps
        The iterator; closed in the end.
    emit
        Takes each chunk, as JSON text, before the next one is asked for.

    Raises
    ------
    InvalidOutputError
        A chunk has no JSON form, or is not of the type that is declared.
    ResultTooLargeError
        There are more than 100,000 chunks, or 16 MiB of them.
    AbandonedError
        A chunk could not be handed over.
    AgentExitError
        The agent raised `SystemExit` or `KeyboardInterrupt`.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        while (value := await steps.step()) is not END:
            chunk = outputs.encode_item(value)
            size += len(chunk)
            if len(chunks) == MAX_CHUNKS or size > MAX_BYTES:
                raise ResultTooLargeError(MAX_CHUNKS, MAX_BYTES)
            chunks.append(chunk)
            if emit is not None:
                await _hand_over(emit, chunk)
    except (SystemExit, KeyboardInterrupt) as error:
        # A task that ends so would end the event loop with it.
        raise AgentExitError(repr(error)) from error
    finally:
        await _close(steps)
    return outputs.join(chunks)


async def _hand_over(emit: Callable[[bytes], Awaitable[None]], chunk: bytes) -> None:
    try:
        await emit(chunk)
    except Exception as error:
        raise AbandonedError from error


async def _close(steps: Steps) -> None:
    try:
        await steps.close()
    except Exception:
        # The result, or what went wrong before, is what the caller is to know.
        logger.exception("a streaming agent failed to clean up")
    except (SystemExit, KeyboardInterrupt) as error:
        raise AgentExitError(repr(error)) from error
