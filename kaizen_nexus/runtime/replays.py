"""Replays: a request that repeats an idempotency key gets the earlier answer, and runs nothing.

The semantics are those of the HTTP working group's draft "The Idempotency-Key HTTP Header Field",
except that a request which comes while the first one runs waits for it instead of being refused.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import msgspec

from kaizen_nexus._accel import cache_key
from kaizen_nexus._errors import NexusError
from kaizen_nexus.runtime.errors import (
    AbandonedError,
    IdempotencyKeyError,
    IdempotencyKeyReusedError,
    OverloadedError,
    RunFailedError,
)
from kaizen_nexus.runtime.invocation import Result
from kaizen_nexus.runtime.run import Run

if TYPE_CHECKING:
    from kaizen_nexus.runtime.invocation import Invocation

__all__ = ["DEFAULT_TTL", "MAX_KEY_LENGTH", "ReplayStats", "Replays"]

E = TypeVar("E", bound=BaseException)

DEFAULT_TTL = 86_400.0
DEFAULT_MAX_ENTRIES = 10_000
DEFAULT_MAX_BYTES = 64 * 1024 * 1024
DEFAULT_MAX_WAITING = 1_000
MAX_KEY_LENGTH = 255
_KEY = re.compile(rf"[ -~]{{1,{MAX_KEY_LENGTH}}}")
_ENTRY_BYTES = 1_024
"""What an entry takes besides the body of its result, rounded up."""

_Key = tuple[str, str]


class ReplayStats(TypedDict):
    """What is kept and in progress, and what was counted since the start."""

    kept: int
    bytes: int
    running: int
    waiting: int
    replayed: int
    reused: int
    evicted: int
    expired: int


@dataclass(slots=True, eq=False)
class _Running:
    """A run in progress, the request that has begun it, and those that wait for it as well."""

    digest: str
    loop: asyncio.AbstractEventLoop
    first: Replay | None = None
    others: set[Replay] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Kept:
    """How a run ended that is over."""

    digest: str
    outcome: Result | RunFailedError
    size: int
    expires: float


class Replay(Run):
    """One request with an idempotency key: it has the outcome of a run that several may wait for.

    Giving it up gives up nothing but the wait: the run goes on, since the request may come again.
    """

    __slots__ = ("_watcher", "left")

    def __init__(self, on_end: Callable[[Run], object]) -> None:
        super().__init__(on_end)
        self.left: Callable[[], object] | None = None
        """Called at the end, if there is anything to call."""
        self._watcher: asyncio.Task[None] | None = None

    def give_up(self) -> None:
        """Wait no longer."""
        super().give_up()
        self.end(AbandonedError())

    def end(self, outcome: Result | BaseException, *, replayed: bool = False) -> None:
        """Take the outcome of the run, unless the request was given up, and call `on_end`."""
        if self.ended:
            return
        self.ended = True
        if self._watcher is not None:
            self._watcher.cancel()
        if self.left is not None:
            self.left()
        if isinstance(outcome, Result):
            self._result = msgspec.structs.replace(outcome, replayed=True) if replayed else outcome
        elif replayed and isinstance(outcome, RunFailedError):
            self._error = _copy(outcome, replayed=True)
        else:
            self._error = outcome
        self.notify()

    def watch(self, caller_gone: Callable[[], Awaitable[object]]) -> None:
        """End when the caller has gone."""
        self._watcher = asyncio.get_running_loop().create_task(self._watch(caller_gone))

    async def _watch(self, caller_gone: Callable[[], Awaitable[object]]) -> None:
        await caller_gone()
        self.end(AbandonedError())


class Replays:
    """Runs what has an idempotency key once, and remembers how that ended.

    Everything is kept in this process and gone with it.

    Parameters
    ----------
    ttl
        Seconds for which an outcome is kept.
    max_entries, max_bytes
        How many outcomes are kept, and how many bytes they may take together; beyond that the least
        recently used is forgotten.
    max_waiting
        How many requests may wait for a run that an earlier one has begun; further ones are
        refused.
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
        self._running: dict[_Key, _Running] = {}
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._bytes = self._waiting = 0
        self._replayed = self._reused = self._evicted = self._expired = 0

    def stats(self) -> ReplayStats:
        """Return what is kept and in progress, and what was counted since the start."""
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

    def start(
        self,
        invocation: Invocation,
        ended: Callable[[Run], object],
        begin: Callable[[Invocation, Callable[[Run], object]], object],
    ) -> Run:
        """Return a run of `invocation`, or one that ends as an earlier one with its key does.

        A run goes on when whoever asked for it leaves, since they may ask again: `begin` gets an
        invocation without `caller_gone`. How it ended is kept if the agent was called, or may have
        been; a refusal is not. Requests that wait for a run which is refused are refused with it.

        The run that is returned ends with an `IdempotencyKeyError` if the key is malformed or the
        inputs cannot be compared, an `IdempotencyKeyReusedError` if the caller has used the key for
        anything else, and an `OverloadedError` if `max_waiting` wait.
        """
        replay = Replay(ended)
        try:
            key, digest = _identity(invocation)
            known, begins = self._claim(key, digest)
        except NexusError as error:
            replay.end(error)
            return replay
        if isinstance(known, _Kept):
            replay.end(known.outcome, replayed=True)
            return replay
        if begins:
            known.first = replay
            alone = msgspec.structs.replace(invocation, caller_gone=None, idempotency_key=None)
            begin(alone, partial(self._settle, key, known))
        else:
            known.others.add(replay)
            self._waiting += 1
            replay.left = partial(self._leave, known, replay)
        if not replay.ended and invocation.caller_gone is not None:
            replay.watch(invocation.caller_gone)
        return replay

    def _leave(self, current: _Running, replay: Replay) -> None:
        current.others.discard(replay)
        self._waiting -= 1

    def _claim(self, key: _Key, digest: str) -> tuple[_Kept | _Running, bool]:
        """Return what is known of the key, and whether that is a run which is to begin now."""
        kept = self._kept.get(key)
        if kept is not None and kept.expires <= self._clock():
            self._forget(key)
            self._expired += 1
            kept = None
        known = kept or self._running.get(key)
        loop = asyncio.get_running_loop()
        if known is None or (isinstance(known, _Running) and known.loop is not loop):
            begun = self._running[key] = _Running(digest, loop)
            return begun, True
        if known.digest != digest:
            self._reused += 1
            raise IdempotencyKeyReusedError
        if isinstance(known, _Kept):
            self._kept.move_to_end(key)
        elif self._waiting >= self.max_waiting:
            raise OverloadedError(
                f"{self.max_waiting} requests wait for runs with their idempotency keys"
            )
        self._replayed += 1
        return known, False

    def _settle(self, key: _Key, current: _Running, run: Run) -> None:
        """Keep how a run ended, and end all requests that wait for it."""
        outcome: Result | BaseException
        try:
            outcome = run.outcome()
        except Exception as error:
            outcome = error
        if self._running.get(key) is current:
            del self._running[key]
        if isinstance(outcome, Result):
            self._keep(key, current.digest, outcome, _ENTRY_BYTES + len(outcome.body))
        elif isinstance(outcome, RunFailedError):
            self._keep(key, current.digest, _copy(outcome), _ENTRY_BYTES)
        if current.first is not None:
            current.first.end(outcome)
        for replay in tuple(current.others):
            replay.end(outcome, replayed=True)

    def _keep(self, key: _Key, digest: str, outcome: Result | RunFailedError, size: int) -> None:
        self._kept[key] = _Kept(digest, outcome, size, self._clock() + self.ttl)
        self._bytes += size
        while self._bytes > self.max_bytes or len(self._kept) > self.max_entries:
            self._evicted += 1
            self._forget(next(iter(self._kept)))

    def _forget(self, key: _Key) -> None:
        self._bytes -= self._kept.pop(key).size


def _identity(invocation: Invocation) -> tuple[_Key, str]:
    """Return the caller with the key, and a digest of all that a retry must repeat."""
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
            invocation.inputs,
        )
    except (TypeError, ValueError) as error:
        raise IdempotencyKeyError(f"the inputs cannot be compared: {error}") from None
    return (invocation.caller.id, key), digest


def _copy(error: E, **changes: Any) -> E:
    """Return a new error: one that was raised keeps the frames of its traceback alive."""
    copy = type(error).__new__(type(error))
    BaseException.__init__(copy, *error.args)  # the class's own would word the message anew
    vars(copy).update(vars(error), **changes)
    return copy
