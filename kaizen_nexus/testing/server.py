"""The served app: ``nexus serve``, or uvicorn for an app that wraps a Nexus, as a subprocess."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from pathlib import Path
from typing import IO

from kaizen_nexus.testing.program import environment, nexus_command

__all__ = ["CannotCheckError", "ServedApp"]

STARTUP_TIMEOUT = 60.0
"""Seconds."""
STOP_TIMEOUT = 5.0
"""Seconds that the server gets to finish what still runs; then it is killed."""
POLL_SECONDS = 0.02
TAIL = 2_000
"""How much of the log a failure to start shows, in characters."""
USAGE = 2
_URL = r"http://127\.0\.0\.1:\d+"
_ANNOUNCED = re.compile(rf"^Serving on ({_URL})|Uvicorn running on ({_URL}) ", re.MULTILINE)
_NOT_NEXUS = re.compile(r"^Error: (\S+ is of type \S+, not Nexus):", re.MULTILINE)


class CannotCheckError(Exception):
    """There is nothing to compare: no app, no server, no workflow."""


class ServedApp:
    """A server process of the app, on a free port of the loopback interface.

    Parameters
    ----------
    target
        As ``nexus serve`` takes it; or, in the same form, any other ASGI application.
    log
        Where what the server prints goes; it is also read for the server's address.
    """

    def __init__(self, target: str, log: Path) -> None:
        self.target = target
        self.url = ""
        self.is_nexus = True
        """Whether the app is a Nexus itself, which alone ``nexus mcp`` serves."""
        self.why_not = ""
        """If it is not, what it is."""
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Serve, and return once the server says where.

        Raises
        ------
        CannotCheckError
            It did not start; the message has the end of its log.
        """
        options = ["--host", "127.0.0.1", "--port", "0", "--mcp-port", "0"]
        code = await self._launch(nexus_command("serve", self.target, *options))
        if code == USAGE and (found := _NOT_NEXUS.search(self._printed())):
            self.is_nexus, self.why_not = False, found[1]
            code = await self._launch(self._uvicorn())
        if not self.url:
            how = "did not start in time" if code is None else f"ended with exit code {code}"
            await self.stop()
            raise CannotCheckError(f"the server of {self.target} {how}:\n{self.tail()}")

    def ended(self) -> int | None:
        """Return the exit code of a server that is no more, or None."""
        return None if self._process is None else self._process.returncode

    async def stop(self) -> None:
        """End the process, first kindly."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT)
        except asyncio.TimeoutError:  # another class before Python 3.11
            self.kill()
            await process.wait()

    def kill(self) -> None:
        """End the process at once, if it still runs; for when there is no event loop any more."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def tail(self) -> str:
        """Return the end of the log."""
        return self._printed()[-TAIL:].strip()

    def open_log(self) -> IO[bytes]:
        """Return the log for another process to append to."""
        return self._log.open("ab")

    async def _launch(self, command: list[str]) -> int | None:
        """Start `command`; return its exit code if it ends before it serves, else None."""
        with self.open_log() as log:
            process = self._process = await asyncio.create_subprocess_exec(
                *command,
                env=environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = asyncio.get_running_loop().time() + STARTUP_TIMEOUT
        while asyncio.get_running_loop().time() < deadline:
            found = _ANNOUNCED.search(self._printed())
            if found is not None:
                self.url = found[1] or found[2]
                return None
            if process.returncode is not None:
                return process.returncode
            await asyncio.sleep(POLL_SECONDS)
        return None

    def _uvicorn(self) -> list[str]:
        place, _, attribute = self.target.rpartition(":")
        if not place or "/" in attribute or "\\" in attribute:
            place, attribute = self.target, ""
        folder = Path.cwd()
        if place.endswith(".py"):
            folder, place = Path(place).resolve().parent, Path(place).stem
        options = [
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-access-log",
            "--app-dir",
            str(folder),
        ]
        target = f"{place}:{attribute or 'app'}"
        return [sys.executable, "-m", "uvicorn", target, *options]

    def _printed(self) -> str:
        return self._log.read_text("utf-8", "replace")
