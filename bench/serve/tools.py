"""What a call of a tool costs over MCP: CPU time over HTTP, and the time it takes over stdio."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bench.comparing import Target, compare, figures, spread
from bench.core.contenders import WrongAnswerError
from bench.guide.requests import nexus_program
from bench.report import Row, Section
from bench.serve.cases import QUERY
from bench.serve.contenders import (
    BEFORE,
    OURS,
    Contender,
    in_python,
    nexus,
    serving,
    uvicorn,
)
from bench.serve.generator import NUMBER
from bench.serve.processes import SERVERS, environment
from bench.serve.requests import NUMBERS, Template
from bench.serve.scale import UNJUDGED, Scale
from bench.serve.throughput import compared_rows, measure_all
from bench.timing import Run, Sample, take_turns

__all__ = ["TEMPLATE", "over_http", "over_stdio"]

PROTOCOL = "2026-07-28"
HANDSHAKE = "2025-06-18"
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
    programs = {
        OURS: [*nexus_program(), "mcp", f"{SERVERS / 'nexus_agents.py'}:app"],
        SDK: [sys.executable, str(SERVERS / "sdk_tools.py")],
    }
    absent = _without_sdk()
    samples: dict[str, Sample] = {}
    if not absent:
        with ExitStack() as stack:
            runs = {name: _pipe(stack, program, scale) for name, program in programs.items()}
            samples = take_turns(runs, max(3, scale.rounds * 3))
    rows = [Row(f"{name}: a call", spread(sample)) for name, sample in samples.items()]
    unjudged = "" if scale.judged else UNJUDGED
    what = f"{OURS} against {SDK}"
    rows.append(
        compare(what, samples, OURS, Target(SDK, 1), absent={OURS: absent}, unjudged=unjudged)
    )
    data: dict[str, object] = {name: figures(sample) for name, sample in samples.items()}
    return Section("MCP: a `tools/call` over stdio", rows, {"stdio": data})


def _pipe(stack: ExitStack, command: Sequence[str], scale: Scale) -> Run:
    """Start a server, shake hands, and return what times calls of its tool."""
    environ = environment(BENCH_AGENTS="1")
    pipe = subprocess.PIPE
    process = stack.enter_context(
        subprocess.Popen(command, env=environ, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
    )
    stack.callback(process.terminate)
    writing, reading = process.stdin, process.stdout
    if writing is None or reading is None:
        raise RuntimeError("a process has no pipes")

    def send(message: Mapping[str, Any]) -> None:
        writing.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        writing.flush()

    def ask(method: str, params: Mapping[str, Any], expected: str) -> None:
        number = next(NUMBERS)
        send({"id": number, "method": method, "params": params})
        line = b""
        while f'"id":{number}' not in line.decode().replace(" ", ""):
            line = reading.readline()
            if not line:
                raise WrongAnswerError(f"{command} ended without an answer")
        if expected not in line.decode():
            raise WrongAnswerError(f"{method} over stdio: {line.decode()}")

    def calls(number: int) -> float:
        started = time.perf_counter()
        for _ in range(number * scale.calls):
            query = QUERY.replace(NUMBER, str(next(NUMBERS)))
            ask(
                "tools/call",
                {"name": "answer_0", "arguments": {**ARGUMENTS, "query": query}},
                query,
            )
        return (time.perf_counter() - started) / scale.calls

    client = {"name": "bench", "version": "1"}
    params = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": client}
    ask("initialize", params, "result")
    send({"method": "notifications/initialized"})
    calls(1)
    return calls


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
