"""``/mcp``: the streamable HTTP transport of both eras of the protocol, as an ASGI application.

There are no transport sessions: conversations are the runtime's sessions, which a tool's arguments
name, and which outlive a connection, a restart and a change of worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from kaizen_nexus.channels.mcp.changes import ToolChanges
from kaizen_nexus.channels.mcp.exchange import PING_INTERVAL, Exchange
from kaizen_nexus.channels.mcp.server import Call, McpServer
from kaizen_nexus.channels.mcp.tools import CHANNEL
from kaizen_nexus.http.body import BodyTooLargeError
from kaizen_nexus.http.problems import problem_of, problem_response
from kaizen_nexus.runtime.errors import AbandonedError, ShuttingDownError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from kaizen_nexus.channels.mcp.messages import Reply
    from kaizen_nexus.runtime.deployed import Channels
    from kaizen_nexus.runtime.invocation import Invocation
    from kaizen_nexus.runtime.run import Run
    from kaizen_nexus.runtime.service import Runtime

__all__ = ["McpEndpoint"]


class McpEndpoint:
    """An ASGI application that speaks MCP at whatever path it is routed to.

    `AddressCheck`, ahead of it, decides who may address it.

    It serves one event loop at a time, and may be stopped and started again, on the same loop or
    another. Where no lifespan runs, as when the app is mounted in another, the first request starts
    it. Only `notify_tools_changed` may be called from other threads.

    Parameters
    ----------
    runtime
        What runs the tools.
    max_body
        How many bytes a request body may have; a longer one is answered 413.
    """

    def __init__(self, runtime: Runtime, max_body: int) -> None:
        self.server = McpServer(runtime)
        self.changes = ToolChanges()
        self.max_body = max_body
        self._runtime = runtime
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopped = False
        self._waiting: set[asyncio.Future[None]] = set()
        """What requests wait for whose tools are running."""
        self._streaming: set[asyncio.Future[None]] = set()
        """Those of them that are answered with a stream."""
        runtime.registry.observe(self._deployed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise ValueError(f"MCP is served over HTTP, not over {scope['type']!r}")
        if scope["method"] != "POST":
            # GET would open a stream for what only transport sessions have, DELETE end one.
            await problem_response(405, headers={"Allow": "POST"})(scope, receive, send)
            return
        if self._is_stopped and self._loop is asyncio.get_running_loop():
            await problem_response(503, detail="the server is stopping")(scope, receive, send)
            return
        self._claim_loop()
        try:
            await Exchange(self, scope, receive, send).answer()
        except (AbandonedError, BodyTooLargeError) as error:
            problem, _ = problem_of(error)
            await problem(scope, receive, send)
        except ShuttingDownError:
            await problem_response(503, detail="the server is stopping")(scope, receive, send)

    async def start(self) -> None:
        """Get ready to serve on this event loop; nothing happens if it is being served already.

        Raises
        ------
        RuntimeError
            Another event loop is being served.
        """
        self._claim_loop()

    async def stop(self) -> None:
        """End open streams, answer the requests that are waiting, and refuse further ones.

        Raises
        ------
        RuntimeError
            Another event loop is being served.
        """
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop) and self._is_serving():
            raise RuntimeError("stop() must be called on the event loop that is served")
        self._loop, self._is_stopped = loop, True
        self.changes.close()
        _refuse(self._waiting)

    def end_subscriptions(self) -> None:
        """Close the streams of subscribed clients, and nothing else.

        A server that lets connections finish before it ends the lifespan would wait for them.
        """
        self.changes.close()

    def end_streams(self, grace: float) -> None:
        """Answer the calls that still stream their progress in `grace` seconds."""
        asyncio.get_running_loop().call_later(grace, _refuse, self._streaming)

    def notify_tools_changed(self) -> None:
        """Tell subscribed clients that the tools have changed; from any thread."""
        self.changes.notify()

    @property
    def is_serving_here(self) -> bool:
        """Whether requests on this event loop are answered."""
        return self._loop is asyncio.get_running_loop() and not self._is_stopped

    def _is_serving(self) -> bool:
        return self._loop is not None and not self._is_stopped and self._loop.is_running()

    def _claim_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._is_serving():
                raise RuntimeError("the MCP endpoint is already serving another event loop")
            self._waiting, self._streaming = set(), set()
        self._loop, self._is_stopped = loop, False

    def _deployed(self, before: Channels, after: Channels) -> None:
        """Tell subscribed clients of a change, unless they would not see any."""
        former, tool = before.get(CHANNEL), after.get(CHANNEL)
        if tool is not former and (
            tool is None or former is None or tool.workflow.plan is not former.workflow.plan
        ):
            self.changes.notify()

    async def run(
        self,
        call: Call,
        invocation: Invocation,
        ping: Callable[[], Awaitable[None]] | None = None,
    ) -> Reply:
        """Run a tool and return the answer.

        Parameters
        ----------
        call, invocation
            What to run.
        ping
            Called now and then while it runs.

        Raises
        ------
        ShuttingDownError
            `stop` was called meanwhile, and the run given up.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def ended(_: Run) -> None:
            if not done.done():
                done.set_result(None)

        run = self._runtime.start(invocation, ended)
        if not run.ended:
            self._waiting.add(done)
            if ping is not None:
                self._streaming.add(done)
            try:
                while ping is not None and not done.done():
                    await asyncio.wait({done}, timeout=PING_INTERVAL)
                    if not done.done():
                        await ping()
                await done
            except BaseException:
                run.give_up()
                raise
            finally:
                self._waiting.discard(done)
                self._streaming.discard(done)
        return self.server.outcome(call, run.outcome)

    def run_stdio(self, begin: Callable[[], None]) -> None:
        """Serve one client over standard input and output until it hangs up, or a signal.

        Parameters
        ----------
        begin
            Called when serving begins.
        """
        from kaizen_nexus.channels.mcp.stdio import run_stdio

        run_stdio(self.server, self.changes, begin, max_line=self.max_body)


def _refuse(waiting: set[asyncio.Future[None]]) -> None:
    for future in waiting:
        if not future.done():
            future.set_exception(ShuttingDownError())
