"""``/mcp``: the streamable HTTP transport as an ASGI application.

Handshake clients (protocol versions up to 2025-11-25) are served without transport sessions: the
conversation's state is in the runtime's sessions, which outlive a connection, a restart and a
change of worker, and which a tool's arguments name.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from typing import TYPE_CHECKING

import anyio
import msgspec

from kaizen_nexus.channels.mcp.changes import ToolChanges
from kaizen_nexus.channels.mcp.plain_http import PlainRequests, again
from kaizen_nexus.channels.mcp.server import Methods, build_server
from kaizen_nexus.http.body import (
    DEFAULT_MAX_BODY,
    BodyTooLargeError,
    json_object,
    receive_body,
)
from kaizen_nexus.http.credentials import caller_of
from kaizen_nexus.http.problems import problem_of, problem_response
from kaizen_nexus.http.strict_json import LARGE, StrictJsonError, check_keys
from kaizen_nexus.runtime.errors import AbandonedError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from kaizen_nexus.channels.mcp.sdk.surface import HttpTransport
    from kaizen_nexus.runtime.service import Runtime

__all__ = ["McpEndpoint"]

STOP_TIMEOUT = 5.0
"""Seconds that `McpEndpoint.stop` waits for requests which it has cancelled."""

logger = logging.getLogger("kaizen_nexus.mcp")


class McpEndpoint:
    """An ASGI application that speaks MCP at whatever path it is routed to.

    Who may address it is for `AddressCheck` to say, ahead of it.

    Call `start` and `stop` from the app's lifespan. Where no lifespan runs, as when the app is
    mounted in another, the first request starts it. It serves one event loop at a time, and may
    be stopped and started again, on the same loop or another. Only `notify_tools_changed` may be
    called from other threads.

    Parameters
    ----------
    runtime
        What runs the tools.
    max_body
        How many bytes a request body may have; a longer one is answered 413.
    """

    def __init__(self, runtime: Runtime, *, max_body: int = DEFAULT_MAX_BODY) -> None:
        self._max_body = max_body
        self._changes = ToolChanges()
        self._methods = Methods(runtime)
        self._server = build_server(runtime, self._changes, methods=self._methods)
        self._plain = PlainRequests(self._server, self._methods, max_body)
        self._run: _Run | None = None
        self._stopped_on: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise ValueError(f"MCP is served over HTTP, not over {scope['type']!r}")
        if scope["method"] != "POST":
            # GET would open a stream for what only transport sessions have, DELETE end one.
            await problem_response(405, headers={"Allow": "POST"})(scope, receive, send)
            return
        if self._stopped_on is asyncio.get_running_loop():
            await self._refuse(scope, receive, send)
            return
        run = self._run_here()
        await run.entered.wait()
        if run.task.done():
            await self._refuse(scope, receive, send)
            return
        with contextlib.ExitStack() as held:
            try:
                body = await self._checked(scope, receive, held)
            except (AbandonedError, BodyTooLargeError, StrictJsonError) as error:
                problem, _ = problem_of(error)
                await problem(scope, receive, send)
                return
            message = {"type": "http.request", "body": body, "more_body": False}
            headers = [header for header in scope["headers"] if header[0] != b"content-length"]
            headers.append((b"content-length", b"%d" % len(body)))
            scope = {**scope, "headers": headers}
            await run.transport.handle_request(scope, again(message, receive), send)

    async def _checked(self, scope: Scope, receive: Receive, held: contextlib.ExitStack) -> bytes:
        """Return the body of a request, which the SDK reads as everybody else would.

        The SDK has several copies of it at once. So what arguments there are in a large one is kept
        from it, until what `held` is left, and something short stands for them.

        Raises
        ------
        BodyTooLargeError, StrictJsonError
            It is too long, would take too much memory, has too many values, or a key twice.
        AbandonedError
            The client has gone.
        """
        declared = dict(scope["headers"]).get(b"content-length")
        body = await receive_body(receive, declared, self._max_body)
        if len(body) <= LARGE:
            check_keys(body)
            return bytes(body)
        message = json_object(body)
        params = message.get("params")
        arguments = params.get("arguments") if isinstance(params, dict) else None
        if isinstance(params, dict) and isinstance(arguments, dict):
            params["arguments"] = held.enter_context(
                self._methods.hold(params.get("name"), arguments, caller_of(scope))
            )
        envelope = msgspec.json.encode(message)
        if len(envelope) > LARGE:
            raise BodyTooLargeError(LARGE)
        return envelope

    async def answer_plain(self, scope: Scope, receive: Receive, send: Send) -> Receive | None:
        """Answer a call that needs nothing of the SDK, in the same way.

        Returns
        -------
        Receive or None
            None if it was answered; otherwise where to receive it from, for whatever is to.
        """
        if self._run is None or not self._run.is_serving():
            return receive
        return await self._plain.answer(scope, receive, send)

    async def start(self) -> None:
        """Get ready to serve on this event loop; nothing happens if it is being served already.

        Raises
        ------
        RuntimeError
            Another event loop is being served.
        """
        self._stopped_on = None
        await self._run_here().entered.wait()

    async def stop(self) -> None:
        """End open streams, cancel what handshake clients are waiting for, and refuse the rest.

        Returns within 5 seconds, even if an agent resists being cancelled.

        Raises
        ------
        RuntimeError
            Another event loop is being served.
        """
        loop = asyncio.get_running_loop()
        run = self._run
        if run is not None and run.loop is not loop and run.is_alive():
            raise RuntimeError("stop() must be called on the event loop that is served")
        self._stopped_on = loop
        self._run = None
        if run is not None and run.loop is loop:
            self._changes.end_subscriptions()
            await run.stop()

    def end_subscriptions(self) -> None:
        """Close the streams of subscribed clients, and nothing else; on the event loop served.

        A server that lets connections finish before it ends the lifespan would wait for them.
        """
        self._changes.end_subscriptions()

    def notify_tools_changed(self) -> None:
        """Tell subscribed clients that the list of tools is another one now; from any thread."""
        self._changes.notify()

    def _run_here(self) -> _Run:
        """Return the run on this event loop; begin one if there is none."""
        run = self._run
        if run is not None and run.is_alive():
            if run.loop is asyncio.get_running_loop():
                return run
            raise RuntimeError("the MCP endpoint is already serving another event loop")
        transport = self._server.http_transport(max_body=self._max_body)
        self._run = run = _Run(transport, self._changes)
        return run

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = problem_response(503, detail="the server is stopping")
        await response(scope, receive, send)


class _Run:
    """The time between one start and one stop: a transport, and the task that owns it.

    The transport's task group must be left by the task that entered it, and neither `start` nor a
    request is sure to be there at the end; so a task of its own is.
    """

    def __init__(self, transport: HttpTransport, changes: ToolChanges) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport = transport
        self.entered = asyncio.Event()
        """Set once requests can be handled, or never will be."""
        self._changes = changes
        self._stopping = asyncio.Event()
        # In a context of its own: that of the first request must not live as long as the server.
        self.task: asyncio.Task[None] = contextvars.Context().run(
            self.loop.create_task, self._own()
        )

    def is_alive(self) -> bool:
        """Whether requests on `loop` can be handled."""
        return not self.task.done() and not self.loop.is_closed()

    def is_serving(self) -> bool:
        """Whether requests on this event loop can be handled, and at once."""
        return (
            self.entered.is_set()
            and not self.task.done()
            and self.loop is asyncio.get_running_loop()
        )

    async def stop(self) -> None:
        """Leave the transport's task group, cancelling what is in it."""
        self._stopping.set()
        done, _ = await asyncio.wait({self.task}, timeout=STOP_TIMEOUT)
        if not done:
            logger.warning("MCP requests resist being cancelled for %s seconds", STOP_TIMEOUT)
        elif not self.task.cancelled() and (error := self.task.exception()) is not None:
            logger.error("the MCP endpoint failed", exc_info=error)

    async def _own(self) -> None:
        try:
            async with self.transport.run(), anyio.create_task_group() as tasks:
                tasks.start_soon(self._changes.deliver)
                self.entered.set()
                await self._stopping.wait()
                tasks.cancel_scope.cancel()
        finally:
            self.entered.set()
