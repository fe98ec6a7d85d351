"""A server on SDK 1, to its clients the same as SDK 2's is to those that begin with a handshake.

The messages, their validation and standard input and output are the SDK's; the dispatching of
requests is done here. The SDK's own does it differently in each of its versions, says that the
parameters are wrong where the method is unknown, answers what was cancelled, shows clients what
an exception says, and replaces the process's hook for warnings during every request, so that two
simultaneous ones leave a wrong hook behind.
"""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup
from mcp.shared.message import SessionMessage
from mcp.shared.version import SUPPORTED_PROTOCOL_VERSIONS
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    LATEST_PROTOCOL_VERSION,
    METHOD_NOT_FOUND,
    CallToolRequestParams,
    ErrorData,
    InitializeRequestParams,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    PaginatedRequestParams,
)
from pydantic import ValidationError

from kaizen_nexus.access.callers import LOCAL, Caller
from kaizen_nexus.channels.mcp.sdk import after_handshake
from kaizen_nexus.channels.mcp.sdk.surface import (
    VERSION_KEY,
    Identity,
    Json,
    Plain,
    ProtocolError,
    Streams,
    ToolMethods,
    correlated,
)
from kaizen_nexus.channels.mcp.sdk.v1.http import HttpTransport
from kaizen_nexus.channels.mcp.sdk.v1.versions import unsupported_version

__all__ = ["Server", "Subscriptions"]

logger = logging.getLogger("kaizen_nexus.mcp")


class Subscriptions:
    """See `surface.Subscriptions`; a client with a pipe of its own is told, no other can be."""

    def __init__(self, max_subscriptions: int) -> None:
        del max_subscriptions  # there are no streams to be counted
        self.handshaken: _Conversation | None = None
        """The client of the one lasting connection, once it is ready."""

    async def publish(self) -> None:
        """Tell it."""
        if self.handshaken is not None:
            await self.handshaken.notify("notifications/tools/list_changed")

    def close(self) -> None:
        """End nothing: a pipe is open for more than this."""


class Server:
    """See `surface.Server`."""

    def __init__(
        self, identity: Identity, methods: ToolMethods, subscriptions: Subscriptions
    ) -> None:
        self._identity = identity
        self._methods = methods
        self._subscriptions = subscriptions
        self.plain: Plain | None = None
        """None: clients of this SDK's versions of the protocol begin with a handshake."""

    def plain_after(self, version: str) -> Plain | None:
        """See `surface.Server`."""
        known = version in SUPPORTED_PROTOCOL_VERSIONS
        return Plain(version, {}, after_handshake.takes) if known else None

    async def serve(self, streams: Streams) -> None:
        """Serve one client until its stream ends."""
        conversation = _Conversation(
            self._identity, self._methods, streams, LOCAL, self._subscriptions
        )
        try:
            await conversation.run()
        finally:
            self._subscriptions.handshaken = None

    def http_transport(self, *, max_body: int) -> HttpTransport:
        """Return a transport to run once."""
        return HttpTransport(self._converse_once, self._methods.is_streaming, max_body=max_body)

    async def _converse_once(self, streams: Streams, caller: Caller) -> None:
        await _Conversation(self._identity, self._methods, streams, caller).run()


