"""A running app in this process, and the `nexus` program in others, started elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

import kaizen_nexus
from kaizen_nexus import CrossChannelSession, Nexus, deploy_as_mcp, deploy_multi_channel

TIMEOUT = 30


@dataclass
class Gate:
    """Holds an agent until the test lets it go."""

    entered: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def wait(self, query: str = "") -> str:
        """Wait until the gate is opened."""
        self.entered.set()
        self.opened.wait(TIMEOUT)
        return query


def echo(
    query: Annotated[str, "What to repeat."],
    times: int = 1,
    style: Literal["plain", "loud"] = "plain",
) -> dict[str, Any]:
    """Repeat the query."""
    return {"answer": " ".join([query] * times), "style": style}


def shout(query: str) -> str:
    """Say it louder."""
    return query.upper()


def remember(
    fact: str, context: dict[str, Any] | None = None, session: CrossChannelSession | None = None
) -> list[str]:
    """Remember every fact of the conversation."""
    facts = [*(context or {}).get("facts", []), fact]
    if session is not None:
        session.update_state({"facts": facts})
    return facts


def fail(query: str) -> str:
    raise RuntimeError(f"a secret about {query}")


def large(size: int) -> str:
    return "x" * size


def anything(**inputs: Any) -> dict[str, Any]:
    return inputs


def only_mcp(query: str) -> str:
    return query


@pytest.fixture(scope="package")
def app() -> Iterator[Nexus]:
    app = Nexus(api_port=0, shutdown_grace=1)
    for agent in (echo, shout, remember, fail, large, anything):
        deploy_multi_channel(agent, app, agent.__name__)
    deploy_as_mcp(only_mcp, app, "only_mcp")
    app.start(blocking=False)
    yield app
    app.close()


@pytest.fixture
def gate(app: Nexus) -> Iterator[Gate]:
    """An agent named `hold` that answers when the test is over, or earlier if it says so."""
    gate = Gate()
    deploy_multi_channel(gate.wait, app, "hold")
    yield gate
    gate.opened.set()
    app.deregister("hold")


@dataclass
class Program:
    """The `nexus` program, run in a folder that is not the repository."""

    folder: Path
    url: str | None = None

    def environment(self, **changes: str) -> dict[str, str]:
        """Return an environment in which the package under test, and no other, is found."""
        kept = {k: v for k, v in os.environ.items() if k not in {"NEXUS_URL", "COLUMNS"}}
        source = str(Path(kaizen_nexus.__file__).resolve().parent.parent)
        server = {} if self.url is None else {"NEXUS_URL": self.url}
        return {**kept, "PYTHONPATH": source, "PYTHONIOENCODING": "utf-8", **server, **changes}

    @staticmethod
    def command(*arguments: str) -> list[str]:
        """Return how to start the program: the installed script where there is one."""
        script = Path(sys.executable).with_name("nexus")
        start = [str(script)] if script.exists() else [sys.executable, "-m", "kaizen_nexus"]
        return [*start, *arguments]

    def __call__(
        self, *arguments: str, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the program to its end."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(**environment),
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=TIMEOUT,
            check=False,
        )

    def start(
        self, *arguments: str, env: dict[str, str] | None = None, **streams: Any
    ) -> subprocess.Popen[str]:
        """Start the program; whoever calls this ends it."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(**(env or {})),
            encoding="utf-8",
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
        )


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program, with no server named in its environment."""
    return Program(tmp_path)


@pytest.fixture
def nexus(tmp_path: Path, app: Nexus) -> Program:
    """The program, with the running app as its server."""
    return Program(tmp_path, app.url)


@pytest.fixture
def other_server() -> Iterator[Callable[..., str]]:
    """Start an HTTP server that is not ours and gives one answer to all; return its URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(status: int, body: bytes = b"", **headers: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST  # noqa: N815  # named by the standard library

            def log_message(self, *_: Any) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
