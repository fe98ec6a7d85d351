"""The servers that answer over HTTP: ours, the least that there could be, and the others."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten

from bench.core.contenders import WrongAnswerError
from bench.serve.generator import NUMBER
from bench.serve.processes import HOST, SERVERS, Server, ServerFailedError, environment, free_port
from bench.serve.requests import Template, ask, create_sessions

__all__ = [
    "BARE",
    "BARE_ON_GRANIAN",
    "FASTAPI",
    "KAILASH",
    "LITSERVE",
    "OURS",
    "OURS_ON_GRANIAN",
    "Contender",
    "Running",
    "contenders",
    "nexus_command",
    "serving",
    "uvicorn_command",
]

OURS = "kaizen-nexus"
OURS_ON_GRANIAN = "kaizen-nexus on granian"
BARE = "bare ASGI echo"
BARE_ON_GRANIAN = "bare ASGI echo on granian"
FASTAPI = "FastAPI"
LITSERVE = "LitServe"
KAILASH = "kailash-nexus"

JSON = {"Content-Type": "application/json"}
QUERY = f"question {NUMBER} of a conversation"
QUESTION = f'{{"query":"{QUERY}","times":2,"style":"long"}}'
WRONG = '{"query":["no","text"],"times":2,"style":"long"}'
ANSWER = f'"answer":"{QUERY} (long)"'
SESSIONS = 1_024
"""Sessions that requests are spread over: many more than there are connections, so that two
requests on one of them do not have to take turns."""


@dataclass(frozen=True)
class Contender:
    """A server, and what to send to it."""

    name: str
    command: Callable[[int], Sequence[str]]
    """How to start it at a port."""
    template: Template
    needs: str = ""
    """The module that must be installed."""
    absent: str = ""
    """Why it cannot be had, if it cannot."""
    prepare: Callable[[int, Template], Template] = field(default=lambda _, template: template)
    """Checks more than that it answers, and returns what to send."""
    environ: dict[str, str] = field(default_factory=dict)
    ours: bool = False
    """Whether the run fails if it does not start; others are then left out."""

    @property
    def missing(self) -> str:
        """Why it does not take part, if it does not."""
        if not self.absent and self.needs and find_spec(self.needs) is None:
            return f"{self.needs} is not installed"
        return self.absent


@dataclass(frozen=True)
class Running:
    """A contender that is being served."""

    contender: Contender
    server: Server
    template: Template

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Let it run, which it does not otherwise."""
        self.server.resume()
        try:
            yield
        finally:
            self.server.pause()


@contextmanager
def serving(
    chosen: Sequence[Contender],
) -> Iterator[tuple[dict[str, Running], dict[str, str]]]:
    """Start the contenders that there are and check their answers; give them, and why others lack.

    Each is paused until it is its turn, so that no two of them compete for the processors.
    """
    running: dict[str, Running] = {}
    missing = {c.name: c.missing for c in chosen if c.missing}
    present = [contender for contender in chosen if not contender.missing]
    with ExitStack() as stack:
        servers = []
        for contender in present:
            port = free_port()
            command, environ = contender.command(port), environment(**contender.environ)
            servers.append(stack.enter_context(Server(command, port, environ)))
        for contender, server in zip(present, servers, strict=True):
            try:
                server.wait()
            except ServerFailedError as error:
                if contender.ours:
                    raise
                missing[contender.name] = f"it does not start: {shorten(error.reason, 100)}"
                continue
            contender.template.check(server.port)
            template = contender.prepare(server.port, contender.template)
            template.check(server.port)
            running[contender.name] = Running(contender, server, template)
        for served in running.values():
            served.server.pause()
        yield running, missing


def contenders(pythons: Mapping[str, str]) -> list[Contender]:
    """Return all that could take part, whether they are there or not.

    Parameters
    ----------
    pythons
        The interpreters of contenders that cannot be installed beside ours, by name.
    """
    execute = Template("/api/workflows/answer_0/execute", JSON, QUESTION, ANSWER)
    echo = Template("/", JSON, QUESTION, QUERY)
    answer = Template("/answer", JSON, QUESTION, ANSWER)
    on_granian = "" if _serves_on_granian() else "nexus serve has no option --server"
    return [
        Contender(OURS, nexus_command(), execute, prepare=with_sessions, ours=True),
        Contender(
            OURS_ON_GRANIAN,
            nexus_command("--server", "granian"),
            execute,
            needs="granian",
            absent=on_granian,
            prepare=with_sessions,
            ours=True,
        ),
        Contender(BARE, uvicorn_command("bare_echo"), echo, ours=True),
        Contender(BARE_ON_GRANIAN, granian_command("bare_echo"), echo, needs="granian"),
        Contender(
            FASTAPI, uvicorn_command("fastapi_agent"), answer, needs="fastapi", prepare=refusing
        ),
        _foreign(
            LITSERVE,
            "litserve",
            pythons,
            lambda port: ["litserve_agent.py", str(port)],
            Template("/predict", JSON, QUESTION, ANSWER),
        ),
        _foreign(
            KAILASH,
            "kailash-nexus",
            pythons,
            lambda port: ["kailash_agent.py", str(port), str(free_port())],
            Template("/workflows/answer/execute", JSON, f'{{"inputs":{QUESTION}}}', ANSWER),
        ),
    ]


