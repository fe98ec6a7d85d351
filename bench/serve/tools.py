"""What a call of a tool costs over MCP: CPU time over HTTP, and the time it takes over stdio."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from bench.comparing import Target, compare, figures, spread
from bench.report import Row, Section
from bench.serve.cases import QUERY
from bench.serve.contenders import (
    BEFORE,
    OURS,
    Contender,
    in_python,
    nexus,
    nexus_program,
    serving,
    uvicorn,
)
from bench.serve.generator import NUMBER
from bench.serve.pipes import Pipe
from bench.serve.processes import SERVERS, environment
from bench.serve.requests import Template
from bench.serve.scale import UNJUDGED, Scale
from bench.serve.throughput import compared_rows, measure_all
from bench.timing import Sample, take_turns

__all__ = ["TEMPLATE", "over_http", "over_stdio"]

PROTOCOL = "2026-07-28"
SDK = "the SDK's low-level server"
HOOKED = "the SDK's low-level server, told the schema"
FASTMCP = "FastMCP"
CONNECTIONS = 8
HEADERS = {
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": PROTOCOL,
    "Mcp-Method": "tools/call",
    "Mcp-Name": "answer_0",
}
ARGUMENTS = {"query": QUERY, "times": 2, "style": "long"}
CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": PROTOCOL,
            "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        },
        "name": "answer_0",
        "arguments": ARGUMENTS,
    },
}
TEMPLATE = Template("/mcp", json.dumps(CALL), f"{QUERY} (long)", HEADERS)


def over_http(scale: Scale, pythons: Mapping[str, str], say: Callable[[str], None]) -> Section:
    """Measure the CPU time of calls over streamable HTTP, with few tools and with many."""
    rows: list[Row] = []
    data: dict[str, object] = {}
    absent: dict[str, str] = {}
    for tools in scale.tools:
        with serving(_contenders(tools, pythons)) as (running, missing):
            sent = dict.fromkeys((OURS, SDK, HOOKED, FASTMCP, BEFORE), TEMPLATE)
            measured = measure_all(running, sent, scale, say, connections=CONNECTIONS)
        what = f"`tools/call`, {tools} tool{'s' if tools > 1 else ''}"
        targets = (Target(SDK, 15), Target(HOOKED), Target(FASTMCP))
        data[what] = {name: result.data() for name, result in measured.items()}
        absent |= missing
        rows += [Row(f"{what}: {name}", str(result)) for name, result in measured.items()]
        rows += compared_rows(what, OURS, targets, measured, missing=missing, scale=scale)
    return Section("MCP over streamable HTTP", rows, {"mcp": data, "mcp_absent": absent})


def over_stdio(scale: Scale, say: Callable[[str], None]) -> Section:
    """Measure how long calls take over standard input and output, one after the other."""
    say("MCP over stdio")
    environ = environment(BENCH_AGENTS="1")
    ours = [*nexus_program(), "mcp", f"{SERVERS / 'nexus_agents.py'}:app"]
    sdk = [sys.executable, str(SERVERS / "sdk_tools.py")]
    absent = _without_sdk()
    samples: dict[str, Sample] = {}
    if not absent:
        with Pipe(ours, environ) as own_pipe, Pipe(sdk, environ) as sdk_pipe:
            samples = _alternated({OURS: own_pipe, SDK: sdk_pipe}, scale)
    rows = [Row(f"{name}: a call", spread(sample)) for name, sample in samples.items()]
    unjudged = "" if scale.judged else UNJUDGED
    what = f"{OURS} against {SDK}"
    rows.append(
        compare(what, samples, OURS, Target(SDK, 1), absent={OURS: absent}, unjudged=unjudged)
    )
    data: dict[str, object] = {name: figures(sample) for name, sample in samples.items()}
    return Section("MCP: a `tools/call` over stdio", rows, {"stdio": data})


def _alternated(pipes: Mapping[str, Pipe], scale: Scale) -> dict[str, Sample]:
    def calls(pipe: Pipe) -> Callable[[int], float]:
        def run(number: int) -> float:
            seconds = pipe.calls(number * scale.calls, "answer_0", ARGUMENTS, NUMBER)
            return seconds / scale.calls

        return run

    for pipe in pipes.values():
        pipe.shake_hands()
    runs = {name: calls(pipe) for name, pipe in pipes.items()}
    return take_turns(runs, max(3, scale.rounds * 3))


def _contenders(tools: int, pythons: Mapping[str, str]) -> Sequence[Contender]:
    """Return each server with so many tools."""
    absent = _without_sdk()
    environ = {"BENCH_AGENTS": str(tools)}
    hooked = {**environ, "BENCH_SCHEMA_HOOK": "1"}
    chosen = [
        Contender(OURS, nexus(), environ=environ, ours=True),
        Contender(SDK, uvicorn("sdk_tools"), absent=absent, environ=environ),
        Contender(HOOKED, uvicorn("sdk_tools"), absent=absent, environ=hooked),
        Contender(FASTMCP, uvicorn("fastmcp_tools"), "fastmcp", absent, environ),
    ]
    if BEFORE in pythons:
        chosen.append(in_python(BEFORE, pythons[BEFORE], environ))
    return chosen


def _without_sdk() -> str:
    """Return why the SDK's server cannot be measured, if it cannot."""
    try:
        major = int(version("mcp").partition(".")[0])
    except PackageNotFoundError:
        return "mcp is not installed"
    return "" if major >= 2 else "mcp 2 is needed, of which this protocol is"
