"""The check: serve the app, connect every channel, compare, clean up."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from kaizen_nexus.channels.cli.response import UnreachableError
from kaizen_nexus.testing.answers import MISSING
from kaizen_nexus.testing.cases import (
    UNKNOWN,
    Case,
    Cases,
    cases_of,
    given_cases,
    read_cases,
    refusals_of,
)
from kaizen_nexus.testing.cli import CliProbe
from kaizen_nexus.testing.comparison import OPERATIONS, Comparison, Meter, Probe
from kaizen_nexus.testing.conversations import ON_ONE_CHANNEL, Conversations
from kaizen_nexus.testing.http import Deployed, HttpProbe, Site, chosen_of, fetch_deployed
from kaizen_nexus.testing.mcp import McpProbe
from kaizen_nexus.testing.mcp_client import (
    MODERN,
    McpClient,
    McpError,
    connect_http,
    connect_stdio,
)
from kaizen_nexus.testing.report import APP, CannotCheckError, Channel, Report, UsedInputs
from kaizen_nexus.testing.samples import NoSampleError, require_validator
from kaizen_nexus.testing.schemas import (
    compare_help,
    compare_openapi,
    compare_tool,
    compare_tool_names,
    fetch_openapi,
)
from kaizen_nexus.testing.serving import AppInProcess, AppInThread, environment

__all__ = ["assert_consistent", "check"]

TIMEOUT = 30.0
HANDSHAKE_HTTP = "mcp-handshake"
MODERN_HTTP = f"mcp-{MODERN}"
STDIO = "mcp-stdio"
OBSERVED = "kaizen_nexus.console.observed"
"""The program that is ``nexus mcp``, and writes down what it recorded when it ends."""

Inputs = Path | Mapping[str, Iterable[Mapping[str, Any]]]


def check(
    app: Any,
    *,
    inputs: Inputs | None = None,
    workflows: Collection[str] = (),
    timeout: float = TIMEOUT,
    log: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Serve an app, run its workflows over every channel, and report every difference.

    Parameters
    ----------
    app
        ``"module:app"`` or ``"path/to/file.py:app"``, which is served by processes of its own as
        ``nexus check`` does; or the app itself, a `Nexus` or an ASGI application around one, which
        is served in a thread, and not over stdio.
    inputs
        What to call workflows with, as ``{name: [inputs, ...]}``, or a file as ``--inputs`` takes
        it; workflows that it does not name are called with inputs derived from their schemas.
    workflows
        The workflows to check; all if empty.
    timeout
        Seconds that one call may take.
    log
        A file for what the servers' processes print.
    progress
        Takes what is being done, before it is done.

    Returns
    -------
    Report
        What was compared, and what differs.

    Raises
    ------
    CannotCheckError
        There is nothing to compare.
    ImportError
        The extra ``testing`` is not installed.

    Notes
    -----
    The agents really run: about 60 times for a workflow with one case. Processes have ended when
    this returns or raises.
    """
    require_validator()
    started = time.monotonic()
    given: Cases = {}
    if isinstance(inputs, Path):
        given = read_cases(inputs)
    elif inputs is not None:
        given = given_cases(inputs)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nexus-check-")))
        log = log or folder / "log"
        log.write_bytes(b"")
        server = AppInProcess(app, log) if isinstance(app, str) else AppInThread(app)
        progress(f"starting {server.name}")
        stack.callback(server.stop)
        server.start()
        run = _Check(server, Site(server.url, timeout), given, progress)
        connected = stack.enter_context(contextlib.ExitStack())
        with log.open("ab") as file:
            run.connect(connected, file, folder / "observations.json")
        run.compare(workflows)
        connected.close()  # the server behind stdio writes what it recorded when it ends
        run.compare_observations(folder / "observations.json")
    run.report.seconds = time.monotonic() - started
    return run.report


def assert_consistent(app: Any, *, inputs: Inputs | None = None, **options: Any) -> None:
    """Check an app as `check` does.

    Parameters
    ----------
    app, inputs, **options
        As `check` takes them.

    Raises
    ------
    InconsistentError
        The channels differ, which pytest reports as a failed assertion, with the report as its
        message.
    CannotCheckError, ImportError
        As `check` raises them.
    """
    check(app, inputs=inputs, **options).raise_for_differences()


