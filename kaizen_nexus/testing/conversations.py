"""Sessions: one that starts on any channel continues on the others, with the same state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from kaizen_nexus.channels.cli.response import UnreachableError
from kaizen_nexus.runtime.invocation import NEW_SESSION
from kaizen_nexus.testing.answers import MISSING, Answer, first_difference, identical, shown
from kaizen_nexus.testing.comparison import Comparison, Probe
from kaizen_nexus.testing.http import Deployed, Site

__all__ = ["ON_ONE_CHANNEL", "Conversations", "Transcript"]

LEAST_TURNS = 2
ON_ONE_CHANNEL = "a conversation on one channel"


@dataclass
class Transcript:
    """The same inputs, turn after turn, in one session."""

    channels: list[str]
    answers: list[Answer] = field(default_factory=list)
    session_id: str | None = None
    state: Any = MISSING
    complaints: dict[str, str] = field(default_factory=dict)
    """What is wrong with the session itself, by channel."""

    def is_like(self, other: Transcript) -> bool:
        """Whether both went the same way."""
        pairs = zip(self.answers, other.answers, strict=True)
        alike = all(one.agrees_with(another) for one, another in pairs)
        return alike and identical(self.state, other.state)

    def other_state_than(self, reference: Transcript) -> str:
        """Return how the state that the conversation left differs, if it does."""
        if identical(self.state, reference.state):
            return ""
        return f"left the state {shown(self.state)} instead of {shown(reference.state)}"

    def differences_from(self, reference: Transcript, *, results: bool) -> dict[str, str]:
        """Return how this differs from a conversation on a single channel, by channel."""
        found: dict[str, str] = {}
        pairs = zip(self.answers, reference.answers, strict=True)
        for turn, (answer, wanted) in enumerate(pairs if results else ()):
            if place := first_difference(wanted.result, answer.result):
                pointer, expected, got = place
                at = f" at {pointer}" if pointer else ""
                text = f"turn {turn + 1}: {shown(got)} instead of {shown(expected)}{at}"
                found.setdefault(self.channels[turn], text)
        if not found and self.state is not MISSING and (other := self.other_state_than(reference)):
            return {", ".join(self.channels): other}
        return found


class Conversations:
    """Compares conversations across channels with one on a single channel.

    Parameters
    ----------
    comparison
        What makes the calls.
    site
        The server, which shows its sessions.
    """

    def __init__(self, comparison: Comparison, site: Site) -> None:
        self._comparison = comparison
        self._site = site
        self.pending: list[tuple[Deployed, Probe, Transcript, Transcript]] = []
        """Conversations with servers apart, whose state can be read only when they have ended; each
        with the conversation to compare it with."""

    def compare(self, workflow: Deployed, inputs: dict[str, Any], *, results: bool) -> None:
        """Compare the conversations of `workflow`.

        Parameters
        ----------
        workflow
            The workflow.
        inputs
            Inputs that it takes.
        results
            Whether to compare results; not if they are known to differ between channels.
        """
        probes, report = self._comparison.probes_of(workflow), self._comparison.report
        report.compared(workflow.name, "session")
        served = [probe for probe in probes if not probe.apart]
        reference, repeatable = self._reference(workflow, inputs, served)
        if reference is None:
            return
        differences: dict[tuple[tuple[str, str], ...], list[str]] = {}
        for starter in served if len(served) > 1 else ():
            order = [starter, *(probe for probe in served if probe is not starter)]
            held = self._hold(workflow, inputs, order)
            found = held.complaints
            # If the session was lost, results and state are bound to differ.
            if repeatable and not found:
                found = held.differences_from(reference, results=results)
            if found:
                differences.setdefault(tuple(found.items()), []).append(starter.name)
        for items, starters in differences.items():
            case = f"started on {', '.join(starters)}"
            report.differ(workflow.name, "session", case, dict(items))
        for probe in (probe for probe in probes if probe.apart):
            held = self._hold(workflow, inputs, [probe] * len(reference.channels))
            found = held.complaints
            if repeatable and not found:
                found = held.differences_from(reference, results=results)
                if not found:
                    self.pending.append((workflow, probe, held, reference))
            if found:
                report.differ(workflow.name, "session", ON_ONE_CHANNEL, found)

    def _reference(
        self, workflow: Deployed, inputs: dict[str, Any], served: Sequence[Probe]
    ) -> tuple[Transcript | None, bool]:
        """Return the conversation to compare others with, and whether it is repeatable.

        Both are on a single channel: the first on which sessions work at all.
        """
        report = self._comparison.report
        turns = max(len(served), LEAST_TURNS)
        broken: dict[str, str] = {}
        found, repeatable = None, False
        for probe in served:
            held = self._hold(workflow, inputs, [probe] * turns)
            if held.complaints:
                broken.update(held.complaints)
                continue
            again = self._hold(workflow, inputs, [probe] * turns)
            found, repeatable = held, not again.complaints and held.is_like(again)
            break
        if broken:
            report.differ(workflow.name, "session", ON_ONE_CHANNEL, broken)
        if found is not None and not repeatable:
            text = (
                "a conversation does not go the same way twice on "
                f"{found.channels[0]} itself, so only its session was compared"
            )
            report.note(workflow.name, "session", text)
        return found, repeatable

    def _hold(
        self, workflow: Deployed, inputs: dict[str, Any], order: Sequence[Probe]
    ) -> Transcript:
        """Start a session on the first channel and continue it on the others."""
        held = Transcript([probe.name for probe in order])
        case = f"a session started on {order[0].name}"
        for probe in order:
            asked = held.session_id or NEW_SESSION
            answer = self._comparison.call(probe, workflow.name, case, inputs, asked)
            held.answers.append(answer)
            if complaint := _complaint(answer, held.session_id):
                held.complaints[probe.name] = complaint
            held.session_id = held.session_id or answer.session_id
            if held.session_id is None:
                return held
        if not order[0].apart:
            self._read(held, order)
        return held

    def _read(self, held: Transcript, order: Sequence[Probe]) -> None:
        try:
            document = self._site.get(f"/api/sessions/{quote(held.session_id or '')}")
        except UnreachableError:
            held.complaints["http"] = "GET /api/sessions/{id} does not find the session"
            return
        held.state = document.get("state", MISSING)
        active = document.get("channel_activity")
        for probe in order:
            if probe.operation not in (active if isinstance(active, dict) else ()):
                held.complaints.setdefault(probe.name, "left no trace in the session's activity")


def _complaint(answer: Answer, session_id: str | None) -> str:
    """Return what is wrong with the session of one turn, or nothing."""
    if answer.problem:
        return str(answer)
    if answer.session_id is None:
        return "ran without a session" if session_id else "started no session"
    if session_id and answer.session_id != session_id:
        return "ran in another session than the one it was given"
    return ""