def _foreign(
    name: str,
    distribution: str,
    pythons: Mapping[str, str],
    program: Callable[[int], Sequence[str]],
    template: Template,
) -> Contender:
    """Return a contender that may need an interpreter of its own."""
    python = pythons.get(name, sys.executable)

    def command(port: int) -> Sequence[str]:
        script, *arguments = program(port)
        return [python, str(SERVERS / script), *arguments]

    return Contender(
        name,
        command,
        template,
        absent=_without(distribution, python),
        environ={} if python == sys.executable else {"PYTHONPATH": ""},
    )


def nexus_command(*options: str) -> Callable[[int], Sequence[str]]:
    """Return how ours is served."""
    app = f"{SERVERS / 'nexus_agents.py'}:app"
    return lambda port: [*nexus_program(), "serve", app, "--port", str(port), *options]


def nexus_program() -> list[str]:
    """Return how to start the installed program."""
    script = Path(sysconfig.get_path("scripts")) / "nexus"
    return [str(script)] if script.exists() else [sys.executable, "-m", "kaizen_nexus"]


def uvicorn_command(module: str) -> Callable[[int], Sequence[str]]:
    """Return how an app of ours is served by uvicorn, set up as `nexus serve` sets it up."""
    program = [sys.executable, "-m", "uvicorn", "--app-dir", str(SERVERS), f"{module}:app"]
    quiet = ["--no-access-log", "--log-level", "critical"]
    headers = ["--no-proxy-headers", "--no-server-header"]
    return lambda port: [*program, "--host", HOST, "--port", str(port), *quiet, *headers]


def granian_command(module: str) -> Callable[[int], Sequence[str]]:
    """Return how an app of ours is served by granian, with one worker."""
    program = [sys.executable, "-m", "granian", "--interface", "asgi", "--workers", "1"]
    program += ["--working-dir", str(SERVERS), "--no-ws", "--log-level", "critical"]
    return lambda port: [*program, "--host", HOST, "--port", str(port), f"{module}:app"]


def refusing(port: int, template: Template) -> Template:
    """Return the template, after checking that inputs of a wrong type are refused."""
    status, text = ask(port, template.path, WRONG, template.headers)
    if status != 422:
        raise WrongAnswerError(f"{template.path} took a wrong input: {status} {text}")
    return template


def with_sessions(port: int, template: Template) -> Template:
    """Return the template with sessions, after checking what ours does with each request."""
    refusing(port, template)
    sessions = create_sessions(port, SESSIONS)
    headers = {**template.headers, "X-Session-ID": sessions[0]}
    body = template.body.replace(NUMBER, "0")
    _, text = ask(port, template.path, body, headers)
    if json.loads(text)["session_id"] != sessions[0]:
        raise WrongAnswerError(f"no session is attached: {text}")
    return template.with_values("X-Session-ID", sessions)


def _serves_on_granian() -> bool:
    command = [*nexus_program(), "serve", "--help"]
    shown = subprocess.run(
        command, env=environment(), capture_output=True, text=True, check=False, timeout=60
    )
    return "--server" in shown.stdout


def _without(distribution: str, python: str) -> str:
    """Return why an interpreter does not have a distribution, if it does not."""
    code = "import importlib.metadata, sys; importlib.metadata.version(sys.argv[1])"
    environ = environment() if python == sys.executable else None
    try:
        found = subprocess.run(
            [python, "-c", code, distribution],
            env=environ,
            capture_output=True,
            check=False,
            timeout=60,
        )
    except OSError as error:
        return f"{python} cannot be run: {error.strerror}"
    if found.returncode == 0:
        return ""
    return f"{distribution} is not installed" + ("" if environ else f" for {python}")