class _Check:
    """One check of a served app."""

    def __init__(
        self,
        server: AppInProcess | AppInThread,
        site: Site,
        given: Cases,
        progress: Callable[[str], None],
    ) -> None:
        self.report = Report(server.name)
        self._server = server
        self._site = site
        self._given = given
        self._progress = progress
        try:
            self._deployed = fetch_deployed(site)
        except CannotCheckError as error:
            why = server.no_stdio.rpartition(", and ")[0]
            raise CannotCheckError(f"{why}: {error}" if why else str(error)) from None
        chosen_of(self._deployed, given, "--inputs")
        self._probes: list[Probe] = []
        self._tools: dict[str, Mapping[str, Mapping[str, Any]]] = {}

    def connect(self, stack: contextlib.ExitStack, log: IO[bytes], observations: Path) -> None:
        """Connect every channel; leaving `stack` ends the connections."""
        site, report = self._site, self.report
        schemas = {workflow.name: workflow.input_schema for workflow in self._deployed}
        paths = {w.name: w.execute for w in self._deployed if w.execute is not None}
        self._probes = [HttpProbe(site, paths), CliProbe(site, schemas)]
        report.channels += [Channel("http", True, site.url), Channel("cli", True, "nexus run")]
        endpoint = f"{site.url}/mcp"
        command = [sys.executable, "-m", OBSERVED, report.target, str(observations)]
        connections: dict[str, Callable[[], McpClient]] = {
            HANDSHAKE_HTTP: lambda: connect_http(endpoint, modern=False, timeout=site.timeout),
            MODERN_HTTP: lambda: connect_http(endpoint, modern=True, timeout=site.timeout),
            STDIO: lambda: connect_stdio(command, env=environment(), log=log, timeout=site.timeout),
        }
        for name, connect in connections.items():
            if name == STDIO and self._server.no_stdio:
                report.channels.append(Channel(STDIO, False, self._server.no_stdio))
                continue
            self._progress(f"connecting {name}")
            try:
                client = stack.enter_context(contextlib.closing(connect()))
                self._tools[name] = client.tools()
            except (McpError, UnreachableError) as error:
                report.channels.append(Channel(name, False, str(error)))
                report.differ(APP, "result", "connecting", {name: str(error)})
                continue
            self._probes.append(McpProbe(name, client, schemas, apart=name == STDIO))
            how = "nexus mcp" if name == STDIO else endpoint
            report.channels.append(Channel(name, True, f"{how}, protocol {client.version}"))

    def compare(self, names: Collection[str]) -> None:
        """Compare everything except what the server behind stdio recorded."""
        chosen = chosen_of(self._deployed, names, "--workflow") if names else self._deployed
        meter = Meter(self._site)
        self._comparison = Comparison(
            self.report, self._server, self._probes, meter, self._progress
        )
        self._conversations = Conversations(self._comparison, self._site)
        openapi = fetch_openapi(self._site)
        listed = {workflow.name for workflow in self._deployed if "mcp" in workflow.channels}
        for channel, tools in self._tools.items():
            compare_tool_names(self.report, listed, channel, tools)
        for workflow in chosen:
            self.report.compared(workflow.name)
            self._compare_schemas(workflow, openapi)
            self._compare_calls(workflow)
            self._comparison.end(workflow.name)
        case = Case("unknown workflow", {})
        self._comparison.compare_problems(UNKNOWN, case, self._probes)
        self._comparison.end(APP)

    def compare_observations(self, file: Path) -> None:
        """Compare what the server behind stdio recorded, now that it has ended."""
        comparison, pending = self._comparison, self._conversations.pending
        if not comparison.most_apart and not pending:
            return
        try:
            observed = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError):
            found = {STDIO: "ended without leaving its records"}
            self.report.differ(APP, "metric", "all calls", found)
            return
        counts, states = observed["counts"], observed["states"]
        self.report.compared(APP, "metric")
        least, most = comparison.least_apart, comparison.most_apart
        if not least <= counts["mcp"] <= most or counts["api"] or counts["cli"]:
            recorded = ", ".join(f"{name} {counts[name]}" for name in OPERATIONS)
            found = {STDIO: f"recorded {recorded} for {most} calls over MCP"}
            self.report.differ(APP, "metric", "all calls", found)
        for workflow, probe, held, like in pending:
            held.state = states.get(held.session_id or "", MISSING)
            if other := held.other_state_than(like):
                self.report.differ(workflow.name, "session", ON_ONE_CHANNEL, {probe.name: other})

    def _compare_schemas(self, workflow: Deployed, openapi: Any) -> None:
        self._progress(f"{workflow.name}: schemas")
        if "api" in workflow.channels:
            compare_openapi(self.report, workflow, openapi)
        if "mcp" in workflow.channels:
            for channel, tools in self._tools.items():
                compare_tool(self.report, workflow, channel, tools)
        for probe in self._comparison.probes_of(workflow):
            if isinstance(probe, CliProbe):
                compare_help(self.report, workflow, probe)

    def _compare_calls(self, workflow: Deployed) -> None:
        comparison, report = self._comparison, self.report
        try:
            cases = self._given.get(workflow.name) or cases_of(workflow)
        except NoSampleError as error:
            cases = []
            report.note(workflow.name, "result", f"{error}; give some with --inputs FILE")
        works: tuple[Case, bool] | None = None
        for case in cases:
            report.inputs.append(UsedInputs(workflow.name, case.name, case.origin, case.inputs))
            succeeded, agrees = comparison.compare(workflow, case)
            if succeeded and works is None:
                works = case, agrees
        probes = comparison.probes_of(workflow)
        for case in refusals_of(workflow, cases):
            comparison.compare_problems(workflow.name, case, probes)
        elsewhere = [probe for probe in self._probes if probe not in probes]
        comparison.compare_problems(workflow.name, Case("not deployed here", {}), elsewhere)
        if works is not None:
            self._conversations.compare(workflow, works[0].inputs, results=works[1])
        elif cases:
            report.note(workflow.name, "session", "no call succeeded, so no session was started")
