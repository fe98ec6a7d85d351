"""Servers in processes of their own: starting, pausing and stopping them, and their CPU time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["HOST", "SERVERS", "Server", "ServerFailedError", "environment", "free_port"]

HOST = "127.0.0.1"
SERVERS = Path(__file__).resolve().parent / "servers"
"""The programs and apps that are started."""
STARTUP = 60.0
"""Seconds that a server may take until it accepts connections."""
STOPPING = 5.0
POLL = 0.02
PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class ServerFailedError(RuntimeError):
    """A server did not start, or ended by itself."""

    def __init__(self, command: Sequence[str], log: str) -> None:
        super().__init__(f"{' '.join(command)} does not serve:\n{log[-3_000:]}")
        lines = log.strip().splitlines()
        self.reason = lines[-1] if lines else "it says nothing"


def free_port() -> int:
    """Return a port that nobody listens on at the moment."""
    with socket.create_server((HOST, 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a server that imports the very packages this process does."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**os.environ, "PYTHONPATH": path, **variables}


class Server:
    """A process, with whatever it starts itself, that listens on a port.

    Parameters
    ----------
    command
        What to run.
    port
        Where it will listen.
    environ
        Its environment.
    """

    def __init__(self, command: Sequence[str], port: int, environ: Mapping[str, str]) -> None:
        self.command = list(command)
        self.port = port
        self._environ = dict(environ)
        self._folder = tempfile.TemporaryDirectory(prefix="bench-serve-")
        self._log = Path(self._folder.name) / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        with self._log.open("wb") as log:
            # A group of its own, which is signalled and measured as a whole. Some servers leave
            # files behind in the folder that they are started in.
            self._process = subprocess.Popen(
                self.command,
                cwd=self._folder.name,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        process = self._running()
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        try:
            process.wait(STOPPING)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._signal(signal.SIGKILL)
            process.wait()
            self._folder.cleanup()

    def wait(self) -> None:
        """Wait until it accepts connections.

        Raises
        ------
        ServerFailedError
            It ended, or takes too long; the message has its log.
        """
        process = self._running()
        deadline = time.monotonic() + STARTUP
        while not self._accepts():
            if time.monotonic() > deadline or process.poll() is not None:
                log = self._log.read_text(encoding="utf-8", errors="replace")
                raise ServerFailedError(self.command, log)
            time.sleep(POLL)

    def pause(self) -> None:
        """Stop the processes where they are, so that they do not disturb others."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """Return the user and system time that the processes have used so far."""
        group = str(self._running().pid)
        ticks = 0
        for entry in PROC.iterdir():
            if not entry.name.isdecimal():
                continue
            try:
                # The name, in parentheses, may contain anything; what follows does not.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                continue
            if fields[2] == group:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS

    def _accepts(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server has not been started")
        return self._process

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._running().pid, number)
        except ProcessLookupError:
            return
