"""One request on each channel, against a server on a real socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from bench.guide.assistant import Assistant, Config, check, within
from bench.report import Row
from bench.timing import Sample, alternate
from kaizen_nexus import Nexus, deploy_multi_channel
from kaizen_nexus.testing.mcp_client import connect_http

__all__ = ["execution", "nexus_program", "serving", "whole_process"]


def execution(rounds: int) -> list[Row]:
    """One request on each channel, against a server on a real socket."""
    with serving() as app, http_request(app) as over_http:
        api = alternate({"api": over_http}, rounds * 4)["api"]
        processes = whole_process(app, max(5, rounds // 2))
        mcp = alternate({"mcp": mcp_call(app)}, rounds * 2)["mcp"]
    ratio = processes["cli"].median / processes["python"].median
    return [
        within("API overhead", api, 0.05),
        within(
            "CLI overhead, whole process", processes["cli"], 0.5, f"{ratio:.1f}x `python -c pass`"
        ),
        within("MCP overhead", mcp, 0.05),
    ]


def whole_process(app: Nexus, rounds: int) -> dict[str, Sample]:
    """Time ``nexus run`` as a whole process, beside an interpreter that does nothing."""
    command = [*nexus_program(), "run", "assistant", "--query", "x", "-o", "json"]
    environment = {**os.environ, "NEXUS_URL": app.url}

    def over_cli() -> None:
        completed = subprocess.run(
            command, env=environment, capture_output=True, check=True, timeout=60
        )
        check(json.loads(completed.stdout)["result"])

    def interpreter() -> None:
        subprocess.run([sys.executable, "-c", "pass"], check=True, timeout=60)

    return alternate({"cli": over_cli, "python": interpreter}, rounds)


@contextmanager
def serving() -> Iterator[Nexus]:
    """Serve the assistant on a free port."""
    app = Nexus(api_port=0)
    deploy_multi_channel(Assistant(Config()), app, "assistant")
    app.start(blocking=False)
    try:
        yield app
    finally:
        app.close()


@contextmanager
def http_request(app: Nexus) -> Iterator[Callable[[], None]]:
    """Give a function that makes one request, all on one connection."""
    connection = HTTPConnection("127.0.0.1", app.api_port, timeout=30)
    body = json.dumps({"query": "x"})

    def request() -> None:
        connection.request("POST", "/api/workflows/assistant/execute", body)
        check(json.load(connection.getresponse())["result"])

    try:
        yield request
    finally:
        connection.close()


def mcp_call(app: Nexus) -> Callable[[], None]:
    """Return a function that calls the tool, each time on a connection of its own."""
    client = connect_http(f"{app.url}/mcp", modern=True, timeout=30)

    def call() -> None:
        check(client.call("assistant", {"query": "x"})["structuredContent"]["result"])

    return call


def nexus_program() -> list[str]:
    """Return how to start the installed program."""
    script = Path(sysconfig.get_path("scripts")) / "nexus"
    return [str(script)] if script.exists() else [sys.executable, "-m", "kaizen_nexus"]
