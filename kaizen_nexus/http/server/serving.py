"""Listening sockets and the uvicorn server behind ``Nexus.start``."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib
import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import uvicorn

from kaizen_nexus._extras import missing_extra
from kaizen_nexus.http.server.failures import AnswerFailures
from kaizen_nexus.http.server.graceful import BACKLOG, STOP_MARGIN, GracefulServer
from kaizen_nexus.http.server.lane_protocol import protocol_class
from kaizen_nexus.http.server.limits import DEFAULT_LIMITS, HttpLimits

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from kaizen_nexus.http.server.lane import Lane

__all__ = ["LOOPS", "SERVERS", "ExposedError", "HttpServer", "PortInUseError", "listen"]

SERVERS = ("uvicorn", "granian")
LOOPS = ("auto", "asyncio", "uvloop")
STARTUP_TIMEOUT = 30.0


class PortInUseError(OSError):
    """The address to listen on is taken."""


class ExposedError(RuntimeError):
    """Other machines could reach the address to listen on, which was not allowed."""


def listen(host: str, port: int, option: str, *, exposed: bool = False) -> socket.socket:
    """Return a socket that listens on `host` and `port`.

    Parameters
    ----------
    host
        An address or host name of this machine.
    port
        0 for any free port.
    option
        The name of the setting that the port comes from, for the error message.
    exposed
        Whether other machines may reach it.

    Raises
    ------
    ExposedError
        Other machines could reach it, although `exposed` is false.
    PortInUseError
        Another socket listens there.
    OSError
        The address cannot be used for another reason.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol left out, asyncio would not see TCP and would leave Nagle's algorithm on,
    # which holds the second part of an answer back for 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        # Look at what was bound, not at `host`: a name may resolve differently each time.
        if not exposed:
            _check_local(host, listening.getsockname()[0])
        listening.listen(BACKLOG)
    except ExposedError:
        listening.close()
        raise
    except OSError as error:
        listening.close()
        if error.errno != errno.EADDRINUSE:
            raise OSError(
                error.errno, f"cannot listen on {host}, port {port} ({option}): {error.strerror}"
            ) from error
        raise PortInUseError(
            error.errno,
            f"port {port} on {host} is in use: stop the process that listens there, or choose "
            f"another with {option}=... (0 takes any free port)",
        ) from error
    return listening


def _check_local(host: str, bound: str) -> None:
    address = ipaddress.ip_address(bound)
    mapped = getattr(address, "ipv4_mapped", None)
    if not (mapped or address).is_loopback:
        raise ExposedError(
            f"other machines could reach this app at {host!r} without authentication: set "
            "enable_auth=True, listen on 127.0.0.1, or allow it with insecure=True "
            "('nexus serve --insecure')"
        )


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
    on_stop
        Called on the event loop when shutdown begins: to end streams that would never finish.
    limits
        What one connection may cost.
    lane
        What answers ordinary requests ahead of `app`, on uvicorn; it checks what `app` checks.
    server
        ``"uvicorn"`` or ``"granian"``.
    loop
        The event loop: ``"asyncio"``, ``"uvloop"``, or ``"auto"`` for uvloop if it is installed.

    Raises
    ------
    ImportError
        The server or the event loop is not installed.
    """

    def __init__(
        self,
        app: ASGIApp,
        sockets: Sequence[socket.socket],
        grace: float,
        on_stop: Callable[[], None],
        limits: HttpLimits = DEFAULT_LIMITS,
        *,
        lane: Lane | None = None,
        server: str = SERVERS[0],
        loop: str = LOOPS[0],
    ) -> None:
        self._sockets = list(sockets)
        self._grace = grace
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        if loop == "uvloop":
            try:
                importlib.import_module("uvloop")
            except ModuleNotFoundError as error:
                missing_extra("loop='uvloop'", "uvloop", error)
        if server == "granian":
            from kaizen_nexus.http.server.granian_server import GranianServer

            self._server: GracefulServer = GranianServer(app, grace, on_stop, limits, loop=loop)
        else:
            protocol = protocol_class(limits, lane)
            config = _config(AnswerFailures(app), protocol, loop)
            self._server = GracefulServer(config, grace, on_stop)

    def run(self) -> None:
        """Serve in this thread until `stop`, or, in the main thread, until SIGINT or SIGTERM.

        Raises
        ------
        RuntimeError
            The app's start-up failed.
        """
        self._thread = threading.current_thread()
        try:
            self._server.run(sockets=self._sockets)
        finally:
            self._server.settled.set()
            for listening in self._sockets:
                listening.close()
            self._ended.set()
        if not self._server.started:
            raise RuntimeError("the server could not start; its log says why")

    def start(self) -> None:
        """Serve in a daemon thread and return once requests are answered.

        Raises
        ------
        RuntimeError
            The app's start-up failed or took longer than 30 seconds.
        """
        threading.Thread(target=self._run_quietly, name="kaizen-nexus", daemon=True).start()
        if not self._server.settled.wait(STARTUP_TIMEOUT) or not self._server.started:
            self.stop()
            raise RuntimeError("the server could not start; its log says why")

    def stop(self) -> bool:
        """Stop accepting, let running requests finish within the grace period, and return.

        Returns
        -------
        bool
            Whether the server has ended. One whose event loop an agent blocks has not, nor has one
            that runs in this very thread, as when a signal handler calls this.
        """
        self._server.should_exit = True
        if self._thread is threading.current_thread():
            return self._ended.is_set()
        return self._ended.wait(self._grace + STOP_MARGIN)

    def _run_quietly(self) -> None:
        # The starting thread reports a failed start-up; uvicorn has logged the reason.
        with contextlib.suppress(RuntimeError, SystemExit):
            self.run()


def _config(app: ASGIApp, protocol: type[asyncio.Protocol], loop: str) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop=loop,
        http=protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
