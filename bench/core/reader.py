"""The thread that keeps asking while a store is swept, and what it saw."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.store import CHANGE, CHANNEL

__all__ = ["CHUNK", "Draw", "Observed", "Reader", "draws", "gaps_of", "without_table"]

UPDATE_EVERY = 10
CHUNK = 10_000
"""Answers between two looks at whether to stop."""

Draw = tuple[str, bool, bool]
"""An id, whether its session is live, and whether to update rather than get it."""


@dataclass(frozen=True)
class Observed:
    """What a reader saw."""

    gaps: NDArray[np.int64]
    """Nanoseconds from each answer to the next, so that no pause falls between two of them."""
    wrong: int
    """Answers that were not what they had to be."""
    failures: int
    """Calls that raised."""
    stopped: bool
    """Whether it was stopped, and not at its limit before that."""


def gaps_of(stamps: array[int]) -> NDArray[np.int64]:
    """Return the nanoseconds from each reading of the clock to the next."""
    readings: NDArray[np.int64] = np.array(stamps, np.int64)
    return readings[1:] - readings[:-1]


def draws(
    live: Sequence[str], dead: Sequence[str], rng: np.random.Generator, total: int
) -> list[list[Draw]]:
    """Return random sessions to ask for, nine gets to an update, in chunks."""
    both = [*live, *dead]
    chosen = rng.integers(0, len(both), total).tolist()
    drawn = [
        (both[index], index < len(live), number % UPDATE_EVERY == UPDATE_EVERY - 1)
        for number, index in enumerate(chosen)
    ]
    return [drawn[start : start + CHUNK] for start in range(0, total, CHUNK)]


@dataclass
class Reader:
    """Gets and updates random sessions from a thread, one after the other, until it is stopped.

    Parameters
    ----------
    get, update
        What to ask: the calls of a `Store`.
    chunks
        What to ask for, again and again.
    limit
        Answers after which it stops by itself; the memory for their times is taken beforehand.
    """

    get: Callable[[str, str], object]
    update: Callable[[str, dict[str, Any], str], bool]
    chunks: list[list[Draw]]
    limit: int
    stop: threading.Event = field(default_factory=threading.Event)
    answered: int = 0
    _wrong: int = 0
    _failures: int = 0
    _stopped: bool = False

    def __post_init__(self) -> None:
        # An array of the standard library takes an int in a third of the time numpy's takes.
        self._stamps = array("q", bytes(8 * (self.limit + 1)))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start the thread and wait until it has answers."""
        self._thread.start()
        while self._thread.is_alive() and self.answered == 0:
            time.sleep(0.001)

    def finish(self) -> Observed:
        """Wait for the thread and return what it saw."""
        self._thread.join()
        return Observed(
            gaps_of(self._stamps[: self.answered + 1]), self._wrong, self._failures, self._stopped
        )

    def _run(self) -> None:
        self._stamps[0] = time.perf_counter_ns()
        for number in count():
            chunk = self.chunks[number % len(self.chunks)]
            self._stopped = self.stop.is_set()
            if self._stopped or self.answered + len(chunk) > self.limit:
                return
            self._ask(chunk)

    def _ask(self, chunk: list[Draw]) -> None:
        get, update = self.get, self.update
        stamps, clock = self._stamps, time.perf_counter_ns
        position = self.answered
        wrong = 0
        for session_id, live, is_update in chunk:
            try:
                if is_update:
                    found = update(session_id, CHANGE, CHANNEL)
                else:
                    found = get(session_id, CHANNEL) is not None
            except KeyError:
                # A store without a lock, whose sweep removed what this call was about to remove.
                self._failures += 1
                found = live
            wrong += found is not live
            position += 1
            stamps[position] = clock()
        self._wrong += wrong
        self.answered = position


def without_table(total: int) -> NDArray[np.int64]:
    """Return the gaps that a reader sees where there is nothing to ask, over `total` answers.

    What is long here is the machine's doing: the thread lost its processor.
    """
    nothing: Draw = ("", True, False)
    reader = Reader(lambda *_: {}, lambda *_: True, [[nothing] * CHUNK], total)
    reader.start()
    return reader.finish().gaps