class _Conversation:
    """One client's messages, from the first to the end of its stream.

    Parameters
    ----------
    identity, methods
        What is served.
    streams
        Where requests come from and answers go; they are closed in the end.
    caller
        Whose requests they are.
    subscriptions
        Where a client that stays is remembered. None means that this conversation is one request
        of a client that shook hands in another.
    """

    def __init__(
        self,
        identity: Identity,
        methods: ToolMethods,
        streams: Streams,
        caller: Caller,
        subscriptions: Subscriptions | None = None,
    ) -> None:
        self._identity = identity
        self._methods = methods
        self._incoming, self._outgoing = streams
        self._caller = caller
        self._subscriptions = subscriptions
        self._shaken = subscriptions is None
        self._running: dict[str | int, anyio.CancelScope] = {}

    async def run(self) -> None:
        """Answer until the stream ends, then cancel what is still running."""
        async with self._incoming, self._outgoing, anyio.create_task_group() as tasks:
            with contextlib.suppress(anyio.ClosedResourceError):
                async for item in self._incoming:
                    await self._receive(item, tasks)
            tasks.cancel_scope.cancel()

    async def notify(self, method: str) -> None:
        """Send a notification without parameters."""
        await self._send(JSONRPCNotification(jsonrpc="2.0", method=method))

    async def _receive(self, item: SessionMessage | Exception, tasks: TaskGroup) -> None:
        if isinstance(item, Exception):
            # It cannot be answered: what is no message has no id.
            logger.debug("dropped what is no message: %s", item)
            return
        message = item.message.root
        if isinstance(message, JSONRPCNotification):
            self._notice(message)
        elif isinstance(message, JSONRPCRequest):
            if message.method == "initialize":
                # At once: what follows must find the handshake done.
                await self._answer(message)
            else:
                tasks.start_soon(self._answer, message)

    def _notice(self, notification: JSONRPCNotification) -> None:
        if notification.method == "notifications/initialized":
            self._shaken = True
            if self._subscriptions is not None:
                self._subscriptions.handshaken = self
        elif notification.method == "notifications/cancelled":
            request_id = (notification.params or {}).get("requestId")
            if isinstance(request_id, str | int):
                scope = self._running.get(correlated(request_id))
                if scope is not None:
                    scope.cancel()

    async def _answer(self, request: JSONRPCRequest) -> None:
        key = correlated(request.id)
        with anyio.CancelScope() as scope:
            self._running[key] = scope
            try:
                result = await self._result(request.method, request.params or {})
                reply: JSONRPCResponse | JSONRPCError = JSONRPCResponse(
                    jsonrpc="2.0", id=request.id, result=result
                )
            except _RefusedError as refused:
                reply = JSONRPCError(jsonrpc="2.0", id=request.id, error=refused.error)
            finally:
                if self._running.get(key) is scope:
                    del self._running[key]
            await self._send(reply)

    async def _send(self, message: JSONRPCNotification | JSONRPCResponse | JSONRPCError) -> None:
        # The client may have gone; then nobody waits for it.
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._outgoing.send(SessionMessage(JSONRPCMessage(message)))

    async def _result(self, method: str, params: Json) -> Json:
        handler = {
            "initialize": self._initialize,
            "ping": self._ping,
            "tools/list": self._list_tools,
            "tools/call": self._call_tool,
        }.get(method)
        if self._subscriptions is not None and method != "initialize":
            self._refuse_envelope(params)
        if handler is None:
            raise _RefusedError(METHOD_NOT_FOUND, "Method not found", method)
        if not self._shaken and method not in {"initialize", "ping"}:
            raise _RefusedError(INVALID_PARAMS, "Invalid request parameters", "")
        try:
            return await handler(params)
        except ValidationError:
            raise _RefusedError(INVALID_PARAMS, "Invalid request parameters", "") from None
        except ProtocolError as error:
            raise _RefusedError(error.code, error.message) from None
        except Exception:
            logger.exception("answering %r failed", method)
            raise _RefusedError(INTERNAL_ERROR, "The server failed; its log says why") from None

    def _refuse_envelope(self, params: Json) -> None:
        meta = params.get("_meta")
        if not isinstance(meta, dict) or VERSION_KEY not in meta:
            return
        if self._shaken:
            message = "this connection began with a handshake; send no protocol version in _meta"
            raise _RefusedError(INVALID_REQUEST, message)
        raise _RefusedError(*unsupported_version(str(meta[VERSION_KEY])))

    async def _initialize(self, params: Json) -> Json:
        requested = InitializeRequestParams.model_validate(params).protocolVersion
        self._shaken = True
        supported = requested in SUPPORTED_PROTOCOL_VERSIONS
        return {
            "protocolVersion": requested if supported else LATEST_PROTOCOL_VERSION,
            # To a client of single requests nothing can be pushed.
            "capabilities": {"tools": {"listChanged": self._subscriptions is not None}},
            "serverInfo": {"name": self._identity.name, "version": self._identity.version},
            "instructions": self._identity.instructions,
        }

    async def _ping(self, _: Json) -> Json:
        return {}

    async def _list_tools(self, params: Json) -> Json:
        cursor = PaginatedRequestParams.model_validate(params).cursor
        return await self._methods.list_tools(cursor, self._caller)

    async def _call_tool(self, params: Json) -> Json:
        call = CallToolRequestParams.model_validate(params)
        token = None if call.meta is None else call.meta.progressToken
        return await self._methods.call_tool(
            call.name,
            dict(call.arguments or {}),
            self._caller,
            None if token is None else partial(self._report, token),
        )

    async def _report(self, token: str | int, step: float, message: str) -> None:
        params = {"progressToken": token, "progress": step, "message": message}
        method = "notifications/progress"
        await self._send(JSONRPCNotification(jsonrpc="2.0", method=method, params=params))


class _RefusedError(Exception):
    """A request is answered with an error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.error = ErrorData(code=code, message=message, data=data)
