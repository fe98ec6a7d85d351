"""Streamable HTTP of SDK 2: JSON, and events for those who ask to be told of progress."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings

from kaizen_nexus.channels.mcp.progress import asks_for_progress

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

__all__ = ["HttpTransport"]


class HttpTransport:
    """See `surface.HttpTransport`.

    The SDK decides once for all requests how they are answered, so there are two of its managers.
    Neither has transport sessions, so it does not matter which one a client meets.

    Parameters
    ----------
    server
        What is served.
    is_streaming
        Whether a tool makes its result piece by piece.
    max_body
        How many bytes a request body may have.
    """

    def __init__(
        self, server: Server[Any], is_streaming: Callable[[str], bool], *, max_body: int
    ) -> None:
        self._is_streaming = is_streaming
        self._max_body = max_body
        # Handshake clients are told listChanged: false here, the SDK's default: without a
        # transport session nothing can be pushed to them.
        self._json, self._events = (
            StreamableHTTPSessionManager(
                server,
                json_response=json_response,
                stateless=True,
                security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
                max_request_body_size=max_body,
            )
            for json_response in (True, False)
        )

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Serve while it is entered."""
        async with self._json.run(), self._events.run():
            yield

    async def handle_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        told, again = await asks_for_progress(scope, receive, self._max_body, self._is_streaming)
        await (self._events if told else self._json).handle_request(scope, again, send)
