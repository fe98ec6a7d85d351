"""Make one call on every channel, and compare the answers and what was recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kaizen_nexus.channels.cli.protocol import EXIT_OK
from kaizen_nexus.channels.cli.response import UnreachableError
from kaizen_nexus.testing.answers import (
    MISSING,
    NO_ANSWER,
    UNEXPECTED,
    Answer,
    clipped,
    groups_of,
    identical,
    shown,
)
from kaizen_nexus.testing.cases import UNKNOWN, Case
from kaizen_nexus.testing.cli import CliProbe
from kaizen_nexus.testing.http import Deployed, HttpProbe, Site
from kaizen_nexus.testing.mcp import McpProbe
from kaizen_nexus.testing.report import APP, CannotCheckError, Report
from kaizen_nexus.testing.samples import complaint
from kaizen_nexus.testing.serving import AppInProcess, AppInThread

__all__ = ["OPERATIONS", "Comparison", "Meter", "Probe", "complaint_about"]

METRICS = "/metrics.json"
OPERATIONS = ("api", "cli", "mcp")
SYNC = "session_sync"
Probe = HttpProbe | CliProbe | McpProbe
Records = Mapping[str, int]
"""How many records each operation has."""


class Comparison:
    """Calls workflows, checks that each call is recorded, and compares the answers.

    Parameters
    ----------
    report
        Where what is found goes.
    server
        The served app.
    probes
        The channels; those with a server of their own come last.
    meter
        What reads the server's records.
    progress
        Takes what is being done.
    """

    def __init__(
        self,
        report: Report,
        server: AppInProcess | AppInThread,
        probes: Sequence[Probe],
        meter: Meter,
        progress: Callable[[str], None],
    ) -> None:
        self.report = report
        self.probes = probes
        self.least_apart = self.most_apart = 0
        """How many records the servers apart must have, at least and at most."""
        self._server = server
        self._meter = meter
        self._progress = progress
        self._complaints: dict[tuple[str, str], list[str]] = {}

    def probes_of(self, workflow: Deployed) -> list[Probe]:
        """Return the channels that `workflow` is deployed on."""
        return [probe for probe in self.probes if probe.operation in workflow.channels]

    def call(
        self, probe: Probe, workflow: str, case: str, inputs: dict[str, Any], session: str | None
    ) -> Answer:
        """Return the answer to one call.

        Raises
        ------
        CannotCheckError
            The server has ended.
        """
        self._progress(f"{workflow}, {case}: {probe.name}")
        answer = probe.call(workflow, inputs, session)
        self._account(probe, workflow, case, answer)
        return answer

    def compare(self, workflow: Deployed, case: Case) -> tuple[bool, bool]:
        """Compare the results of `case`; return whether there were any, and whether they agree."""
        reference, *others = self.probes_of(workflow)
        arguments = (workflow.name, case.name, case.inputs, case.session)
        first, again = self.call(reference, *arguments), self.call(reference, *arguments)
        answers = {reference.name: first}
        answers |= {probe.name: self.call(probe, *arguments) for probe in others}
        succeeded = {name: each for name, each in answers.items() if not each.problem}
        aspect = "result" if succeeded else "error"
        self.report.compared(workflow.name, aspect)
        found = None
        if not first.agrees_with(again):
            self._compare_structure(workflow, case, reference.name, answers)
        else:
            if found := groups_of(answers):
                self.report.differ(workflow.name, aspect, case.name, found)
            self._compare_text(workflow, case, answers)
        sessions = {
            name: Answer("a session" if each.session_id else "no session")
            for name, each in succeeded.items()
        }
        if sessions and (unlike := groups_of(sessions)):
            self.report.differ(workflow.name, "session", case.name, unlike)
        return bool(succeeded), not found

    def compare_problems(self, workflow: str, case: Case, probes: Iterable[Probe]) -> None:
        """Compare how `probes` refuse a call."""
        answers = {
            probe.name: self.call(probe, workflow, case.name, case.inputs, case.session)
            for probe in probes
        }
        if not answers:
            return
        self.report.compared(_row(workflow), "error")
        if found := groups_of(answers):
            self.report.differ(_row(workflow), "error", case.name, found)

    def end(self, workflow: str) -> None:
        """Report what is wrong with the records of `workflow`."""
        if self._meter.failure:
            self.report.note(workflow, "metric", self._meter.failure)
        for (probe, wrong), cases in self._complaints.items():
            more = f" and {len(cases) - 1} more" if len(cases) > 1 else ""
            self.report.differ(workflow, "metric", f"{cases[0]}{more}", {probe: wrong})
        self._complaints.clear()

    def _compare_text(self, workflow: Deployed, case: Case, answers: dict[str, Answer]) -> None:
        """Compare what ``nexus run`` prints without ``-o json`` with what it prints with it."""
        cli = next((each for each in self.probes_of(workflow) if isinstance(each, CliProbe)), None)
        if cli is None or answers[cli.name].problem:
            return
        expected = answers[cli.name].result
        done = cli.run(workflow.name, case.inputs)
        answer = Answer(session_id="" if "session: " in done.stderr else None)
        if done.returncode != EXIT_OK:
            answer = Answer.failed(NO_ANSWER, done.stderr)
        self._account(cli, workflow.name, case.name, answer)
        if not identical(_printed(done.stdout, expected), expected):
            text = clipped(done.stdout + done.stderr)
            found = {f"{cli.name} -o json": shown(expected), cli.name: text}
            self.report.differ(workflow.name, "result", f"{case.name}, as text", found)

    def _compare_structure(
        self, workflow: Deployed, case: Case, reference: str, answers: dict[str, Answer]
    ) -> None:
        """Compare results with their schema alone, since they differ from call to call."""
        self.report.note(
            workflow.name,
            "result",
            f"{case.name}: differs: the result is not the same twice on {reference} itself, so "
            "it was only compared with its schema",
        )
        found = {}
        for name, answer in answers.items():
            if answer.problem:
                found[name] = str(answer)
            elif problem := complaint(workflow.output_schema, answer.result):
                found[name] = clipped(f"does not match its schema: {problem}")
        if found and reference not in found:
            found[reference] = "a result that matches its schema"
            self.report.differ(workflow.name, "result", case.name, found)

    def _account(self, probe: Probe, workflow: str, case: str, answer: Answer) -> None:
        """Count a call, and check that it was recorded."""
        self.report.calls += 1
        if answer.problem == NO_ANSWER and (fault := self._server.fault()):
            where = f"while {workflow!r} ran ({case}, {probe.name})"
            raise CannotCheckError(f"{fault} {where}:\n{self._server.tail()}")
        if probe.apart:
            least, most = bounds_of(answer) or (0, 1)
            self.least_apart += least
            self.most_apart += most
            return
        records = self._meter.since()
        if records is None:
            return
        self.report.compared(_row(workflow), "metric")
        if wrong := complaint_about(probe.operation, answer, records):
            self._complaints.setdefault((probe.name, wrong), []).append(case)


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
        """Return what was recorded since the last time, or None if that is unknown."""
        before, after = self._last, self._read()
        self._last = after
        if before is None or after is None:
            return None
        return {name: after[name] - before[name] for name in after}

    def _read(self) -> Records | None:
        try:
            operations = self._site.get(METRICS)["operations"]
            return {name: int(operations[name]["count"]) for name in (*OPERATIONS, SYNC)}
        except UnreachableError as error:
            self.failure = str(error)
        except (KeyError, TypeError, ValueError):
            self.failure = f"GET {METRICS} has no operations"
        return None


def bounds_of(answer: Answer) -> tuple[int, int] | None:
    """Return how often a call must be recorded, at least and at most; None if any number is right.

    Every run of a workflow that exists is recorded once, whatever comes of it. Wrong inputs may
    have been refused before a run began: by the command line's own parser, for example.
    """
    if answer.problem in {UNEXPECTED, NO_ANSWER}:
        return None
    if answer.problem == "invalid-inputs":
        return 0, 1
    return (0, 0) if answer.problem == "workflow-not-found" else (1, 1)


def complaint_about(operation: str, answer: Answer, records: Records) -> str:
    """Return what is wrong with the records of one call, or ""."""
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
    if not answer.problem and records[SYNC] != expected:
        found.append(f"{SYNC} {_times(records[SYNC])} instead of {_times(expected)}")
    return f"recorded {', '.join(found)}" if found else ""


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
