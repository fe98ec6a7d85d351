"""The SDK's own low-level server, of version 2, with a runtime behind its tools.

What the protocol asks for beyond tools is decided by the SDK; what tools answer comes from the same
code as in the server under test, whose answers it is compared with.
"""

from __future__ import annotations

import json
from typing import Any

import anyio
from mcp.server.caching import CacheHint
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp.types import CallToolRequestParams, PaginatedRequestParams, jsonrpc_message_adapter

from kaizen_nexus.access.callers import LOCAL
from kaizen_nexus.channels.mcp.messages import HANDSHAKE, CallParams, ListParams, Message
from kaizen_nexus.channels.mcp.server import INSTRUCTIONS, SERVER_INFO, McpServer
from kaizen_nexus.runtime.service import Runtime

__all__ = ["Oracle", "http_manager"]


class Oracle:
    """The server, over pairs of streams."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._tools = McpServer(runtime)
        self.server: Server[Any] = Server(
            SERVER_INFO["name"],
            version=SERVER_INFO["version"],
            instructions=INSTRUCTIONS,
            cache_hints={"tools/list": CacheHint(), "server/discover": CacheHint()},
            get_tool_input_schema=self._input_schema,
            on_subscriptions_listen=ListenHandler(InMemorySubscriptionBus()),
        )
        add = self.server.add_request_handler
        add("tools/list", PaginatedRequestParams, self._list_tools)
        add("tools/call", CallToolRequestParams, self._call_tool)

    def _tool(self, name: str) -> Any:
        listed = self._tools._list(None, LOCAL)["tools"]
        return next((tool for tool in listed if tool["name"] == name), None)

    def _input_schema(self, name: str) -> Any:
        tool = self._tool(name)
        return None if tool is None else tool["inputSchema"]

    async def _list_tools(self, _: Any, params: PaginatedRequestParams) -> Any:
        message = Message(jsonrpc="2.0", id=1, method="tools/list")
        try:
            reply = self._tools.reply(
                HANDSHAKE, message, ListParams(cursor=params.cursor), LOCAL, pushes=True
            )
        except Exception as error:
            raise MCPError(error.code, error.message) from None
        return {"resultType": "complete", **json.loads(reply.body)["result"]}

    async def _call_tool(self, context: Any, params: CallToolRequestParams) -> Any:
        asked = CallParams(name=params.name, arguments=dict(params.arguments or {}))
        call = self._tools.call(HANDSHAKE, 1, asked, LOCAL)
        reply = call
        if hasattr(call, "with_client"):
            count = 0

            async def emit(chunk: bytes) -> None:
                nonlocal count
                count += 1
                await context.session.report_progress(count, message=json.loads(chunk))

            try:
                result = await self._runtime.execute(call.with_client(emit=emit))
                reply = self._tools.outcome(call, lambda: result)
            except Exception as error:
                reply = self._tools.outcome(call, _raising(error))
        answer = json.loads(reply.body)
        if "error" in answer:
            raise MCPError(answer["error"]["code"], answer["error"]["message"])
        return {"resultType": "complete", **answer["result"]}

    async def converse(self, lines: Any, replies: Any) -> None:
        """Answer the JSON texts of a stream until it ends; what is not a message is dropped."""
        requests, incoming = anyio.create_memory_object_stream[Any](100)
        outgoing, answers = anyio.create_memory_object_stream[Any](100)

        async def write() -> None:
            async for item in answers:
                text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                await replies.send(json.loads(text))

        async with (
            lines,
            replies,
            requests,
            incoming,
            outgoing,
            answers,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(write)
            options = self.server.create_initialization_options(
                NotificationOptions(tools_changed=True)
            )
            tasks.start_soon(self.server.run, incoming, outgoing, options)
            async for line in lines:
                try:
                    message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                except (ValueError, RecursionError):
                    continue
                await requests.send(SessionMessage(message))
            tasks.cancel_scope.cancel()


def _raising(error: Exception) -> Any:
    def outcome() -> Any:
        raise error

    return outcome


def http_manager(
    oracle: Oracle, max_body: int, *, events: bool = False
) -> StreamableHTTPSessionManager:
    """Return the transport of a server over HTTP, to be entered with ``run``."""
    return StreamableHTTPSessionManager(
        oracle.server,
        json_response=not events,
        stateless=True,
        security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        max_request_body_size=max_body,
    )
