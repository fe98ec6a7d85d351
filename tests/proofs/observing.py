"""What a server process has open, and what it says of itself."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

WITHIN = 2.0
POLL = 0.02


class Held(NamedTuple):
    """What a process holds while it is idle."""

    descriptors: int
    threads: int
    pending: int
    """Requests that its executor runs or keeps waiting."""
    in_flight: int
    """Runs that have begun and not ended."""


def metrics(url: str) -> dict[str, Any]:
    """Return ``/metrics.json``, over a connection that is closed again."""
    with urllib.request.urlopen(f"{url}/metrics.json", timeout=10) as answer:  # noqa: S310
        numbers: dict[str, Any] = json.load(answer)
    return numbers


def held(pid: int, url: str) -> Held:
    """Observe a server; the one connection that it is asked over counts, each time."""
    numbers = metrics(url)
    process = Path("/proc") / str(pid)
    return Held(
        descriptors=len(list((process / "fd").iterdir())),
        threads=len(list((process / "task").iterdir())),
        pending=numbers["executor"]["pending"],
        in_flight=sum(each["in_flight"] for each in numbers["workflows"]["series"]),
    )


def eventually(what: Callable[[], Any], wanted: Callable[[Any], bool], within: float) -> Any:
    """Return what `what` gives as soon as it is wanted; fail if it never is."""
    deadline = time.monotonic() + within
    while True:
        found = what()
        if wanted(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(POLL)


def settles(pid: int, url: str, baseline: Held, within: float = WITHIN) -> None:
    """Wait until a server holds no more than at the beginning; fail if it still does later."""
    eventually(
        lambda: held(pid, url),
        lambda now: all(new <= old for new, old in zip(now, baseline, strict=True)),
        within,
    )
