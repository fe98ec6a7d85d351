"""A circuit breaker for each deployment: an agent that keeps failing is not called for a while.

The pattern is that of M. Nygard, *Release It!* (2007). The circuit is closed while all is well. It
opens after failures in a row, or when too many of the last runs failed; requests are then refused
at once. After a pause it is half open: one request is let through as a probe. If that succeeds the
circuit closes, otherwise it opens again, for twice as long.

Only what the agent did counts. Invalid inputs, requests that were refused or given up before the
agent was called, and clients that hang up do not.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypedDict, TypeVar

import msgspec

from kaizen_nexus.runtime.checks import checked_count
from kaizen_nexus.runtime.errors import AbandonedError, QuarantinedError, RunFailedError

__all__ = [
    "DEFAULT_QUARANTINE",
    "SWITCH",
    "Attempt",
    "Breaker",
    "BreakerStats",
    "Quarantine",
    "in_force",
]

T = TypeVar("T")

logger = logging.getLogger("kaizen_nexus.runtime")

CLOSED: Literal["closed"] = "closed"
OPEN: Literal["open"] = "open"
HALF_OPEN: Literal["half-open"] = "half-open"

SWITCH = "KAIZEN_NEXUS_QUARANTINE"
"""The environment variable that switches quarantine off for a whole process."""
MAX_WINDOW = 10_000
PARDON = 300.0
"""Seconds after which an earlier run that blocked the event loop no longer counts."""


@dataclass(frozen=True)
class Quarantine:
    """When an agent that keeps failing is quarantined, and for how long.

    Parameters
    ----------
    failures
        How many runs in a row fail.
    rate
        Or the share of the last `window` runs that fails, above 0 and at most 1. While there were
        fewer runs, the missing ones count as successes.
    window
        How many runs are looked at, at most 10,000.
    pause
        Seconds until the agent is tried again. They double each time it fails then, or soon after.
    max_pause
        Seconds that a pause lasts at most.
    max_abandoned
        How many runs may go on although they were given up; until one of them ends the agent is
        not called.
    """

    failures: int = 10
    rate: float = 0.5
    window: int = 50
    pause: float = 5.0
    max_pause: float = 300.0
    max_abandoned: int = 10

    def __post_init__(self) -> None:
        checked_count("failures", self.failures)
        checked_count("max_abandoned", self.max_abandoned)
        if checked_count("window", self.window, least=self.failures) > MAX_WINDOW:
            raise ValueError(f"window must be at most {MAX_WINDOW}, not {self.window}")
        if not 0 < self.rate <= 1:
            raise ValueError(f"rate must be above 0 and at most 1, not {self.rate!r}")
        if not 0 < self.pause <= self.max_pause < math.inf:
            raise ValueError(
                "pause must be a positive number of seconds and at most max_pause, not "
                f"{self.pause!r} and {self.max_pause!r}"
            )


DEFAULT_QUARANTINE = Quarantine()


def in_force(settings: Quarantine | None) -> Quarantine | None:
    """Return `settings`, or None if the environment switches quarantine off."""
    return None if os.environ.get(SWITCH) == "off" else settings


class BreakerStats(TypedDict):
    """How a deployment has done lately."""

    version: int
    circuit: Literal["closed", "open", "half-open"]
    recent_failures: int
    opened: int
    refused: int
    abandoned: int
    blocked: int
    isolated: bool


class Breaker:
    """Decides whether a deployment's agent is called. Thread-safe; O(1) for each run.

    Parameters
    ----------
    name, version
        What is deployed.
    settings
        When to open; None for never.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        version: int,
        settings: Quarantine | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.version = version
        self.state: Literal["closed", "open", "half-open"] = CLOSED
        self.opened = 0
        """How often the circuit has opened."""
        self.refused = 0
        self.abandoned = 0
        """How many runs go on although they were given up."""
        self.blocked = 0
        """How many runs were caught blocking the event loop."""
        self.isolated = False
        """Whether the agent, though asynchronous, is to be run in a thread."""
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self.history = 0
        """The last runs, one bit each, the latest lowest: 1 for a failure."""
        # Runs of an earlier state tell nothing about this one.
        self._epoch = 0
        self._probing = False
        self._pause = 0.0
        self._until = 0.0
        self._closed_at = -math.inf
        self._caught_at = -math.inf

    def attempt(self) -> Attempt:
        """Return a call of the agent that may be made.

        Raises
        ------
        QuarantinedError
            The agent is not called for a while.
        """
        if self.state == CLOSED and not self.abandoned:
            return Attempt(self, self._epoch, isolated=self.isolated)
        return self._checked_attempt()

    def stats(self) -> BreakerStats | None:
        """Return how the deployment has done lately; None if nothing ever failed."""
        history = self.history
        if not (history or self.opened or self.abandoned or self.blocked):
            return None
        return {
            "version": self.version,
            "circuit": self.state,
            "recent_failures": history.bit_count(),
            "opened": self.opened,
            "refused": self.refused,
            "abandoned": self.abandoned,
            "blocked": self.blocked,
            "isolated": self.isolated,
        }

    def _checked_attempt(self) -> Attempt:
        settings = self._settings
        if settings is None:
            return Attempt(self, self._epoch, isolated=self.isolated)
        with self._lock:
            wait = self._wait(settings)
            if wait > 0:
                self.refused += 1
                raise QuarantinedError(self.name, math.ceil(wait))
            if self.state == CLOSED:
                return Attempt(self, self._epoch, isolated=self.isolated)
            is_first = self.state == OPEN
            if is_first:
                self._move(HALF_OPEN)
            self._probing = True
            probe = Attempt(self, self._epoch, True, self.isolated or self.blocked > 0)
        if is_first:
            logger.info("%r (version %d) is tried again", self.name, self.version)
        return probe

    def _wait(self, settings: Quarantine) -> float:
        """Return after how many seconds a request may be let through."""
        if self.abandoned >= settings.max_abandoned:
            return self._pause or settings.pause
        if self.state == OPEN:
            return self._until - self._clock()
        return 1.0 if self._probing else 0.0

    def record(self, attempt: Attempt, failed: bool | None) -> None:
        """Take note of how a run ended; None if that says nothing about the agent."""
        settings = self._settings
        if settings is None:
            return
        event = ""
        with self._lock:
            if attempt.epoch != self._epoch:
                return
            if attempt.probe:
                self._probing = False
                if failed is not None:
                    event = self._open(settings) if failed else self._close()
            elif failed is not None:
                event = self._count(settings, failed)
        if event:
            logger.warning("%r (version %d) %s", self.name, self.version, event)

    def leave(self, attempt: Attempt) -> None:
        """Count a run that goes on although it was given up."""
        with self._lock:
            self.abandoned += 1
            attempt.abandoned = True
        if not attempt.running:  # it has ended in the meantime, perhaps before it saw that
            self.settle(attempt)

    def settle(self, attempt: Attempt) -> None:
        """Count no longer a run that has come to its end."""
        with self._lock:
            if attempt.abandoned:
                attempt.abandoned = False
                self.abandoned -= 1

    def caught(self, seconds: float, where: str) -> None:
        """Count a run that blocks the event loop; isolate the agent if another did so lately.

        The first time may be due to something that happens only once, such as an import.
        """
        if self._settings is None:
            return
        with self._lock:
            self.blocked += 1
            now = self._clock()
            isolates = not self.isolated and now - self._caught_at < PARDON
            self._caught_at = now
            self.isolated = self.isolated or isolates
        logger.warning(
            "%r (version %d) has blocked the event loop for more than %g s, at %s; no other "
            "request is answered meanwhile. Await what takes time, or make the agent a synchronous "
            "function%s",
            self.name,
            self.version,
            seconds,
            where,
            ". From now on it is run in a thread, with an event loop of its own" * isolates,
        )

    def _count(self, settings: Quarantine, failed: bool) -> str:
        self.history = (self.history << 1 | failed) & ((1 << settings.window) - 1)
        in_a_row = (1 << settings.failures) - 1
        if self.history & in_a_row == in_a_row:
            return f"has failed {settings.failures} times in a row, and {self._open(settings)}"
        failures = self.history.bit_count()
        if failures >= settings.rate * settings.window:
            return (
                f"has failed {failures} times in its last {settings.window} runs, "
                f"and {self._open(settings)}"
            )
        return ""

    def _open(self, settings: Quarantine) -> str:
        now = self._clock()
        soon = self.state == HALF_OPEN or now - self._closed_at < self._pause
        self._pause = min(2 * self._pause, settings.max_pause) if soon else settings.pause
        self._until = now + self._pause
        self.opened += 1
        self._move(OPEN)
        return f"is quarantined for {self._pause:g} s"

    def _close(self) -> str:
        self.history = 0
        self._closed_at = self._clock()
        self._move(CLOSED)
        return "answers again, and is quarantined no longer"

    def _move(self, state: Literal["closed", "open", "half-open"]) -> None:
        self.state = state
        self._epoch += 1


