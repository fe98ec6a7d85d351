"""The app while it is checked: served by a process of its own, or in this one."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path
from typing import Any

from kaizen_nexus.runtime.breaker import SWITCH
from kaizen_nexus.testing.report import CannotCheckError

__all__ = ["COLUMNS", "AppInProcess", "AppInThread", "environment", "nexus_command"]

STARTUP_TIMEOUT = 60.0
"""Seconds."""
STOP_TIMEOUT = 5.0
"""Seconds that a server gets to finish what still runs; then its process is killed."""
POLL_SECONDS = 0.02
TAIL = 2_000
"""How much of the log an error message shows, in characters."""
COLUMNS = 120
"""How wide help is asked for: as wide as the server lays it out at most."""
USAGE = 2
_URL = r"http://127\.0\.0\.1:\d+"
_ANNOUNCED = re.compile(rf"^Serving on ({_URL})|Uvicorn running on ({_URL}) ", re.MULTILINE)
_NOT_NEXUS = re.compile(r"^Error: (\S+ is of type \S+, not Nexus):", re.MULTILINE)


def nexus_command(*arguments: str) -> list[str]:
    """Return how to run ``nexus`` with `arguments`: the installed script where there is one.

    Another package may have installed a script of that name, so it counts only if ours is
    installed in this environment.
    """
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("kaizen-nexus")
        for name in ("kaizen-nexus", "kaizen-nexus.exe"):
            script = Path(sysconfig.get_path("scripts")) / name
            if script.exists():
                return [str(script), *arguments]
    return [sys.executable, "-m", "kaizen_nexus", *arguments]


def environment() -> dict[str, str]:
    """Return the environment of such a process, in which output does not depend on the terminal.

    Quarantine is off: an agent that fails is to fail in the same way every time.
    """
    fixed = {"COLUMNS": str(COLUMNS), "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1", SWITCH: "off"}
    return {**os.environ, **fixed}


class AppInProcess:
    """A server process of the app that a target names, on a free port of the loopback interface.

    Parameters
    ----------
    target
        As ``nexus serve`` takes it; or, in the same form, any other ASGI application.
    log
        Where what the server prints goes; it is also read for the server's address.
    """

    def __init__(self, target: str, log: Path) -> None:
        self.name = target
        self.url = ""
        self.no_stdio = ""
        """Why the app is not served over stdio, if it is not."""
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Serve, and return once the server says where.

        Raises
        ------
        CannotCheckError
            It did not start; the message has the end of its log.
        """
        options = ["--host", "127.0.0.1", "--port", "0", "--mcp-port", "0"]
        code = self._launch(nexus_command("serve", self.name, *options))
        if code == USAGE and (found := _NOT_NEXUS.search(self._printed())):
            self.no_stdio = f"{found[1]}, and nexus mcp serves nothing else"
            code = self._launch(self._uvicorn())
        if not self.url:
            how = "did not start in time" if code is None else f"ended with exit code {code}"
            raise CannotCheckError(f"the server of {self.name} {how}:\n{self.tail()}")

    def fault(self) -> str:
        """Return why the server has ended, or "" if it runs."""
        code = None if self._process is None else self._process.poll()
        return "" if code is None else f"the server ended with exit code {code}"

    def tail(self) -> str:
        """Return the end of the log."""
        return self._printed()[-TAIL:].strip()

    def stop(self) -> None:
        """End the process, by force if it does not end in time."""
        process = self._process
        if process is None:
            return
        try:
            process.terminate()
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            return  # the last line ends it
        finally:
            process.kill()
            process.wait()

    def _launch(self, command: list[str]) -> int | None:
        """Start `command`; return its exit code if it ends before it serves, else None."""
        with self._log.open("ab") as log:
            process = self._process = subprocess.Popen(  # noqa: S603 - our own program
                command, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + STARTUP_TIMEOUT
        while time.monotonic() < deadline:
            code = process.poll()
            if found := _ANNOUNCED.search(self._printed()):
                self.url = found[1] or found[2]
                return None
            if code is not None:
                return code
            time.sleep(POLL_SECONDS)
        return None

    def _uvicorn(self) -> list[str]:
        place, _, attribute = self.name.rpartition(":")
        if not place or "/" in attribute or "\\" in attribute:
            place, attribute = self.name, ""
        folder = Path.cwd()
        if place.endswith(".py"):
            folder, place = Path(place).resolve().parent, Path(place).stem
        options = ["--host", "127.0.0.1", "--port", "0", "--no-access-log"]
        target = f"{place}:{attribute or 'app'}"
        return [sys.executable, "-m", "uvicorn", target, *options, "--app-dir", str(folder)]

    def _printed(self) -> str:
        return self._log.read_text("utf-8", "replace")


class AppInThread:
    """An app of this process, served by uvicorn in a thread, on a free port.

    Parameters
    ----------
    app
        A `Nexus`, or an ASGI application that passes the routes of one on.
    """

    no_stdio = "an app object is served in its own process alone; name it as module:app"

    def __init__(self, app: Any) -> None:
        import uvicorn

        self.name = f"{type(app).__name__} object"
        self.url = ""
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="checked-app", daemon=True)

    def start(self) -> None:
        """Serve, and return once requests are answered.

        Raises
        ------
        CannotCheckError
            It did not start.
        """
        self._thread.start()
        deadline = time.monotonic() + STARTUP_TIMEOUT
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise CannotCheckError(f"{self.name} could not be served; the log says why")
            time.sleep(POLL_SECONDS)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    def fault(self) -> str:
        """Return why the server has ended, or "" if it runs."""
        return "" if self._thread.is_alive() else "the server stopped"

    def tail(self) -> str:
        """Return nothing: this process's own log has it."""
        return ""

    def stop(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(STOP_TIMEOUT)
