"""Proofs: real servers in processes of their own, real sockets, load and signals.

They run in a short form, and in the long one with ``KAIZEN_NEXUS_PROOF=full``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import kaizen_nexus

TIMEOUT = 30
ANNOUNCEMENT = "Serving on "
ANNOUNCED = "Ctrl-C stops it."


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether to prove at length."""
    return os.environ.get("KAIZEN_NEXUS_PROOF") == "full"


@dataclass
class Server:
    """A ``nexus serve`` that has announced where it listens."""

    process: subprocess.Popen[str]
    file: Path
    """What it serves; a test may change it."""
    log: list[str] = field(default_factory=list)
    """The lines on its standard error so far."""
    _news: threading.Condition = field(default_factory=threading.Condition)
    _ended: bool = False

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        (line,) = (line for line in self.log if line.startswith(ANNOUNCEMENT))
        return line.removeprefix(ANNOUNCEMENT).partition(",")[0].strip()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def wait_for(self, text: str, times: int = 1, timeout: float = TIMEOUT) -> None:
        """Wait until its standard error has had `text` so many times."""

        def has_come() -> bool:
            return "".join(self.log).count(text) >= times or self._ended

        with self._news:
            assert self._news.wait_for(has_come, timeout), "".join(self.log)
        assert "".join(self.log).count(text) >= times, "".join(self.log)

    def whole_log(self) -> str:
        """Return its standard error, to the end of it."""
        with self._news:
            assert self._news.wait_for(lambda: self._ended, TIMEOUT), "".join(self.log)
        return "".join(self.log)

    def stop(self, sig: int = signal.SIGTERM, timeout: float = TIMEOUT) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(sig)
        return self.process.wait(timeout)

    def read(self) -> None:
        """Keep its standard error, line by line, until it ends."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.log.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Give a test ``serve(source, *options, file="service.py", **environment)``.

    It writes the file, starts ``nexus serve`` on it at a free port, in a folder that is not the
    repository, and returns the `Server` once that has announced its URL. Whatever still runs at
    the end of the test is killed.
    """
    started: list[tuple[Server, threading.Thread]] = []
    script = Path(sys.executable).with_name("nexus")
    program = [str(script)] if script.exists() else [sys.executable, "-m", "kaizen_nexus"]

    def start(source: str, *options: str, file: str = "service.py", **environment: str) -> Server:
        path = tmp_path / file
        path.write_text(source)
        inherited = {k: v for k, v in os.environ.items() if k not in {"NEXUS_URL", "COLUMNS"}}
        package = str(Path(kaizen_nexus.__file__).resolve().parent.parent)
        process = subprocess.Popen(
            [*program, "serve", file, "--port", "0", *options],
            cwd=tmp_path,
            env={**inherited, "PYTHONPATH": package, "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        server = Server(process, path)
        reader = threading.Thread(target=server.read)
        reader.start()
        started.append((server, reader))
        server.wait_for(ANNOUNCED)
        return server

    yield start
    for server, reader in started:
        server.process.kill()
        server.process.wait(TIMEOUT)
        reader.join(TIMEOUT)
        assert server.process.stderr is not None
        server.process.stderr.close()
