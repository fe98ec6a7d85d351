"""The servers that answer over HTTP: ours, the least that there could be, and the others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten

from bench.guide.requests import nexus_program
from bench.serve.processes import HOST, SERVERS, Server, ServerFailedError, environment, free_port

__all__ = [
    "BARE",
    "BARE_ON_GRANIAN",
    "BEFORE",
    "FASTAPI",
    "FASTAPI_ON_GRANIAN",
    "GUARDED",
    "KAILASH",
    "OURS",
    "OURS_ON_GRANIAN",
    "Contender",
    "Running",
    "contenders",
    "in_python",
    "nexus",
    "serving",
    "uvicorn",
]

OURS = "kaizen-nexus"
OURS_ON_GRANIAN = "kaizen-nexus on granian"
GUARDED = "kaizen-nexus with a key and a rate limit"
BEFORE = "kaizen-nexus before"
BARE = "bare ASGI echo"
BARE_ON_GRANIAN = "bare ASGI echo on granian"
FASTAPI = "FastAPI"
FASTAPI_ON_GRANIAN = "FastAPI on granian"
KAILASH = "kailash-nexus"


@dataclass(frozen=True)
class Contender:
    """A server that may take part."""

    name: str
    command: Callable[[int], Sequence[str]]
    """How to start it at a port."""
    needs: str = ""
    """The module that must be installed."""
    absent: str = ""
    """Why it cannot be had, if it cannot."""
    environ: Mapping[str, str] = field(default_factory=dict)
    ours: bool = False
    """Whether the run fails if it does not start; others are then left out."""

    @property
    def missing(self) -> str:
        """Why it does not take part, if it does not."""
        if not self.absent and self.needs and find_spec(self.needs) is None:
            return f"{self.needs} is not installed"
        return self.absent

    def server(self) -> Server:
        """Return it as a process that is not started yet, on a free port."""
        port = free_port()
        return Server(self.command(port), port, environment(**self.environ))


@dataclass(frozen=True)
class Running:
    """A contender that is being served."""

    contender: Contender
    server: Server

    @contextmanager
    def awake(self) -> Iterator[Server]:
        """Let it run, which it does not otherwise."""
        self.server.resume()
        try:
            yield self.server
        finally:
            self.server.pause()


@contextmanager
def serving(
    chosen: Sequence[Contender],
) -> Iterator[tuple[dict[str, Running], dict[str, str]]]:
    """Start the contenders that there are; give them, and why the others are missing.

    Each is paused until it is its turn, so that no two of them compete for the processors.
    """
    running: dict[str, Running] = {}
    missing = {c.name: c.missing for c in chosen if c.missing}
    present = [contender for contender in chosen if not contender.missing]
    with ExitStack() as stack:
        servers = [stack.enter_context(contender.server()) for contender in present]
        for contender, server in zip(present, servers, strict=True):
            try:
                server.wait()
            except ServerFailedError as error:
                if contender.ours:
                    raise
                missing[contender.name] = f"it does not start: {shorten(error.reason, 100)}"
                continue
            running[contender.name] = Running(contender, server)
        for served in running.values():
            served.server.pause()
        yield running, missing


def contenders(pythons: Mapping[str, str], key_file: Path) -> list[Contender]:
    """Return all that could take part, whether they are there or not.

    Parameters
    ----------
    pythons
        The interpreters of contenders that cannot be installed beside ours, by name.
    key_file
        Where the app that asks for a key finds it.
    """
    guards = {"BENCH_GUARDED": "1", "KAIZEN_NEXUS_KEYS": str(key_file)}
    chosen = [
        Contender(OURS, nexus(), ours=True),
        Contender(OURS_ON_GRANIAN, nexus("--server", "granian"), needs="granian", ours=True),
        Contender(GUARDED, nexus(), environ=guards, ours=True),
        Contender(BARE, uvicorn("bare_echo"), ours=True),
        Contender(BARE_ON_GRANIAN, granian("bare_echo"), needs="granian"),
        Contender(FASTAPI, uvicorn("fastapi_agent"), needs="fastapi"),
        Contender(
            FASTAPI_ON_GRANIAN,
            granian("fastapi_agent"),
            needs="granian",
            absent="" if find_spec("fastapi") else "fastapi is not installed",
        ),
        _kailash(pythons.get(KAILASH, sys.executable)),
    ]
    if BEFORE in pythons:
        chosen.insert(1, in_python(BEFORE, pythons[BEFORE]))
    return chosen


def in_python(name: str, python: str, environ: Mapping[str, str] | None = None) -> Contender:
    """Return another version of ours, which another interpreter has."""
    app = f"{SERVERS / 'nexus_agents.py'}:app"
    program = [python, "-m", "kaizen_nexus", "serve", app, "--port"]
    return Contender(
        name,
        lambda port: [*program, str(port)],
        absent=_without("kaizen-nexus", python),
        environ={"PYTHONPATH": "", **(environ or {})},
    )


def _kailash(python: str) -> Contender:
    """Return the platform that this one stands in for, which may need its own interpreter."""
    return Contender(
        KAILASH,
        lambda port: [python, str(SERVERS / "kailash_agent.py"), str(port), str(free_port())],
        absent=_without("kailash-nexus", python),
        environ={} if python == sys.executable else {"PYTHONPATH": ""},
    )


def nexus(*options: str) -> Callable[[int], Sequence[str]]:
    """Return how ours is served."""
    app = f"{SERVERS / 'nexus_agents.py'}:app"
    return lambda port: [*nexus_program(), "serve", app, "--port", str(port), *options]


def uvicorn(module: str) -> Callable[[int], Sequence[str]]:
    """Return how an app of ours is served by uvicorn, set up as `nexus serve` sets it up."""
    program = [sys.executable, "-m", "uvicorn", "--app-dir", str(SERVERS), f"{module}:app"]
    quiet = ["--no-access-log", "--log-level", "critical"]
    headers = ["--no-proxy-headers", "--no-server-header"]
    return lambda port: [*program, "--host", HOST, "--port", str(port), *quiet, *headers]


def granian(module: str) -> Callable[[int], Sequence[str]]:
    """Return how an app of ours is served by granian, with one worker."""
    program = [sys.executable, "-m", "granian", "--interface", "asgi", "--workers", "1"]
    program += ["--working-dir", str(SERVERS), "--no-ws", "--log-level", "critical"]
    return lambda port: [*program, "--host", HOST, "--port", str(port), f"{module}:app"]


def _without(distribution: str, python: str) -> str:
    """Return why an interpreter does not have a distribution, if it does not."""
    code = "import importlib.metadata, sys; importlib.metadata.version(sys.argv[1])"
    command = [python, "-c", code, distribution]
    environ = environment() if python == sys.executable else environment(PYTHONPATH="")
    try:
        found = subprocess.run(command, env=environ, capture_output=True, check=False, timeout=60)
    except OSError as error:
        return f"{python} cannot be run: {error.strerror}"
    if found.returncode == 0:
        return ""
    own = python == sys.executable
    return f"{distribution} is not installed" + ("" if own else f" for {python}")
