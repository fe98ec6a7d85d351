"""Sessions: what starts on one channel goes on on every other, and leaves the same state behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from kaizen_nexus.runtime.invocation import NEW_SESSION
from kaizen_nexus.testing.catalogue import Deployed
from kaizen_nexus.testing.checker import Checker, Probe
from kaizen_nexus.testing.http_probe import OK, HttpClient, NoAnswerError
from kaizen_nexus.testing.outcome import (
    MISSING,
    Outcome,
    first_difference,
    identical,
    shown,
)

__all__ = ["Conversation", "Conversations", "state_difference"]

LEAST_TURNS = 2
ON_ONE_CHANNEL = "a conversation on one channel"


@dataclass
class Conversation:
    """The same inputs, turn after turn, in one session."""

    channels: list[str]
    outcomes: list[Outcome] = field(default_factory=list)
    session_id: str | None = None
    state: Any = MISSING
    activity: frozenset[str] = frozenset()
    complaints: dict[str, str] = field(default_factory=dict)
    """What is wrong with the session itself, by channel."""

    def is_like(self, other: Conversation) -> bool:
        """Whether both went the same way."""
        return identical(self.state, other.state) and all(
            one.agrees_with(another)
            for one, another in zip(self.outcomes, other.outcomes, strict=True)
        )


class Conversations:
    """Holds conversations on one channel and across channels, and compares them.

    Parameters
    ----------
    checker
        What makes the calls.
    http
        What reads the sessions of the server.
    """

    def __init__(self, checker: Checker, http: HttpClient) -> None:
        self._checker = checker
        self._http = http
        self.pending: list[tuple[Deployed, Probe, Conversation, Conversation]] = []
        """Conversations in processes of their own, whose state can be read only at their end, each
        with the one that it is to be like."""

    async def compare(self, workflow: Deployed, inputs: dict[str, Any], *, results: bool) -> None:
        """Compare the conversations of `workflow`.

        Parameters
        ----------
        workflow
            What is talked to.
        inputs
            Inputs that it takes.
        results
            Whether the channels give the same result for them; if not, that is known already, and
            only the sessions are compared.
        """
        served = self._checker.served_on(workflow)
        report = self._checker.report
        report.compared(workflow.name, "session")
        found_reference = await self._reference(workflow, inputs, served)
        if found_reference is None:
            return
        reference, comparable = found_reference
        turns = len(reference.channels)
        differences: dict[tuple[tuple[str, str], ...], list[str]] = {}
        for starter in served:
            order = [starter, *(probe for probe in served if probe is not starter)]
            if len(order) > 1:
                held = await self._hold(workflow, inputs, order)
                found = _differences(held, reference, results=results, comparable=comparable)
                if found:
                    differences.setdefault(tuple(found.items()), []).append(starter.name)
        for items, starters in differences.items():
            case = f"started on {', '.join(starters)}"
            report.differ(workflow.name, "session", case, dict(items))
        for probe in self._checker.alone_on(workflow):
            held = await self._hold(workflow, inputs, [probe] * turns, readable=False)
            found = _differences(held, reference, results=results, comparable=comparable)
            if comparable and not found:
                self.pending.append((workflow, probe, held, reference))
            if found:
                report.differ(workflow.name, "session", ON_ONE_CHANNEL, found)

    async def _reference(
        self, workflow: Deployed, inputs: dict[str, Any], served: Sequence[Probe]
    ) -> tuple[Conversation, bool] | None:
        """Return the conversation to compare others with, and whether it went the same way twice.

        It is held on one channel alone: the first on which a session works at all.
        """
        report = self._checker.report
        turns = max(len(served), LEAST_TURNS)
        broken: dict[str, str] = {}
        found = None
        for probe in served:
            held = await self._hold(workflow, inputs, [probe] * turns)
            if held.complaints:
                broken.update(held.complaints)
                continue
            again = await self._hold(workflow, inputs, [probe] * turns)
            found = held, not again.complaints and held.is_like(again)
            break
        if broken:
            report.differ(workflow.name, "session", ON_ONE_CHANNEL, broken)
        if found is not None and not found[1]:
            text = (
                "a conversation does not go the same way twice on "
                f"{found[0].channels[0]} itself, so only its session was compared"
            )
            report.note(workflow.name, "session", text)
        return found

    async def _hold(
        self,
        workflow: Deployed,
        inputs: dict[str, Any],
        order: Sequence[Probe],
        *,
        readable: bool = True,
    ) -> Conversation:
        """Start a session on the first channel and go on with it on the others."""
        held = Conversation([probe.name for probe in order])
        case = f"a session started on {order[0].name}"
        for probe in order:
            asked = held.session_id or NEW_SESSION
            outcome = await self._checker.call(probe, workflow.name, case, inputs, asked)
            held.outcomes.append(outcome)
            complaint = _complaint(outcome, held.session_id)
            if complaint:
                held.complaints[probe.name] = complaint
            held.session_id = held.session_id or outcome.session_id
            if held.session_id is None:
                return held
        if readable:
            await self._read(held, order)
        return held

    async def _read(self, held: Conversation, order: Sequence[Probe]) -> None:
        path = f"/api/sessions/{quote(held.session_id or '')}"
        try:
            reply = await self._http.request("GET", path)
            document = reply.json() if reply.status == OK else None
        except NoAnswerError:
            document = None
        if not isinstance(document, dict):
            held.complaints["http"] = "GET /api/sessions/{id} does not find the session"
            return
        held.state = document.get("state", MISSING)
        active = document.get("channel_activity")
        for probe in order:
            if probe.operation not in (active if isinstance(active, dict) else ()):
                held.complaints.setdefault(probe.name, "left no trace in the session's activity")


def _complaint(outcome: Outcome, session_id: str | None) -> str:
    """Return what is wrong with the session of one turn, or nothing."""
    if outcome.problem is not None:
        return str(outcome)
    if outcome.session_id is None:
        return "ran without a session" if session_id else "started no session"
    if session_id and outcome.session_id != session_id:
        return "ran in another session than the one it was given"
    return ""


def _differences(
    held: Conversation, reference: Conversation, *, results: bool, comparable: bool
) -> dict[str, str]:
    """Return how a conversation differs from the one on a single channel, by channel.

    Where a session got lost, the results and the state differ as a matter of course.
    """
    if held.complaints or not comparable:
        return held.complaints
    found: dict[str, str] = {}
    pairs = zip(held.outcomes, reference.outcomes, strict=True)
    for turn, (outcome, wanted) in enumerate(pairs if results else ()):
        place = first_difference(wanted.result, outcome.result)
        if place is not None:
            pointer, expected, got = place
            at = f" at {pointer}" if pointer else ""
            text = f"turn {turn + 1}: {shown(got)} instead of {shown(expected)}{at}"
            found.setdefault(held.channels[turn], text)
    if not found and held.state is not MISSING:
        difference = state_difference(held.state, reference)
        return {", ".join(held.channels): difference} if difference else {}
    return found


def state_difference(state: Any, reference: Conversation) -> str:
    """Return how the state that a conversation left differs, if it does."""
    if identical(state, reference.state):
        return ""
    return f"left the state {shown(state)} instead of {shown(reference.state)}"
