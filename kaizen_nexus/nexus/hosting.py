"""Serving an app: where it listens, starting and stopping."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from kaizen_nexus.runtime.checks import checked_seconds

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from kaizen_nexus.http.server.lane import Lane
    from kaizen_nexus.http.server.serving import HttpServer
    from kaizen_nexus.runtime.health import Health
    from kaizen_nexus.runtime.service import Runtime

__all__ = ["Hosting"]

MAX_PORT = 65_535


class Hosting(ABC):
    """An ASGI app that serves itself.

    Parameters
    ----------
    host
        The address to listen on.
    api_port, mcp_port
        The ports; 0 takes any free port, which these attributes then name.
    insecure
        Whether other machines may reach `host` without authentication.
    shutdown_grace
        Seconds that running requests get to finish.
    """

    runtime: Runtime
    _health: Health
    _lane: Lane | None

    def __init__(
        self,
        host: str,
        api_port: int,
        mcp_port: int | None,
        *,
        insecure: bool,
        shutdown_grace: float,
    ) -> None:
        self.host = host
        self.api_port = _check_port(api_port, "api_port")
        self.mcp_port = None if mcp_port is None else _check_port(mcp_port, "mcp_port")
        self.insecure = insecure
        self.shutdown_grace = shutdown_grace
        self._server: HttpServer | None = None
        self._serving = threading.RLock()  # a signal handler may call `stop` at any moment

    @abstractmethod
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""

    @abstractmethod
    def _stopping(self) -> None:
        """End what would never finish by itself; runs on the event loop when shutdown begins."""

    @property
    def shutdown_grace(self) -> float:
        """Seconds that running requests get to finish when the server stops."""
        return self._shutdown_grace

    @shutdown_grace.setter
    def shutdown_grace(self, seconds: float) -> None:
        self._shutdown_grace = checked_seconds("shutdown_grace", seconds)

    @property
    def url(self) -> str:
        """Where the HTTP channel answers once `start` has been called."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.api_port}"

    def start(self, blocking: bool = True, *, server: str = "uvicorn", loop: str = "auto") -> None:
        """Serve on `host` and `api_port`.

        Parameters
        ----------
        blocking
            True: serve until `stop` is called from another thread, or the process gets SIGINT or
            SIGTERM. False: serve in a background thread, and return once requests are answered.
        server
            The HTTP server: ``"uvicorn"``, or ``"granian"`` (the extra of that name).
        loop
            The event loop: ``"asyncio"``, ``"uvloop"`` (the extra of that name), or ``"auto"`` for
            uvloop if it is installed.

        Raises
        ------
        ValueError
            There is no such server or event loop.
        ImportError
            It is not installed.
        ExposedError
            Other machines could reach `host` without authentication, and `insecure` is false.
        PortInUseError
            The port is taken; the message says which.
        RuntimeError
            The app is being served already.
        """
        from kaizen_nexus.http.server.serving import LOOPS, SERVERS, HttpServer

        if server not in SERVERS:
            raise ValueError(f"server must be one of {', '.join(SERVERS)}, not {server!r}")
        if loop not in LOOPS:
            raise ValueError(f"loop must be one of {', '.join(LOOPS)}, not {loop!r}")
        with self._serving:
            if self._server is not None:
                raise RuntimeError(f"already serving at {self.url}: call stop() first")
            sockets = self._listen()
            try:
                serving = self._server = HttpServer(
                    self,
                    sockets,
                    self.shutdown_grace,
                    self._stopping,
                    lane=self._lane,
                    server=server,
                    loop=loop,
                )
            except BaseException:
                for listening in sockets:
                    listening.close()
                raise
        try:
            if blocking:
                serving.run()
            else:
                serving.start()
        except BaseException:
            self._forget(serving)
            raise
        if blocking:
            self._forget(serving)

    def stop(self, drain: float = 0.0) -> bool:
        """Stop serving: refuse new requests, let running ones finish within the grace period.

        Parameters
        ----------
        drain
            Seconds before that in which requests are still accepted while ``/health/ready`` already
            answers 503, for load balancers that poll it.

        Raises
        ------
        ValueError
            `drain` is not a number of seconds from 0 to a week.

        Returns
        -------
        bool
            Whether serving has ended. It has not if an agent blocks the event loop, or if the
            serving thread itself calls this.
        """
        drain = checked_seconds("drain", drain)
        self._health.ready = False
        server = self._server
        if server is None:
            return True
        try:
            time.sleep(drain)
            return server.stop()
        finally:
            self._forget(server)

    def _forget(self, server: HttpServer) -> None:
        """Let `start` be called again, unless it was called already."""
        with self._serving:
            if self._server is server:
                self._server = None

    def _listen(self) -> list[Any]:
        from kaizen_nexus.http.server.serving import listen

        exposed = self.insecure or self.runtime.access.enforced
        api = listen(self.host, self.api_port, "api_port", exposed=exposed)
        self.api_port = api.getsockname()[1]
        if self.mcp_port is None or self.mcp_port == self.api_port:
            return [api]
        try:
            mcp = listen(self.host, self.mcp_port, "mcp_port", exposed=exposed)
        except OSError:
            api.close()
            raise
        self.mcp_port = mcp.getsockname()[1]
        return [api, mcp]


def _check_port(port: object, option: str) -> int:
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= MAX_PORT:
        raise ValueError(f"{option} must be a whole number from 0 to 65535, not {port!r}")
    return port
