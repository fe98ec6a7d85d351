"""Whether each call was recorded: once, and under its own channel."""

from __future__ import annotations

from collections.abc import Mapping

from kaizen_nexus.channels.cli.response import UnreachableError
from kaizen_nexus.testing.answers import NO_ANSWER, UNEXPECTED, Answer
from kaizen_nexus.testing.http import Site

__all__ = ["OPERATIONS", "Meter", "bounds_of", "complaint_about"]

PATH = "/metrics.json"
OPERATIONS = ("api", "cli", "mcp")
SYNC = "session_sync"
Records = Mapping[str, int]
"""How many records each operation has."""


class Meter:
    """Reads how often the server has recorded each operation, beginning with its construction.

    Parameters
    ----------
    site
        The server.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self.failure = ""
        """Why there are no counts, if there are none."""
        self._last = self._read()

    def since(self) -> Records | None:
        """Return what was recorded since the last time, or None if that cannot be told."""
        before, after = self._last, self._read()
        self._last = after
        if before is None or after is None:
            return None
        return {name: after[name] - before[name] for name in after}

    def _read(self) -> Records | None:
        try:
            operations = self._site.get(PATH)["operations"]
            return {name: int(operations[name]["count"]) for name in (*OPERATIONS, SYNC)}
        except UnreachableError as error:
            self.failure = str(error)
        except (KeyError, TypeError, ValueError):
            self.failure = f"GET {PATH} has no operations"
        return None


def bounds_of(answer: Answer) -> tuple[int, int] | None:
    """Return how often a call is to be recorded, at least and at most; None if anything goes.

    Every run of a workflow that exists is recorded once, whatever comes of it. Wrong inputs may
    have been found before there was a run: by the command line's own parser, for example.
    """
    slug = None if answer.problem is None else answer.problem.slug
    if slug in {UNEXPECTED, NO_ANSWER}:
        return None
    if slug == "invalid-inputs":
        return 0, 1
    return (0, 0) if slug == "workflow-not-found" else (1, 1)


def complaint_about(operation: str, answer: Answer, records: Records) -> str:
    """Return what is wrong with the records of one call, or nothing."""
    bounds = bounds_of(answer)
    if bounds is None:
        return ""
    least, most = bounds
    found = []
    if not least <= records[operation] <= most:
        found.append(f"{operation} {_times(records[operation])} instead of {_times(most)}")
    found += [
        f"{other} {_times(records[other])} though it is another channel"
        for other in OPERATIONS
        if other != operation and records[other]
    ]
    expected = int(answer.session_id is not None)
    if answer.problem is None and records[SYNC] != expected:
        found.append(f"{SYNC} {_times(records[SYNC])} instead of {_times(expected)}")
    return f"recorded {', '.join(found)}" if found else ""


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
