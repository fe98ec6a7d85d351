"""``nexus demo``: one agent, three channels, one conversation, every step checked."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import click

import kaizen_nexus
from kaizen_nexus import Nexus, deploy_multi_channel, get_deployment_cache
from kaizen_nexus._extras import missing_extra
from kaizen_nexus.testing.mcp_client import connect_http
from kaizen_nexus.testing.serving import nexus_command

__all__ = ["main"]

EXAMPLE = "docs_assistant.py"
NAME = "assistant"
TIMEOUT = 30.0
COLUMN = 44
REDEPLOYMENTS = 50


class StepFailedError(Exception):
    """A step gave another answer than it should."""


@dataclass
class Demo:
    """The state that one step leaves for the next."""

    module: ModuleType
    app: Nexus
    identifiers: dict[str, str] = field(default_factory=dict)
    session_id: str = ""

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return what there is to do, in order: a title, and what does it and says how it went."""
        return [
            ("deploy on three channels", self.deploy),
            ("start on a free port", self.start),
            ("ask over HTTP, in a new session", self.ask_http),
            ("go on with the nexus program", self.ask_cli),
            ("go on with an MCP client", self.ask_mcp),
            ("find all three channels in the session", self.read_session),
            ("redeploy from the cache", self.redeploy),
        ]

    def deploy(self) -> str:
        """Deploy the agent for the first time."""
        get_deployment_cache().invalidate()
        agent = self.module.DocsAssistant(self.module.AssistantConfig())
        self.identifiers = deploy_multi_channel(agent, self.app, NAME)
        return ", ".join(self.identifiers.values())

    def start(self) -> str:
        """Serve in the background."""
        self.app.start(blocking=False)
        report = self.request("GET", "/health/ready")
        expect("status", report["status"], "healthy")
        return self.app.url

    def ask_http(self) -> str:
        """Ask through a socket."""
        answer = self.request(
            "POST",
            self.identifiers["api"],
            {"query": "How do I clear the deployment cache manually?"},
            {"X-Session-ID": "new"},
        )
        self.session_id = answer["session_id"]
        return check_answer(answer["result"], turn=1, holding="clear_deployment_cache")

    def ask_cli(self) -> str:
        """Ask through the installed program, as a process of its own."""
        command = nexus_command(*shlex.split(self.identifiers["cli"])[1:])
        options = ["--query", "And when to use it?", "--session", self.session_id, "-o", "json"]
        completed = subprocess.run(  # noqa: S603 - our own program, with arguments of our own
            [*command, *options],
            env={**os.environ, "NEXUS_URL": self.app.url},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if completed.returncode:
            raise StepFailedError(f"exit code {completed.returncode}: {completed.stderr.strip()}")
        answer = json.loads(completed.stdout)
        return check_answer(answer["result"], turn=2, holding="Production deployments")

    def ask_mcp(self) -> str:
        """Ask through a client of the protocol."""
        with closing(connect_http(f"{self.app.url}/mcp", modern=True, timeout=TIMEOUT)) as client:
            expect("tools", list(client.tools()), [self.identifiers["mcp"]])
            result = client.call(
                self.identifiers["mcp"],
                {"query": "How do I configure session cleanup?", "session_id": self.session_id},
            )
        content = result["structuredContent"]
        expect("session", content.get("session_id"), self.session_id)
        return check_answer(content["result"], turn=3, holding="cleanup_interval")

    def read_session(self) -> str:
        """Read the session that all three wrote to."""
        session = self.request("GET", f"/api/sessions/{self.session_id}")
        expect("channels", sorted(session["channel_activity"]), ["api", "cli", "mcp"])
        expect("turns", session["state"]["turns"], 3)
        return f"{session['state']['turns']} turns over api, cli and mcp"

    def redeploy(self) -> str:
        """Deploy an equal agent again and again, with the cache and without."""
        agent = self.module.DocsAssistant(self.module.AssistantConfig())
        hits = get_deployment_cache().stats()["hits"]
        durations: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(REDEPLOYMENTS):
            for use_cache, taken in durations.items():
                started = time.perf_counter()
                deploy_multi_channel(agent, self.app, NAME, use_cache=use_cache)
                taken.append(time.perf_counter() - started)
        expect("cache hits", get_deployment_cache().stats()["hits"], hits + REDEPLOYMENTS)
        cached, built = (statistics.median(durations[key]) * 1e3 for key in (True, False))
        return f"{cached:.3f} ms instead of {built:.3f} ms ({1 - cached / built:.0%} less)"

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Any:
        """Return the JSON answer of the running app."""
        request = urllib.request.Request(  # noqa: S310 - always the http URL of our own server
            self.app.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers=headers or {},
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310 - as above
            return json.load(response)

    def show(self) -> None:
        """Print the session table and the performance summary."""
        click.echo("\nSessions:")
        click.echo(f"  {'id':<12}{'user':<12}{'channels':<16}{'state'}")
        for session in self.app.session_manager.sessions.values():
            channels = ",".join(session.channel_activity)
            state = json.dumps(session.get_state())
            click.echo(
                f"  {session.session_id[:8] + '...':<12}{session.user_id:<12}{channels:<16}{state}"
            )
        click.echo()
        self.app.metrics.print_summary()


def check_answer(result: dict[str, Any], *, turn: int, holding: str) -> str:
    """Return a line about an answer, if it is the right one."""
    expect("turn", result["turn"], turn)
    if holding not in result["answer"]:
        raise StepFailedError(
            f"expected an answer with {holding!r}, got {result['answer'][:200]!r}"
        )
    return f"“{result['title']}” of {result['source']}"


def expect(what: str, found: object, expected: object) -> None:
    """Raise unless `found` is what was expected."""
    if found != expected:
        raise StepFailedError(f"{what}: expected {expected!r}, got {found!r}")


def load_example() -> ModuleType:
    """Import the example agent, from the installation or from a checkout."""
    path = example_path()
    spec = importlib.util.spec_from_file_location("docs_assistant", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    # Annotations of a module that is imported by path are resolved through sys.modules.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def example_path() -> Path:
    """Return where the example lies.

    Raises
    ------
    FileNotFoundError
        It was not installed.
    """
    checkout = Path(kaizen_nexus.__file__).resolve().parent.parent / "examples" / EXAMPLE
    if checkout.exists():
        return checkout
    for file in importlib.metadata.files("kaizen-nexus") or ():
        if file.name == EXAMPLE:
            return Path(str(file.locate())).resolve()
    raise FileNotFoundError(f"examples/{EXAMPLE} is not installed: reinstall kaizen-nexus")


def run_steps(demo: Demo) -> bool:
    """Do all steps, reporting each; return whether all of them went well."""
    live = sys.stdout.isatty()
    for title, step in demo.steps():
        label = f"  {title} ".ljust(COLUMN, ".")
        if live:
            click.echo(f"{label} ...\r", nl=False)
        started = time.perf_counter()
        try:
            outcome = step()
        except Exception as error:
            click.echo(
                f"{label} {click.style('failed', fg='red')}: {type(error).__name__}: {error}"
            )
            return False
        elapsed = (time.perf_counter() - started) * 1e3
        click.echo(f"{label} {click.style('ok', fg='green')} {elapsed:7.1f} ms  {outcome}")
    return True


def main() -> int:
    """Run the demonstration; return 0 only if every step gave the right answer."""
    try:
        module = load_example()
    except ModuleNotFoundError as error:
        missing_extra("nexus demo", "demo", error)
    app: Nexus = module.app
    app.api_port = 0
    demo = Demo(module, app)
    click.echo(f"kaizen-nexus {kaizen_nexus.__version__}, core: {kaizen_nexus.IMPLEMENTATION}\n")
    try:
        succeeded = run_steps(demo)
        if succeeded:
            demo.show()
        return 0 if succeeded else 1
    finally:
        app.close()
