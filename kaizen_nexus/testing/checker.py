"""Making one call on every channel, and comparing what comes of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kaizen_nexus.channels.cli.protocol import EXIT_OK
from kaizen_nexus.testing.cases import UNKNOWN, Case
from kaizen_nexus.testing.catalogue import Deployed
from kaizen_nexus.testing.cli_probe import CliProbe
from kaizen_nexus.testing.metrics import Meter, bounds_of, complaint_about
from kaizen_nexus.testing.outcome import (
    MISSING,
    NO_ANSWER,
    Outcome,
    clipped,
    groups_of,
    identical,
    shown,
)
from kaizen_nexus.testing.progress import Progress
from kaizen_nexus.testing.report import APP, Report
from kaizen_nexus.testing.server import CannotCheckError, ServedApp
from kaizen_nexus.testing.validation import complaint

__all__ = ["Checker", "Compared", "Probe"]


class Probe(Protocol):
    """A way to run workflows."""

    @property
    def name(self) -> str:
        """What the report calls it."""

    @property
    def operation(self) -> str:
        """The channel of the app that it uses, and under which its calls are recorded."""

    async def call(self, workflow: str, inputs: dict[str, Any], session: str | None) -> Outcome:
        """Return what comes of running `workflow`."""


@dataclass(frozen=True)
class Compared:
    """How the comparison of one case went."""

    succeeded: bool
    """Whether any channel gave a result."""
    agrees: bool
    """Whether none gave another."""


class Checker:
    """Calls workflows, sees to it that each call is recorded, and compares outcomes.

    Parameters
    ----------
    report
        Where what is found goes.
    server
        The served app.
    served
        The channels of that process.
    alone
        The channels of processes of their own, whose records and sessions are not the server's.
    meter
        What reads the server's records.
    progress
        Where to say what is being done.
    """

    def __init__(
        self,
        *,
        report: Report,
        server: ServedApp,
        served: Sequence[Probe],
        alone: Sequence[Probe],
        meter: Meter,
        progress: Progress,
    ) -> None:
        self.report = report
        self.least_alone = self.most_alone = 0
        """How many records the processes of their own must have, at least and at most."""
        self._server = server
        self._served = served
        self._alone = alone
        self._meter = meter
        self._progress = progress
        self._complaints: dict[tuple[str, str], list[str]] = {}

    def served_on(self, workflow: Deployed) -> list[Probe]:
        """Return the server's channels that `workflow` is deployed on."""
        return [probe for probe in self._served if probe.operation in workflow.channels]

    def alone_on(self, workflow: Deployed) -> list[Probe]:
        """Return the processes of their own that `workflow` is deployed in."""
        return [probe for probe in self._alone if probe.operation in workflow.channels]

    def not_on(self, workflow: Deployed) -> list[Probe]:
        """Return the channels that `workflow` is not deployed on."""
        probes = (*self._served, *self._alone)
        return [probe for probe in probes if probe.operation not in workflow.channels]

    async def call(
        self, probe: Probe, workflow: str, case: str, inputs: dict[str, Any], session: str | None
    ) -> Outcome:
        """Return what comes of one call.

        Raises
        ------
        CannotCheckError
            The server is no more.
        """
        self._progress.show(f"{workflow}, {case}: {probe.name}")
        outcome = await probe.call(workflow, inputs, session)
        await self._account(probe, workflow, case, outcome)
        return outcome

    async def compare(self, workflow: Deployed, case: Case) -> Compared:
        """Compare the results of `case`, and return whether there were any, and whether alike."""
        reference, *others = [*self.served_on(workflow), *self.alone_on(workflow)]
        first, again = [
            await self.call(reference, workflow.name, case.name, case.inputs, case.session)
            for _ in range(2)
        ]
        outcomes = {reference.name: first}
        for probe in others:
            outcomes[probe.name] = await self.call(
                probe, workflow.name, case.name, case.inputs, case.session
            )
        failed = all(outcome.problem is not None for outcome in outcomes.values())
        aspect = "error" if failed else "result"
        self.report.compared(workflow.name, aspect)
        found = None
        if not first.agrees_with(again):
            self._compare_structure(workflow, case, reference.name, outcomes)
        else:
            found = groups_of(outcomes)
            if found:
                self.report.differ(workflow.name, aspect, case.name, found)
            await self._compare_text(workflow, case, outcomes)
        self._compare_presence_of_session(workflow, case, outcomes)
        succeeded = any(outcome.problem is None for outcome in outcomes.values())
        return Compared(succeeded, agrees=not found)

    async def compare_problems(self, workflow: str, case: Case, probes: list[Probe]) -> None:
        """Compare what `probes` say of a call that none should let through."""
        outcomes = {
            probe.name: await self.call(probe, workflow, case.name, case.inputs, case.session)
            for probe in probes
        }
        self.report.compared(_row(workflow), "error")
        if found := groups_of(outcomes):
            self.report.differ(_row(workflow), "error", case.name, found)

    async def _compare_text(
        self, workflow: Deployed, case: Case, outcomes: dict[str, Outcome]
    ) -> None:
        """Compare what ``nexus run`` prints without ``-o json`` with what it prints with it."""
        cli = next((each for each in self.served_on(workflow) if isinstance(each, CliProbe)), None)
        if cli is None or outcomes[cli.name].problem is not None:
            return
        expected = outcomes[cli.name]
        done = await cli.run(workflow.name, case.inputs)
        sessions = "session: " in done.stderr
        outcome = Outcome(session_id="" if sessions else None)
        if done.exit_code != EXIT_OK:
            outcome = Outcome.failed(NO_ANSWER, done.stderr)
        await self._account(cli, workflow.name, case.name, outcome)
        if not identical(_printed(done.stdout, expected.result), expected.result):
            text = clipped(done.stdout + done.stderr)
            found = {f"{cli.name} -o json": shown(expected.result), cli.name: text}
            self.report.differ(workflow.name, "result", f"{case.name}, as text", found)

    def end(self, workflow: str) -> None:
        """Report what is wrong with the records of `workflow`."""
        if self._meter.failure:
            self.report.note(workflow, "metric", self._meter.failure)
        for (probe, wrong), cases in self._complaints.items():
            more = f" and {len(cases) - 1} more" if len(cases) > 1 else ""
            self.report.differ(workflow, "metric", f"{cases[0]}{more}", {probe: wrong})
        self._complaints.clear()

    async def _account(self, probe: Probe, workflow: str, case: str, outcome: Outcome) -> None:
        self.report.calls += 1
        if outcome.problem is not None and outcome.problem.slug == NO_ANSWER:
            code = self._server.ended()
            if code is not None:
                raise CannotCheckError(
                    f"the server ended with exit code {code} while {workflow!r} ran "
                    f"({case}, {probe.name}):\n{self._server.tail()}"
                )
        if probe in self._alone:
            least, most = bounds_of(outcome) or (0, 1)
            self.least_alone += least
            self.most_alone += most
            return
        records = await self._meter.since()
        if records is None:
            return
        self.report.compared(_row(workflow), "metric")
        if wrong := complaint_about(probe.operation, outcome, records):
            cases = self._complaints.setdefault((probe.name, wrong), [])
            cases.append(case)

    def _compare_structure(
        self, workflow: Deployed, case: Case, reference: str, outcomes: dict[str, Outcome]
    ) -> None:
        self.report.note(
            workflow.name,
            "result",
            f"{case.name}: differs: the result is not the same twice on {reference} itself, so "
            "it was only compared with its schema",
        )
        found = {}
        for name, outcome in outcomes.items():
            if outcome.problem is not None:
                found[name] = str(outcome)
            elif problem := complaint(workflow.output_schema, outcome.result):
                found[name] = clipped(f"not as its schema says: {problem}")
        if found and reference not in found:
            found[reference] = "a result as its schema says"
            self.report.differ(workflow.name, "result", case.name, found)

    def _compare_presence_of_session(
        self, workflow: Deployed, case: Case, outcomes: dict[str, Outcome]
    ) -> None:
        sessions = {
            name: Outcome("a session" if outcome.session_id else "no session")
            for name, outcome in outcomes.items()
            if outcome.problem is None
        }
        if sessions and (found := groups_of(sessions)):
            self.report.differ(workflow.name, "session", case.name, found)


def _row(workflow: str) -> str:
    """Return what a workflow is reported under: one that does not exist has no row of its own."""
    return APP if workflow == UNKNOWN else workflow


def _printed(text: str, expected: Any) -> Any:
    """Return the result that `text` prints: text stands for itself, with a newline at the end."""
    if isinstance(expected, str):
        return expected if text in {expected, f"{expected}\n"} else text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return MISSING
