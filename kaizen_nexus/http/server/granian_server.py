"""granian instead of uvicorn: HTTP/1.1 in Rust, the app on our own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import uvicorn

from kaizen_nexus._extras import missing_extra
from kaizen_nexus.http.ending import FAREWELL
from kaizen_nexus.http.server.graceful import BACKLOG, POLL, GracefulServer
from kaizen_nexus.http.server.limits import HttpLimits

try:
    from granian._granian import SocketHolder
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server.embed import Server
except ModuleNotFoundError as error:
    missing_extra("serving on granian", "granian", error)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["GranianServer"]

LEAVE_HANDLERS: dict[str, Any] = {
    "version": 1,
    "incremental": True,  # otherwise every handler of the process would be closed
    "handlers": {},
    "loggers": {"_granian": {"propagate": True}},
}

logger = logging.getLogger("kaizen_nexus.server")


class GranianServer(GracefulServer):
    """Serves HTTP with granian; start, signals and the app's lifespan are handled as on uvicorn.

    At its end, granian closes the listening sockets and idle connections at once, and answers the
    requests that it has read.

    Parameters
    ----------
    app
        The app to serve.
    grace
        Seconds that running requests get to finish.
    on_stop
        Called on the event loop when the server begins to stop.
    limits
        What one connection may cost; granian has settings for some of it.
    loop
        The event loop, as uvicorn names it.
    """

    def __init__(
        self,
        app: ASGIApp,
        grace: float,
        on_stop: Callable[[], None],
        limits: HttpLimits,
        *,
        loop: str,
    ) -> None:
        config = uvicorn.Config(app, loop=loop, ws="none", lifespan="on", log_config=None)
        super().__init__(config, grace, on_stop)
        self._app = app
        self._limits = limits
        self._embedded: list[_Embedded] = []
        self._serving: set[asyncio.Task[Any]] = set()
        self._requests: set[asyncio.Task[Any]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        try:
            await self.lifespan.startup()
            if self.lifespan.should_exit:
                self.should_exit = True
                return
            for listening in sockets or ():
                embedded = _Embedded(self._answer, listening, self._limits)
                serving = asyncio.create_task(embedded.serve())
                serving.add_done_callback(self._ended)
                self._embedded.append(embedded)
                self._serving.add(serving)
            self.started = True
        finally:
            self.settled.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, within the grace period and a little more."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._grace
        self._on_stop()
        for embedded in self._embedded:
            embedded.end()
        while self._serving and not self.force_exit and (left := deadline - loop.time()) > 0:
            await asyncio.wait(self._serving, timeout=min(POLL, left))
        if self._serving and not self.force_exit:
            logger.warning("%d requests did not finish in time", len(self._requests))
            for request in self._requests:
                request.cancel()
            await asyncio.wait({*self._requests, *self._serving}, timeout=FAREWELL)
        if not self.force_exit:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(
                    self.lifespan.shutdown(), max(deadline - loop.time(), FAREWELL)
                )

    def _ended(self, serving: asyncio.Task[Any]) -> None:
        """Stop, if a server ends by itself."""
        self._serving.discard(serving)
        self.should_exit = True
        if not serving.cancelled() and (error := serving.exception()) is not None:
            logger.error("granian failed", exc_info=error)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, in a task that can be cancelled."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # granian makes one for each request
        self._requests.add(task)
        try:
            await self._app(scope, receive, send)
        finally:
            self._requests.discard(task)


class _Embedded(Server):
    """granian on the event loop that runs, on a socket of ours."""

    def __init__(self, app: ASGIApp, listening: socket.socket, limits: HttpLimits) -> None:
        super().__init__(
            app,
            interface=Interfaces.ASGINL,  # the lifespan is one for all sockets
            http=HTTPModes.http1,
            websockets=False,
            backpressure=limits.connections,
            http1_settings=HTTP1Settings(
                header_read_timeout=round(limits.head_timeout * 1000),
                max_buffer_size=limits.head_size,
            ),
            log_level=LogLevels.error,
            log_dictconfig=LEAVE_HANDLERS,
        )
        self._listening = listening
        self._shd: Any
        self._sfd: Any

    def end(self) -> None:
        """Let `serve` end once the requests that were read are answered."""
        self.interrupt_signal = True
        self.main_loop_interrupt.set()

    def _init_shared_socket(self) -> None:
        # granian closes it, so nothing else may own it.
        holder: Any = SocketHolder
        self._sfd = self._listening.detach()
        self._shd = holder(self._sfd, False, BACKLOG)
