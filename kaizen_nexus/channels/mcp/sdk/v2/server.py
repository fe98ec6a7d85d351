"""The low-level server of SDK 2, which serves both eras of the protocol at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import NotificationOptions
from mcp.server.lowlevel import Server as LowLevelServer
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolRequestParams, NotificationParams, PaginatedRequestParams

from kaizen_nexus.access.callers import LOCAL, Caller
from kaizen_nexus.channels.mcp.sdk.surface import (
    Identity,
    Json,
    Plain,
    ProtocolError,
    Streams,
    ToolMethods,
)
from kaizen_nexus.channels.mcp.sdk.v2.http import HttpTransport
from kaizen_nexus.channels.mcp.sdk.v2.plain import COMPLETE, plain_after, plain_of
from kaizen_nexus.http.credentials import caller_of

__all__ = ["Server", "Subscriptions"]

_Context = ServerRequestContext[Any, Any]


class Subscriptions:
    """See `surface.Subscriptions`; clients of 2026-07-28 listen, others are told on their pipe."""

    def __init__(self, max_subscriptions: int) -> None:
        self._bus = InMemorySubscriptionBus()
        self.listen = ListenHandler(self._bus, max_subscriptions=max_subscriptions)
        """Serves ``subscriptions/listen``."""
        self.handshaken: ServerSession | None = None
        """The client of the one lasting connection, if it began with a handshake."""

    async def publish(self) -> None:
        """Tell everybody."""
        await self._bus.publish(ToolsListChanged())
        if self.handshaken is not None:
            await self.handshaken.send_tool_list_changed()

    def close(self) -> None:
        """End the streams of those who listen, with the protocol's farewell."""
        self.listen.close()


class Server:
    """See `surface.Server`."""

    def __init__(
        self, identity: Identity, methods: ToolMethods, subscriptions: Subscriptions
    ) -> None:
        self._methods = methods
        self._subscriptions = subscriptions
        self._server = LowLevelServer[Any](
            identity.name,
            version=identity.version,
            instructions=identity.instructions,
            # Since 2026-07-28 a list says how long it is good for: it may change at any moment.
            cache_hints={"tools/list": CacheHint(ttl_ms=0, scope="private")},
            get_tool_input_schema=methods.input_schema,
            on_subscriptions_listen=subscriptions.listen,
        )
        self.plain: Plain | None = plain_of(self._server.server_info_stamp)
        """See `surface.Server`."""
        add = self._server.add_request_handler
        add("tools/list", PaginatedRequestParams, self._list_tools)
        add("tools/call", CallToolRequestParams, self._call_tool)
        self._server.add_notification_handler(
            "notifications/initialized", NotificationParams, self._remember_client
        )

    async def serve(self, streams: Streams) -> None:
        """Serve one client, in the era that it begins in, until its stream ends."""
        # For handshake clients; those of 2026-07-28 are told that subscriptions/listen is served.
        options = self._server.create_initialization_options(
            NotificationOptions(tools_changed=True)
        )
        try:
            await self._server.run(*streams, options)
        finally:
            self._subscriptions.handshaken = None

    def plain_after(self, version: str) -> Plain | None:
        """See `surface.Server`."""
        return plain_after(version)

    def http_transport(self, *, max_body: int) -> HttpTransport:
        """Return a transport to run once."""
        return HttpTransport(self._server, self._methods.is_streaming, max_body=max_body)

    async def _list_tools(self, context: _Context, params: PaginatedRequestParams) -> Json:
        with _translated():
            return COMPLETE | await self._methods.list_tools(params.cursor, _caller(context))

    async def _call_tool(self, context: _Context, params: CallToolRequestParams) -> Json:
        with _translated():
            arguments = dict(params.arguments or {})

            async def progress(step: float, message: str) -> None:
                await context.session.report_progress(step, message=message)

            return COMPLETE | await self._methods.call_tool(
                params.name, arguments, _caller(context), progress
            )

    async def _remember_client(self, context: _Context, _: NotificationParams) -> None:
        if context.request is None:  # not over HTTP, where each request is on its own
            self._subscriptions.handshaken = context.session


def _caller(context: _Context) -> Caller:
    """Return who sent a request; over HTTP that was found out before it came here."""
    return LOCAL if context.request is None else caller_of(context.request.scope)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn a `ProtocolError` into the SDK's."""
    try:
        yield
    except ProtocolError as error:
        raise MCPError(error.code, error.message) from None