class Attempt(msgspec.Struct, eq=False):
    """One call of a deployment's agent, as its breaker counts it.

    The agent may go on after `close`, when the run was given up. It counts as abandoned from then
    on until `end`. Both may be called from different threads.
    """

    breaker: Breaker
    epoch: int
    probe: bool = False
    isolated: bool = False
    """Whether the agent, if asynchronous, is run in a thread."""
    begun: bool = False
    running: bool = False
    closed: bool = False
    abandoned: bool = False
    blocked: bool = False

    def begin(self) -> None:
        """Note that the agent is called.

        Raises
        ------
        AbandonedError
            The run was given up already, so the agent must not be called.
        """
        self.begun = self.running = True
        if self.closed:
            self.end()
            raise AbandonedError

    def end(self) -> None:
        """Note that the agent has come to its end, whether or not somebody still waits for it."""
        self.running = False
        if self.abandoned:
            self.breaker.settle(self)

    def make(self, call: Callable[[], T]) -> T:
        """Return what `call` returns; the agent begins and ends with it."""
        self.begin()
        try:
            return call()
        finally:
            self.end()

    def caught(self, seconds: float, where: str) -> None:
        """Note that the agent has blocked the event loop for so long, and where it is."""
        self.blocked = True
        self.breaker.caught(seconds, where)

    def close(self, error: Exception | None) -> None:
        """Note how the run ended for whoever waited for it; the agent may go on."""
        breaker = self.breaker
        self.closed = True
        if error is None:
            if breaker.history or self.probe or self.blocked:
                breaker.record(self, failed=self.blocked)
            return
        if self.running:
            breaker.leave(self)
        counts = self.begun and isinstance(error, RunFailedError)
        breaker.record(self, failed=True if counts else None)
