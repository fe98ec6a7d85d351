"""Replays: what is asked again with the same idempotency key is answered again, and not run again.

The semantics are those of the HTTP working group's draft "The Idempotency-Key HTTP Header Field",
except that a request which comes while the first one runs waits for it instead of being refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from kaizen_nexus._accel import cache_key
from kaizen_nexus.runtime.errors import (
    AbandonedError,
    IdempotencyKeyError,
    IdempotencyKeyReusedError,
    OverloadedError,
    RunFailedError,
)
from kaizen_nexus.runtime.invocation import Result

if TYPE_CHECKING:
    from kaizen_nexus.runtime.invocation import Invocation

__all__ = ["DEFAULT_TTL", "MAX_KEY_LENGTH", "Replays"]

DEFAULT_TTL = 86_400.0
DEFAULT_MAX_ENTRIES = 10_000
DEFAULT_MAX_BYTES = 64 * 1024 * 1024
DEFAULT_MAX_WAITING = 1_000
MAX_KEY_LENGTH = 255
_KEY = re.compile(rf"[ -~]{{1,{MAX_KEY_LENGTH}}}")
_LONG_TEXT = 16_384
_ENTRY_BYTES = 1_024
"""What an entry takes besides the body of its result, rounded up."""

_Key = tuple[str, str]
_Outcome = Result | BaseException


@dataclass(slots=True)
class _Run:
    """A run in progress."""

    digest: str
    settled: Future[_Outcome | None] = field(default_factory=Future)
    """None if it was cancelled, as happens when the event loop that it is on ends."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """How a run ended that is over."""

    digest: str
    outcome: _Outcome
    size: int
    expires: float


class Replays:
    """Runs what has an idempotency key once, and remembers how that ended.

    Thread-safe: callers may be on different event loops. Everything is kept in this process and
    gone with it.

    Parameters
    ----------
    ttl
        Seconds for which an outcome is kept.
    max_entries, max_bytes
        How many outcomes are kept, and how many bytes they may take together; beyond that the least
        recently used is forgotten.
    max_waiting
        How many may wait for somebody else's run; further ones are refused.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        ttl: float = DEFAULT_TTL,
        max_entries: int = DEFAULT_MAX_ENTRIES,
        max_bytes: int = DEFAULT_MAX_BYTES,
        max_waiting: int = DEFAULT_MAX_WAITING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not ttl > 0:
            raise ValueError(f"idempotency_ttl must be a positive number of seconds, not {ttl!r}")
        self.ttl = float(ttl)
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.max_waiting = max_waiting
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[_Key, _Run] = {}
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        # The loop refers to its tasks weakly, and a caller may leave before its run ends.
        self._tasks: set[asyncio.Task[Result]] = set()
        self._bytes = self._waiting = 0
        self._replayed = self._reused = self._evicted = self._expired = 0

    def figures(self) -> dict[str, int]:
        """Return what is kept and in progress, and what was counted since the start."""
        with self._lock:
            return {
                "kept": len(self._kept),
                "bytes": self._bytes,
                "running": len(self._running),
                "waiting": self._waiting,
                "replayed": self._replayed,
                "reused": self._reused,
                "evicted": self._evicted,
                "expired": self._expired,
            }

    async def once(
        self,
        invocation: Invocation,
        run: Callable[[Invocation], Coroutine[Any, Any, Result]],
    ) -> Result:
        """Return what `run` returns for `invocation`, or returned when it was asked before.

        A run goes on when whoever asked for it leaves, since they may ask again: `run` gets an
        invocation without `caller_gone`. How it ended is kept if the agent was called, or may have
        been; a refusal is not. Whoever waits for a run that is refused is refused with it.

        Raises
        ------
        IdempotencyKeyError
            The key is malformed, or the inputs cannot be compared.
        IdempotencyKeyReusedError
            The caller has used the key for another workflow, channel, session or other inputs.
        OverloadedError
            `max_waiting` wait for runs of others.
        AbandonedError
            The caller has gone; the run goes on.
        """
        key, digest = _identity(invocation)
        while True:
            known, begins = self._claim(key, digest)
            if isinstance(known, _Kept):
                return _told_again(known.outcome)
            if begins:
                task = asyncio.ensure_future(
                    run(msgspec.structs.replace(invocation, caller_gone=None))
                )
                self._tasks.add(task)
                task.add_done_callback(partial(self._settle, key, known))
            outcome = await self._wait(known, invocation.caller_gone, counted=not begins)
            if outcome is not None:
                return _told(outcome) if begins else _told_again(outcome)

    def _claim(self, key: _Key, digest: str) -> tuple[_Kept | _Run, bool]:
        """Return what is known of the key, and whether that is a run which is to begin now."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept.expires <= self._clock():
                self._forget(key)
                self._expired += 1
                kept = None
            known = kept or self._running.get(key)
            if known is None:
                begun = self._running[key] = _Run(digest)
                return begun, True
            if known.digest != digest:
                self._reused += 1
                raise IdempotencyKeyReusedError
            if isinstance(known, _Kept):
                self._kept.move_to_end(key)
            elif self._waiting >= self.max_waiting:
                raise OverloadedError(f"{self.max_waiting} requests wait for a run of their key")
            else:
                self._waiting += 1
            self._replayed += 1
            return known, False

    async def _wait(
        self,
        current: _Run,
        caller_gone: Callable[[], Awaitable[object]] | None,
        *,
        counted: bool,
    ) -> _Outcome | None:
        settled = asyncio.wrap_future(current.settled)
        watcher = None if caller_gone is None else asyncio.ensure_future(_awaited(caller_gone))
        try:
            await asyncio.wait(
                (settled,) if watcher is None else (settled, watcher),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            if watcher is not None:
                watcher.cancel()
            if counted:
                with self._lock:
                    self._waiting -= 1
        if not settled.done():
            raise AbandonedError
        return settled.result()

    def _settle(self, key: _Key, current: _Run, task: asyncio.Task[Result]) -> None:
        """Keep how a run ended, and tell everybody who waits for it."""
        self._tasks.discard(task)
        outcome: _Outcome | None = None
        if not task.cancelled():
            outcome = task.exception() or task.result()
        with self._lock:
            del self._running[key]
            if isinstance(outcome, Result):
                self._keep(key, current.digest, outcome, _ENTRY_BYTES + len(outcome.body))
            elif isinstance(outcome, RunFailedError):
                self._keep(key, current.digest, _copy(outcome), _ENTRY_BYTES)
        current.settled.set_result(outcome)

    def _keep(self, key: _Key, digest: str, outcome: _Outcome, size: int) -> None:
        self._kept[key] = _Kept(digest, outcome, size, self._clock() + self.ttl)
        self._bytes += size
        while self._bytes > self.max_bytes or len(self._kept) > self.max_entries:
            self._evicted += 1
            self._forget(next(iter(self._kept)))

    def _forget(self, key: _Key) -> None:
        self._bytes -= self._kept.pop(key).size


def _identity(invocation: Invocation) -> tuple[_Key, str]:
    """Return whose key it is, and a digest of all that a retry has in common with the first."""
    key = invocation.idempotency_key or ""
    if not _KEY.fullmatch(key):
        raise IdempotencyKeyError(
            f"an idempotency key has 1 to {MAX_KEY_LENGTH} characters, all printable ASCII"
        )
    try:
        digest = cache_key(
            invocation.channel,
            invocation.name,
            invocation.session_id,
            _abridged(invocation.inputs),
        )
    except (TypeError, ValueError) as error:
        raise IdempotencyKeyError(f"the inputs cannot be compared: {error}") from None
    return (invocation.caller.id, key), digest


def _abridged(value: Any) -> Any:
    """Return JSON values with a digest, as no JSON value is, for each text that is long.

    What encodes them all at once would have such a text twice more.
    """
    if isinstance(value, str) and len(value) > _LONG_TEXT:
        digest = hashlib.blake2b(digest_size=32)
        for start in range(0, len(value), _LONG_TEXT):
            digest.update(value[start : start + _LONG_TEXT].encode("utf-8", "surrogatepass"))
        return digest.digest()
    if not isinstance(value, (dict, list)):
        return value
    copy: dict[Any, Any] | list[Any] | None = None
    for place, member in value.items() if isinstance(value, dict) else enumerate(value):
        shorter = _abridged(member)
        if shorter is not member:
            copy = value.copy() if copy is None else copy
            copy[place] = shorter
    return value if copy is None else copy


def _told(outcome: _Outcome) -> Result:
    if isinstance(outcome, Result):
        return outcome
    raise outcome


def _told_again(outcome: _Outcome) -> Result:
    """Return or raise how a run ended that the caller has not begun."""
    if isinstance(outcome, Result):
        return msgspec.structs.replace(outcome, replayed=True)
    if isinstance(outcome, RunFailedError):
        raise _copy(outcome, replayed=True)
    raise outcome


def _copy(error: BaseException, **changes: Any) -> BaseException:
    """Return an error of its own: one that is raised collects frames, and all that they hold."""
    copy = type(error).__new__(type(error))
    BaseException.__init__(copy, *error.args)  # the class's own would word the message anew
    vars(copy).update(vars(error), **changes)
    return copy


async def _awaited(call: Callable[[], Awaitable[object]]) -> None:
    await call()
