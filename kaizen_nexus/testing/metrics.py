"""Whether each call was recorded: once, and under its own channel."""

from __future__ import annotations

from collections.abc import Mapping

from kaizen_nexus.testing.http_probe import OK, HttpClient, NoAnswerError
from kaizen_nexus.testing.outcome import NO_ANSWER, UNEXPECTED, Outcome

__all__ = ["OPERATIONS", "Meter", "Records", "bounds_of", "complaint_about"]

PATH = "/metrics.json"
OPERATIONS = ("api", "cli", "mcp")
SYNC = "session_sync"
Records = Mapping[str, int]
"""How many records each operation has."""


class Meter:
    """Reads the server's counts of records.

    Parameters
    ----------
    http
        What asks the server.
    """

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._last: Records | None = None
        self.failure = ""
        """Why there are no counts, if there are none."""

    async def start(self) -> None:
        """Take what has been recorded so far as the beginning."""
        self._last = await self._read()

    async def since(self) -> Records | None:
        """Return what was recorded since the last time, or None if that cannot be told."""
        before, after = self._last, await self._read()
        self._last = after
        if before is None or after is None:
            return None
        return {name: after[name] - before[name] for name in after}

    async def _read(self) -> Records | None:
        try:
            reply = await self._http.request("GET", PATH)
        except NoAnswerError as error:
            self.failure = f"GET {PATH}: {error}"
            return None
        answer = reply.json()
        try:
            operations = answer["operations"]
            return {name: int(operations[name]["count"]) for name in (*OPERATIONS, SYNC)}
        except (KeyError, TypeError, ValueError):
            status = "has no operations" if reply.status == OK else f"was answered {reply.status}"
            self.failure = f"GET {PATH} {status}"
            return None


def bounds_of(outcome: Outcome) -> tuple[int, int] | None:
    """Return how often a call is to be recorded, at least and at most; None if anything goes.

    Every run of a workflow that exists is recorded once, whatever comes of it. Wrong inputs may
    have been found before there was a run: by the command line's own parser, for example.
    """
    slug = None if outcome.problem is None else outcome.problem.slug
    if slug in {UNEXPECTED, NO_ANSWER}:
        return None
    if slug == "invalid-inputs":
        return 0, 1
    return (0, 0) if slug == "workflow-not-found" else (1, 1)


def complaint_about(operation: str, outcome: Outcome, records: Records) -> str:
    """Return what is wrong with the records of one call, or nothing."""
    bounds = bounds_of(outcome)
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
    if outcome.problem is None:
        expected = int(outcome.session_id is not None)
        if records[SYNC] != expected:
            found.append(f"{SYNC} {_times(records[SYNC])} instead of {_times(expected)}")
    return f"recorded {', '.join(found)}" if found else ""


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
