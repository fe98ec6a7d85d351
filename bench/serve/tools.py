"""What a call of a tool costs over MCP: CPU time over HTTP, and the time it takes over stdio."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from bench.core.operations import compared, duration, spread
from bench.report import Row, Section
from bench.serve.contenders import (
    QUERY,
    Contender,
    nexus_command,
    nexus_program,
    serving,
    uvicorn_command,
)
from bench.serve.generator import NUMBER
from bench.serve.load import closed_loop
from bench.serve.pipes import Pipe
from bench.serve.processes import SERVERS, environment
from bench.serve.requests import Template
from bench.serve.scale import Scale
from bench.serve.throughput import UNJUDGED, Measured, measure_all
from bench.timing import Sample, take_turns

__all__ = ["over_http", "over_stdio"]

PROTOCOL = "2026-07-28"
OURS = "kaizen-nexus"
SDK = "the SDK's low-level server"
HOOKED = "the SDK's low-level server, told the schema"
FASTMCP = "FastMCP"
CONNECTIONS = 8
HALF = 2.0
HEADERS = {
    "Content-Type": "application/json",
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
TEMPLATE = Template("/mcp", HEADERS, json.dumps(CALL), f"{QUERY} (long)")


def _sdk_absent() -> str:
    """Return why the SDK's server cannot be measured, if it cannot."""
    try:
        major = int(version("mcp").partition(".")[0])
    except PackageNotFoundError:
        return "mcp is not installed"
    return "" if major >= 2 else "mcp 2 is needed, of which this protocol is"


def _contenders(numbers: Sequence[int]) -> list[Contender]:
    """Return each server with each number of tools."""
    absent = _sdk_absent()
    chosen = []
    for tools in numbers:
        environ = {"BENCH_AGENTS": str(tools)}
        hooked = {**environ, "BENCH_SCHEMA_HOOK": "1"}
        chosen += [
            (OURS, tools, nexus_command(), "", absent, environ),
            (SDK, tools, uvicorn_command("sdk_tools"), "mcp", absent, environ),
            (HOOKED, tools, uvicorn_command("sdk_tools"), "mcp", absent, hooked),
            (FASTMCP, tools, uvicorn_command("fastmcp_tools"), "fastmcp", absent, environ),
        ]
    return [
        Contender(
            _called(name, tools),
            command,
            TEMPLATE,
            needs=needs,
            absent=reason,
            environ=environ,
            ours=name != FASTMCP,
        )
        for name, tools, command, needs, reason, environ in chosen
    ]


def _called(name: str, tools: int) -> str:
    return f"{name}, {tools} tool{'s' if tools > 1 else ''}"


def over_http(scale: Scale, say: Callable[[str], None]) -> Section:
    """Measure the CPU time of calls over streamable HTTP, with few tools and with many."""
    with serving(_contenders(scale.tools)) as (running, missing):
        measured = measure_all(
            running,
            scale.rounds,
            say,
            lambda contender: closed_loop(
                contender.server.port, TEMPLATE, scale.call_seconds, CONNECTIONS, exact=True
            ),
        )
    rows = [
        Row(f"{name}: CPU time of a call", spread(result.cpu_per_request))
        for name, result in measured.items()
    ]
    rows += [
        _compared(tools, rival, measured, missing, scale)
        for tools in scale.tools
        for rival in (SDK, HOOKED, FASTMCP)
    ]
    own = [measured.get(_called(OURS, tools)) for tools in scale.tools]
    if len(own) > 1 and own[0] is not None and own[-1] is not None:
        ratio = own[-1].cpu_per_request.times(own[0].cpu_per_request)
        rows.append(Row(f"{OURS}: {scale.tools[-1]} tools against one", compared(ratio)))
    data: dict[str, object] = {name: result.data() for name, result in measured.items()}
    title = "MCP: CPU time of a tools/call over streamable HTTP"
    return Section(title, rows, {"mcp": data, "absent": dict(missing)})


def _compared(
    tools: int,
    rival: str,
    measured: Mapping[str, Measured],
    missing: Mapping[str, str],
    scale: Scale,
) -> Row:
    """Compare the CPU time of a call of ours with another's."""
    own_name, other_name = _called(OURS, tools), _called(rival, tools)
    name = f"{own_name}, against {rival}"
    target = f"{HALF:g}x as fast" if rival in {SDK, HOOKED} else ""
    absent = missing.get(own_name) or missing.get(other_name)
    if absent:
        return Row(name, "-", target, None, absent)
    own, other = measured[own_name].cpu_per_request, measured[other_name].cpu_per_request
    ratio = own.times(other)
    figure = f"{compared(ratio)}; {duration(other.median)}"
    if not target:
        return Row(name, figure)
    if not scale.judged:
        return Row(name, figure, target, None, UNJUDGED)
    met = ratio.median >= HALF
    goal = f"the target amounts to {duration(own.median * ratio.median / HALF)}"
    reason = "" if met else f"{goal}, {duration(own.median)} were measured"
    return Row(name, figure, target, met, reason)


def over_stdio(scale: Scale, say: Callable[[str], None]) -> Section:
    """Measure how long calls take over standard input and output, one after the other."""
    say("MCP over stdio")
    target = "no slower"
    title = "MCP: a tools/call over stdio"
    absent = _sdk_absent()
    if absent:
        return Section(title, [Row("against the SDK", "-", target, None, absent)])
    environ = environment(BENCH_AGENTS="1")
    ours = [*nexus_program(), "mcp", f"{SERVERS / 'nexus_agents.py'}:app"]
    sdk = [sys.executable, str(SERVERS / "sdk_tools.py")]
    with Pipe(ours, environ) as own_pipe, Pipe(sdk, environ) as sdk_pipe:
        pipes = {OURS: own_pipe, SDK: sdk_pipe}
        for pipe in pipes.values():
            pipe.shake_hands()
            pipe.calls(scale.calls, "answer_0", ARGUMENTS, NUMBER)
        samples = take_turns(
            {
                name: lambda number, pipe=pipe: pipe.calls(  # type: ignore[misc]
                    number * scale.calls, "answer_0", ARGUMENTS, NUMBER
                )
                for name, pipe in pipes.items()
            },
            max(3, scale.rounds * 3),
        )
    each = {
        name: Sample(tuple(seconds / scale.calls for seconds in sample.seconds))
        for name, sample in samples.items()
    }
    ratio = each[OURS].times(each[SDK])
    rows = [Row(f"{name}: a call", spread(sample)) for name, sample in each.items()]
    rows.append(
        Row(
            f"{OURS} against {SDK}",
            compared(ratio),
            target,
            ratio.median >= 1 if scale.judged else None,
            "" if scale.judged else UNJUDGED,
        )
    )
    return Section(title, rows, {"stdio": {name: list(s.seconds) for name, s in each.items()}})
