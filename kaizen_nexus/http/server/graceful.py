"""A uvicorn server that stops in order: it answers what it accepted, within a bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvicorn

from kaizen_nexus.http.ending import FAREWELL, end_tasks
from kaizen_nexus.http.server.connection import Connection

__all__ = ["STOP_MARGIN", "GracefulServer"]

BACKLOG = 2048
LINGER = 0.1
"""Seconds after the stop in which requests that arrive on open connections are still answered."""
POLL = 0.02
STOP_MARGIN = 0.7
"""Seconds after the grace period by which the server has ended, unless its loop is blocked."""

logger = logging.getLogger("kaizen_nexus.server")


class GracefulServer(uvicorn.Server):
    """A server that reports when it has started, or failed to, and stops in these steps.

    It accepts the connections that wait, and closes the listening sockets. For a moment, requests
    that arrive on open connections are answered with ``Connection: close``; then idle connections
    are closed. Running requests may finish within the grace period; those that have not are
    cancelled, and the server does not wait for one that ignores the cancellation.

    Parameters
    ----------
    config
        uvicorn's settings.
    grace
        Seconds that running requests get to finish.
    on_stop
        Called on the event loop when the server begins to stop.
    """

    def __init__(self, config: uvicorn.Config, grace: float, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self.settled = threading.Event()
        self._grace = grace
        self._on_stop = on_stop

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on an event loop of its own until told to stop."""
        factory = self.config.get_loop_factory()
        loop = asyncio.new_event_loop() if factory is None else factory()
        try:
            asyncio.set_event_loop(loop)
            loop.run_until_complete(self.serve(sockets))
        finally:
            try:
                end_tasks(loop)
            finally:
                asyncio.set_event_loop(None)
                loop.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        try:
            await super().startup(sockets)
        finally:
            self.settled.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, within the grace period and a little more."""
        started = asyncio.get_running_loop().time()
        deadline = started + self._grace
        self._on_stop()
        await self._stop_accepting(sockets or ())
        state = self.server_state
        if state.connections:
            self._announce_the_end()
            await self._drained(started + min(LINGER, self._grace))
            for connection in self._connections():
                connection.shutdown()
        await self._drained(deadline)
        if not self.force_exit:
            await self._end_requests()
        for connection in self._connections():
            connection.transport.abort()
        if not self.force_exit:
            left = deadline - asyncio.get_running_loop().time()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.lifespan.shutdown(), max(left, FAREWELL))

    async def _stop_accepting(self, sockets: Sequence[socket.socket]) -> None:
        """Close the listening sockets; connections that wait there would be reset with them."""
        loop = asyncio.get_running_loop()
        waiting = [connection for listening in sockets for connection in _waiting_at(listening)]
        for server in self.servers:
            server.close()
        for listening in sockets:
            listening.close()
        for connection in waiting:
            # Its client may have gone meanwhile.
            with contextlib.suppress(OSError):
                await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> Any:
        protocol: Any = self.config.http_protocol_class
        return protocol(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    def _connections(self) -> list[Connection]:
        connections: set[Any] = self.server_state.connections
        return list(connections)

    async def _end_requests(self) -> None:
        """Cancel the requests that still run; each is answered 503."""
        state = self.server_state
        unfinished = len(state.tasks)
        with _cancellations_not_logged():
            for task in list(state.tasks):
                task.cancel()
            unfinished += sum([connection.end_run() for connection in self._connections()])
            if unfinished:
                logger.warning("%d requests did not finish in time", unfinished)
                await self._drained(asyncio.get_running_loop().time() + FAREWELL)

    def _announce_the_end(self) -> None:
        """Close each connection after its next answer, which says so."""
        state = self.server_state
        state.default_headers = [*state.default_headers, (b"connection", b"close")]
        for connection in self._connections():
            if connection.answering:
                connection.shutdown()  # which closes an idle one, and only marks a busy one

    async def _drained(self, deadline: float) -> None:
        """Wait for the last connection and task to end, until the deadline or a further signal."""
        state, loop = self.server_state, asyncio.get_running_loop()
        while (state.connections or state.tasks) and not self.force_exit:
            left = deadline - loop.time()
            if left <= 0:
                return
            await asyncio.sleep(min(POLL, left))


def _waiting_at(listening: socket.socket) -> list[socket.socket]:
    """Accept the connections that wait at a listening socket."""
    waiting: list[socket.socket] = []
    listening.setblocking(False)
    with contextlib.suppress(OSError):  # no further connection waits
        while len(waiting) < BACKLOG:
            connection, _ = listening.accept()
            connection.setblocking(False)
            waiting.append(connection)
    return waiting


@contextlib.contextmanager
def _cancellations_not_logged() -> Iterator[None]:
    """Keep uvicorn from logging a traceback for each cancelled request: their number is logged."""

    def says_more(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, asyncio.CancelledError)

    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(says_more)
    try:
        yield
    finally:
        logger.removeFilter(says_more)
