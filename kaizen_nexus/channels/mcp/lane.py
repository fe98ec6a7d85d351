"""Plain calls of tools at the socket: one whole request, one answer, without ASGI."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from kaizen_nexus.channels.mcp.exchange import (
    JSON,
    JSON_HEADERS,
    era_of,
    status_of,
    takes_json,
)
from kaizen_nexus.channels.mcp.headers import VERSION, check_envelope
from kaizen_nexus.channels.mcp.messages import (
    CallParams,
    NotAMessageError,
    ProtocolError,
    Reply,
    read,
    typed_params,
)
from kaizen_nexus.http.strict_json import LARGE, StrictJsonError

if TYPE_CHECKING:
    from kaizen_nexus.channels.mcp.http import McpEndpoint
    from kaizen_nexus.channels.mcp.messages import Era
    from kaizen_nexus.channels.mcp.server import Call, McpServer
    from kaizen_nexus.http.server.lane import LaneRequest, LaneRun, Respond
    from kaizen_nexus.runtime.run import Run

__all__ = ["McpLane"]


class McpLane:
    """Answers ``tools/call`` requests that ask for nothing but the result.

    Everything else goes the general way, which reads the message again and gives the same answer.

    Parameters
    ----------
    endpoint
        What answers in the general way.
    path
        Where it answers.
    """

    def __init__(self, endpoint: McpEndpoint, path: str) -> None:
        self._endpoint = endpoint
        self._path = path

    def begin(self, request: LaneRequest, respond: Respond) -> LaneRun | None:
        """Begin to answer a request; None if it is not a plain call, and nothing has been done."""
        headers = request.headers
        if (
            request.path != self._path
            or len(request.body) > min(LARGE, self._endpoint.max_body)
            or headers.get(b"content-type") != JSON
            or not takes_json(headers.get(b"accept", b""))
            or not self._endpoint.is_serving_here
        ):
            return None
        era = era_of(headers.get(VERSION))
        call = self._read(era, request)
        if call is None:
            return None
        server = self._endpoint.server
        answer = _Answer(server, call, respond)
        run = server.runtime.start(call.invocation, answer.give)
        return run if era.is_enveloped else _Uncancelled(run)

    def _read(self, era: Era, request: LaneRequest) -> Call | None:
        try:
            message = read(request.body)
            request_id = message.request_id
            if message.method != "tools/call" or request_id is None:
                return None
            if era.is_enveloped:
                check_envelope(message, request.headers)
            params = typed_params(era, message)
            if not isinstance(params, CallParams):
                return None
            call = self._endpoint.server.call(era, request_id, params, request.caller)
        except (StrictJsonError, NotAMessageError, ProtocolError):
            return None
        if isinstance(call, Reply) or call.tool.mirrors:
            return None
        return None if params.token is not None and call.is_streaming else call


class _Answer(msgspec.Struct):
    """Gives the answer to a call."""

    server: McpServer
    call: Call
    respond: Respond

    def give(self, run: Run) -> None:
        reply = self.server.outcome(self.call, run.outcome)
        self.respond(status_of(self.call.era, reply), JSON_HEADERS, reply.body)


class _Uncancelled(msgspec.Struct):
    """A call that goes on when its client hangs up: before 2026-07-28, that does not cancel it."""

    run: Run

    def give_up(self) -> None:
        self.run.give_up()

    def client_gone(self) -> None:
        """Let it go on; the connection drops the answer."""
