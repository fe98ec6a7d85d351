"""What it takes to start: a command, a deployment, an import."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

from bench.core.operations import compared, spread
from bench.guide.assistant import Assistant, Config
from bench.guide.deployments import built_and_found
from bench.guide.requests import serving, whole_process
from bench.report import Row, Section
from bench.serve.scale import Scale
from bench.serve.throughput import UNJUDGED
from bench.timing import Sample, alternate

__all__ = ["starts"]

CLI_TARGET = 4.0
FIRST_TARGET = 2e-3
CACHED_TARGET = 100e-6
IMPORT_TARGET = 15e-3


def starts(scale: Scale, say: Callable[[str], None]) -> Section:
    """Measure a whole ``nexus run``, deploying on all channels, and importing the package."""
    rows = [*_command(scale, say), *_deployment(scale, say), *_import(scale, say)]
    if not scale.judged:
        rows = [replace(row, met=None, reason=UNJUDGED) if row.target else row for row in rows]
    return Section("Command line, deployment and import", rows)


def _command(scale: Scale, say: Callable[[str], None]) -> list[Row]:
    say("nexus run")
    with serving() as app:
        samples = whole_process(app, scale.processes)
    ratio = samples["python"].times(samples["cli"])
    low, high = ratio.spread
    return [
        Row(
            "`nexus run`, the whole process, against `python -c pass`",
            f"{ratio.median:.2f}x the time ({low:.2f} to {high:.2f}); "
            f"{spread(samples['cli'])} against {spread(samples['python'])}",
            f"at most {CLI_TARGET:g}x the time",
            ratio.median <= CLI_TARGET,
        )
    ]


def _deployment(scale: Scale, say: Callable[[str], None]) -> list[Row]:
    say("deploying")
    built, found = built_and_found(Assistant(Config()), scale.processes)
    return [
        Row(
            "first deployment of an agent on three channels",
            spread(built),
            "under 2 ms",
            built.median < FIRST_TARGET,
        ),
        Row(
            "the same from the cache",
            f"{spread(found)}; {compared(found.times(built))}",
            "under 100 us",
            found.median < CACHED_TARGET,
        ),
    ]


def _import(scale: Scale, say: Callable[[str], None]) -> list[Row]:
    say("importing")
    # As this process found the package, without what a site's own start-up files import.
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}

    def process(code: str) -> Callable[[], None]:
        def run() -> None:
            command = [sys.executable, "-c", code]
            subprocess.run(command, env=environ, check=True, timeout=60)

        return run

    samples = alternate(
        {"import": process("import kaizen_nexus"), "python": process("pass")}, scale.processes
    )
    pairs = zip(samples["import"].seconds, samples["python"].seconds, strict=True)
    added = Sample(tuple(whole - bare for whole, bare in pairs))
    low, high = (1e3 * seconds for seconds in added.spread)
    return [
        Row(
            "what `import kaizen_nexus` adds to an interpreter",
            f"{1e3 * added.median:.3g} ms ({low:.3g} to {high:.3g})",
            "under 15 ms",
            added.median < IMPORT_TARGET,
        )
    ]
