"""What it takes to start: a server, a command, a deployment, an import."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from bench.comparing import Target, compare
from bench.guide.assistant import Assistant, Config, within
from bench.guide.deployments import built_and_found
from bench.guide.requests import serving, whole_process
from bench.report import Row, Section
from bench.serve.cases import QUESTION, execute
from bench.serve.contenders import BEFORE, OURS, Contender, in_python, nexus
from bench.serve.generator import NUMBER
from bench.serve.processes import environment
from bench.serve.requests import ask
from bench.serve.scale import UNJUDGED, Scale
from bench.timing import Sample, alternate

__all__ = ["starts"]

POLL = 0.002
PATIENCE = 60.0


def starts(scale: Scale, pythons: Mapping[str, str], say: Callable[[str], None]) -> Section:
    """Measure starting a server, a ``nexus run``, deploying on all channels, and importing."""
    rows: list[Row] = []
    say("starting servers")
    rows += _server(scale, pythons)
    for measure in (_command, _deployment, _import):
        say(measure.__name__.strip("_"))
        rows += measure(scale)
    if not scale.judged:
        rows = [replace(row, met=None, reason=UNJUDGED) if row.target else row for row in rows]
    return Section("Server, command line, deployment and import", rows)


def _server(scale: Scale, pythons: Mapping[str, str]) -> list[Row]:
    environ = {"BENCH_AGENTS": "1"}
    contenders = {OURS: Contender(OURS, nexus(), environ=environ)}
    if BEFORE in pythons:
        contenders[BEFORE] = in_python(BEFORE, pythons[BEFORE], environ)
    calls = {name: _first_answer(contender) for name, contender in contenders.items()}
    samples = alternate(calls, max(3, scale.processes // 2))
    what = "server start, from the process to the first answer"
    rows = [within(what, samples[OURS], 0.6)]
    if BEFORE in samples:
        rows.append(compare(f"{what}: against before", samples, OURS, Target(BEFORE), absent={}))
    return rows


def _first_answer(contender: Contender) -> Callable[[], None]:
    """Return what starts a server, waits for its first right answer, and stops it."""
    template = execute("answer_0")
    body = QUESTION.replace(NUMBER, "1")

    def run() -> None:
        with contender.server() as server:
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    status, text = ask(server.port, template.path, body, {})
                    break
                except ConnectionError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(POLL)
            if status != 200:
                raise RuntimeError(text)

    return run


def _command(scale: Scale) -> list[Row]:
    with serving() as app:
        samples = whole_process(app, scale.processes)
    what = "`nexus run`, the whole process, against `python -c pass`"
    return [compare(what, samples, "cli", Target("python", 1 / 2), absent={})]


def _deployment(scale: Scale) -> list[Row]:
    built, found = built_and_found(Assistant(Config()), scale.processes)
    return [
        within("first deployment of an agent on three channels", built, 2e-3),
        within("the same from the cache", found, 100e-6),
    ]


def _import(scale: Scale) -> list[Row]:
    # As this process found the package, without what a site's own start-up files import.
    environ = environment()

    def process(code: str) -> Callable[[], object]:
        command = [sys.executable, "-c", code]
        return lambda: subprocess.run(command, env=environ, check=True, timeout=60)

    samples = alternate(
        {"import": process("import kaizen_nexus"), "python": process("pass")}, scale.processes
    )
    pairs = zip(samples["import"].seconds, samples["python"].seconds, strict=True)
    added = Sample(tuple(whole - bare for whole, bare in pairs))
    return [within("what `import kaizen_nexus` adds to an interpreter", added, 15e-3)]
