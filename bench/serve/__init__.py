"""The suite ``serve``: servers under load, ours beside others, in one run.

Each server is a process of its own with one worker, on the loopback interface. All get the same
requests from the same generator, each with a body of its own, and every answer is checked. They
take turns, round by round, and whoever is not loaded is stopped by a signal, so that nothing
competes for the processors. A contender that is not installed is left out, and the table says so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.report import Section
from bench.serve import cases, contenders, latency, starts, throughput, tools
from bench.serve.scale import FULL, QUICK, Scale

__all__ = ["FULL", "PACKAGES", "QUICK", "Scale", "measure"]

PACKAGES = (
    "uvicorn",
    "httptools",
    "uvloop",
    "granian",
    "starlette",
    "msgspec",
    "mcp",
    "fastapi",
    "pydantic",
    "fastmcp",
    "kailash-nexus",
)
"""What the figures depend on."""


def measure(scale: Scale, pythons: Mapping[str, str], say: Callable[[str], None]) -> list[Section]:
    """Measure everything.

    Parameters
    ----------
    scale
        How much to measure.
    pythons
        The interpreters of contenders that cannot be installed beside ours, by name.
    say
        Reports what is being measured.

    Raises
    ------
    SystemExit
        The processes of this machine cannot be observed.
    WrongAnswerError
        A server answers something else than what it would be timed for.
    """
    if not Path("/proc/self/stat").exists():
        raise SystemExit("Error: the suite 'serve' reads CPU times from /proc, which Linux has")
    say("starting the servers")
    with tempfile.TemporaryDirectory(prefix="bench-serve-") as folder:
        key_file = Path(folder) / "keys.json"
        key = cases.make_key(key_file)
        with contenders.serving(contenders.contenders(pythons, key_file)) as (running, missing):
            chosen = cases.cases(running, key)
            section, measured = throughput.throughput(running, missing, chosen, scale, say)
            offer = latency.Offering(running, chosen[0], scale.seconds)
            sections = [
                section,
                latency.overhead(offer, measured, scale, say),
                latency.curves(offer, measured, scale, say),
            ]
    say("starting the MCP servers")
    return [
        *sections,
        tools.over_http(scale, pythons, say),
        tools.over_stdio(scale, say),
        starts.starts(scale, pythons, say),
    ]
