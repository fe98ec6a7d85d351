"""Listening sockets and the uvicorn server behind ``Nexus.start``."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from starlette.types import ASGIApp

__all__ = ["HttpServer", "PortInUseError", "listen"]

STARTUP_TIMEOUT = 30.0
STOP_MARGIN = 5.0
"""Seconds beyond the grace period until `HttpServer.stop` gives up waiting for the thread."""


class PortInUseError(OSError):
    """The address to listen on is taken."""


def listen(host: str, port: int, option: str) -> socket.socket:
    """Return a socket that listens on `host` and `port`.

    Parameters
    ----------
    host
        An address or host name of this machine.
    port
        0 for any free port.
    option
        The name of the setting that the port comes from, for the error message.

    Raises
    ------
    PortInUseError
        Another socket listens there.
    OSError
        The address cannot be used for another reason.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise OSError(
                error.errno, f"cannot listen on {host}, port {port} ({option}): {error.strerror}"
            ) from error
        raise PortInUseError(
            error.errno,
            f"port {port} on {host} is in use: stop the process that listens there, or choose "
            f"another with {option}=... (0 takes any free port)",
        ) from error


class _Server(uvicorn.Server):
    """A uvicorn server that tells another thread when it has started, or failed to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.settled.set()


class HttpServer:
    """Serves an ASGI app on sockets that are already listening, once.

    Parameters
    ----------
    app
        The app to serve.
    sockets
        Where to serve it; they are closed at the end.
    grace
        Seconds that running requests get to finish at shutdown.
    """

    def __init__(self, app: ASGIApp, sockets: Sequence[socket.socket], grace: float) -> None:
        self._sockets = list(sockets)
        self._grace = grace
        self._thread: threading.Thread | None = None
        self._server = _Server(
            uvicorn.Config(
                app,
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=max(1, round(grace)),
            )
        )

    def run(self) -> None:
        """Serve in this thread until `stop`, or, in the main thread, until SIGINT or SIGTERM.

        Raises
        ------
        RuntimeError
            The app's start-up failed.
        """
        try:
            self._server.run(sockets=self._sockets)
        finally:
            self._server.settled.set()
            for listening in self._sockets:
                listening.close()
        if not self._server.started:
            raise RuntimeError("the server could not start; its log says why")

    def start(self) -> None:
        """Serve in a daemon thread and return once requests are answered.

        Raises
        ------
        RuntimeError
            The app's start-up failed or took longer than 30 seconds.
        """
        self._thread = threading.Thread(target=self._run_quietly, name="kaizen-nexus", daemon=True)
        self._thread.start()
        if not self._server.settled.wait(STARTUP_TIMEOUT) or not self._server.started:
            self.stop()
            raise RuntimeError("the server could not start; its log says why")

    def stop(self) -> None:
        """Stop accepting, let running requests finish within the grace period, and return."""
        self._server.should_exit = True
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(self._grace + STOP_MARGIN)

    def _run_quietly(self) -> None:
        # The starting thread reports a failed start-up; uvicorn has logged the reason.
        with contextlib.suppress(RuntimeError, SystemExit):
            self.run()
