"""The whole check: serve the app, connect every channel, compare, clean up."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from kaizen_nexus.testing.cases import UNKNOWN, Case, cases_of, refusals_of, valid_inputs
from kaizen_nexus.testing.catalogue import Deployed, chosen_of, fetch_deployed
from kaizen_nexus.testing.checker import Checker, Probe
from kaizen_nexus.testing.cli_probe import CliProbe
from kaizen_nexus.testing.conversations import Conversations, state_difference
from kaizen_nexus.testing.http_probe import HttpClient, HttpProbe
from kaizen_nexus.testing.inputs import GivenInputs
from kaizen_nexus.testing.mcp_clients import (
    MODERN,
    connect_http,
    connect_stdio,
    has_modern_era,
    load_sdk,
    sdk_version,
)
from kaizen_nexus.testing.mcp_probe import Connect, ConnectionFailedError, McpProbe
from kaizen_nexus.testing.metrics import OPERATIONS, Meter
from kaizen_nexus.testing.outcome import MISSING
from kaizen_nexus.testing.program import environment
from kaizen_nexus.testing.progress import Progress
from kaizen_nexus.testing.report import APP, Channel, Report, UsedInputs
from kaizen_nexus.testing.samples import NoSampleError
from kaizen_nexus.testing.schemas import (
    compare_help,
    compare_openapi,
    compare_tool,
    compare_tool_names,
    fetch_openapi,
)
from kaizen_nexus.testing.server import CannotCheckError, ServedApp

__all__ = ["Settings", "check"]

HANDSHAKE = "mcp-handshake"
STDIO = "mcp-stdio"
MODERN_HTTP = f"mcp-{MODERN}"


@dataclass(frozen=True)
class Settings:
    """What to check, and how."""

    target: str
    given: Sequence[GivenInputs]
    workflows: Sequence[str]
    timeout: float
    """Seconds for one call."""
    log: Path
    """Where what the servers print goes."""
    observations: Path
    """Where the server that is talked to over stdio leaves what it recorded."""


def check(settings: Settings, progress: Progress) -> Report:
    """Check an app, and return what was found.

    Subprocesses have ended when this returns or raises, also on SIGINT and SIGTERM.

    Raises
    ------
    CannotCheckError
        There is nothing to compare.
    KeyboardInterrupt
        A signal ended the check.
    """
    # What the SDK logs about an answer that it cannot use is in the report, in fewer words.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    server = ServedApp(settings.target, settings.log)
    run = _Run(settings, server, progress)
    try:
        return asyncio.run(run.all())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        server.kill()
        progress.clear()


class _Run:
    """One check, from the start of the server to its end."""

    def __init__(self, settings: Settings, server: ServedApp, progress: Progress) -> None:
        self.settings = settings
        self.server = server
        self.progress = progress
        self.report = Report(settings.target)
        self._mcp: list[McpProbe] = []
        self._tools: dict[str, dict[str, Any]] = {}

    async def all(self) -> Report:
        """Serve, compare, and stop serving."""
        started = time.monotonic()
        task = asyncio.current_task()
        if task is not None and sys.platform != "win32":
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        self.progress.show(f"starting {self.settings.target}")
        ticking = asyncio.create_task(self._tick())
        try:
            with self.settings.log.open("ab") as log:
                # Importing the SDK takes as long as the server takes to start.
                await asyncio.gather(asyncio.to_thread(load_sdk), self.server.start())
                await self._compare(log)
        finally:
            ticking.cancel()
            await asyncio.gather(*(probe.abandon() for probe in self._mcp))
            await self.server.stop()
        self.report.seconds = time.monotonic() - started
        return self.report

    async def _tick(self) -> None:
        """Show that something is going on, also while one thing takes long."""
        while True:
            await asyncio.sleep(1)
            self.progress.again()

    async def _compare(self, log: IO[bytes]) -> None:
        http = HttpClient(self.server.url, self.settings.timeout)
        try:
            everything = await fetch_deployed(http)
        except CannotCheckError as error:
            if self.server.is_nexus:
                raise
            raise CannotCheckError(f"{self.server.why_not}: {error}") from None
        chosen = self._chosen(everything)
        served, alone = await self._connected(http, everything, log)
        meter = Meter(http)
        await meter.start()
        checker = Checker(
            report=self.report,
            server=self.server,
            served=served,
            alone=alone,
            meter=meter,
            progress=self.progress,
        )
        conversations = Conversations(checker, http)
        openapi = await fetch_openapi(http)
        listed = {workflow.name for workflow in everything if "mcp" in workflow.channels}
        for channel, tools in self._tools.items():
            compare_tool_names(self.report, listed, channel, tools)
        for workflow in chosen:
            self.report.begin(workflow.name)
            await self._compare_schemas(workflow, openapi, checker)
            await self._compare_calls(workflow, checker, conversations)
            checker.end(workflow.name)
        case = Case("unknown workflow", {})
        await checker.compare_problems(UNKNOWN, case, [*served, *alone])
        checker.end(APP)
        await asyncio.gather(*(probe.close() for probe in self._mcp))
        self._compare_observations(checker, conversations)

    def _chosen(self, everything: list[Deployed]) -> list[Deployed]:
        chosen_of(everything, [given.workflow for given in self.settings.given], "--inputs")
        if not self.settings.workflows:
            return everything
        return chosen_of(everything, self.settings.workflows, "--workflow")

    async def _connected(
        self, http: HttpClient, everything: list[Deployed], log: IO[bytes]
    ) -> tuple[list[Probe], list[Probe]]:
        """Return the channels of the server, and those of processes of their own."""
        settings, report, url = self.settings, self.report, self.server.url
        schemas = {workflow.name: workflow.input_schema for workflow in everything}
        paths = {w.name: w.execute for w in everything if w.execute is not None}
        served: list[Probe] = [
            HttpProbe(http, paths),
            CliProbe(url, schemas, settings.timeout),
        ]
        report.channels += [Channel("http", True, url), Channel("cli", True, "nexus run")]
        opened = {}
        for name, connect in self._connections(log).items():
            probe = McpProbe(name, connect, schemas, settings.timeout)
            self._mcp.append(probe)
            opened[name] = (probe, asyncio.create_task(self._open(probe)))
        alone: list[Probe] = []
        for name, (probe, opening) in opened.items():
            if failure := await opening:
                report.channels.append(Channel(name, False, failure))
                report.differ(APP, "result", "connecting", {name: failure})
                continue
            how = "nexus mcp" if name == STDIO else f"{url}/mcp"
            detail = f"{how}, protocol {probe.version}, mcp {sdk_version()}"
            report.channels.append(Channel(name, True, detail))
            (alone if name == STDIO else served).append(probe)
        if not has_modern_era():
            detail = f"with mcp {sdk_version()}, which knows the handshake era alone"
            report.channels.append(Channel(MODERN_HTTP, False, detail))
        if not self.server.is_nexus:
            detail = f"{self.server.why_not}, and nexus mcp serves nothing else"
            report.channels.append(Channel(STDIO, False, detail))
        return served, alone

    def _connections(self, log: IO[bytes]) -> dict[str, Connect]:
        """Return how to connect to each channel of MCP that there is."""
        endpoint = f"{self.server.url}/mcp"
        connections: dict[str, Connect] = {
            HANDSHAKE: functools.partial(connect_http, endpoint, modern=False)
        }
        if has_modern_era():
            connections[MODERN_HTTP] = functools.partial(connect_http, endpoint, modern=True)
        if self.server.is_nexus:
            module = "kaizen_nexus.console.observed"
            arguments = ["-m", module, self.settings.target, str(self.settings.observations)]
            connections[STDIO] = functools.partial(
                connect_stdio, [sys.executable, *arguments], environment(), log
            )
        return connections

    async def _open(self, probe: McpProbe) -> str:
        """Connect and list the tools; return why that did not go well, or nothing."""
        try:
            await probe.open()
            self._tools[probe.name] = await probe.tools()
        except ConnectionFailedError as error:
            await probe.abandon()
            return str(error)
        return ""

    async def _compare_schemas(self, workflow: Deployed, openapi: Any, checker: Checker) -> None:
        self.progress.show(f"{workflow.name}: schemas")
        if "api" in workflow.channels:
            compare_openapi(self.report, workflow, openapi)
        if "mcp" in workflow.channels:
            for channel, tools in self._tools.items():
                compare_tool(self.report, workflow, channel, tools)
        for probe in checker.served_on(workflow):
            if isinstance(probe, CliProbe):
                await compare_help(self.report, workflow, probe)

    async def _compare_calls(
        self, workflow: Deployed, checker: Checker, conversations: Conversations
    ) -> None:
        given = [each for each in self.settings.given if each.workflow == workflow.name]
        try:
            cases = cases_of(workflow, given)
        except NoSampleError as error:
            cases = []
            self.report.note(workflow.name, "result", f"{error}; give some with --inputs FILE")
        works: Case | None = None
        agrees = True
        for case in cases:
            used = UsedInputs(workflow.name, case.name, case.origin, case.inputs)
            self.report.inputs.append(used)
            compared = await checker.compare(workflow, case)
            if compared.succeeded and works is None:
                works, agrees = case, compared.agrees
        probes = [*checker.served_on(workflow), *checker.alone_on(workflow)]
        for case in refusals_of(workflow, valid_inputs(workflow, cases)):
            await checker.compare_problems(workflow.name, case, probes)
        if elsewhere := checker.not_on(workflow):
            case = Case("not deployed here", {})
            await checker.compare_problems(workflow.name, case, elsewhere)
        if works is not None:
            await conversations.compare(workflow, works.inputs, results=agrees)
        elif cases:
            text = "no call succeeded, so no session was started"
            self.report.note(workflow.name, "session", text)

    def _compare_observations(self, checker: Checker, conversations: Conversations) -> None:
        """Compare what the process behind stdio recorded, now that it has ended."""
        if not checker.most_alone and not conversations.pending:
            return
        try:
            observed = json.loads(self.settings.observations.read_text("utf-8"))
        except (OSError, ValueError):
            found = {STDIO: "ended without leaving its records"}
            self.report.differ(APP, "metric", "all calls", found)
            return
        counts, states = observed["counts"], observed["states"]
        self.report.compared(APP, "metric")
        least, most = checker.least_alone, checker.most_alone
        wrong = not least <= counts["mcp"] <= most or counts["api"] or counts["cli"]
        if wrong:
            recorded = ", ".join(f"{name} {counts[name]}" for name in OPERATIONS)
            found = {STDIO: f"recorded {recorded} for {most} calls over MCP"}
            self.report.differ(APP, "metric", "all calls", found)
        for workflow, probe, held, like in conversations.pending:
            state = states.get(held.session_id or "", MISSING)
            difference = state_difference(state, like)
            if difference:
                case = "a conversation on one channel"
                self.report.differ(workflow.name, "session", case, {probe.name: difference})
