"""Apps with one defect each, of the kind that comes between an agent and one of its channels.

Each is a real app, served by a real server: most are a sound Nexus behind an ASGI application that
tampers with what passes through it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from kaizen_nexus import (
    Nexus,
    PerformanceMetrics,
    deploy_as_api,
    deploy_as_cli,
    deploy_as_mcp,
    deploy_multi_channel,
)

EXECUTE = "/api/workflows/notes/execute"
CLI = "/cli/run"
MCP = "/mcp"
MODERN = b"2026-07-28"


def take_note(
    fact: str, times: int = 1, context: dict[str, Any] | None = None, session: Any = None
) -> dict[str, Any]:
    """Remember every fact of the conversation."""
    facts = [*(context or {}).get("facts", []), *[fact] * times]
    if session is not None:
        session.update_state({"facts": facts})
    return {"facts": facts}


def sound() -> Nexus:
    """An app with nothing wrong with it."""
    app = Nexus()
    deploy_multi_channel(take_note, app, "notes")
    return app


Request = Callable[[dict[str, Any], bytes], bytes]
Response = Callable[[dict[str, Any], int, Any], tuple[int, Any]]


class Tampering:
    """An ASGI application that changes what goes to and from one path of a Nexus."""

    def __init__(
        self,
        path: str,
        *,
        request: Request = lambda _, body: body,
        response: Response = lambda _, status, answer: (status, answer),
        without_headers: tuple[bytes, ...] = (),
    ) -> None:
        self.app = sound()
        self.path = path
        self.request = request
        self.response = response
        self.without_headers = without_headers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not re.fullmatch(self.path, scope["path"]):
            await self.app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        scope = {**scope, "headers": list(scope["headers"])}
        body = self.request(scope, body)
        scope["headers"] = self._with_length(scope["headers"], body)
        await self._answer(scope, body, receive, send)

    async def _answer(self, scope: Any, body: bytes, receive: Any, send: Any) -> None:
        requests = iter([{"type": "http.request", "body": body}])
        start: dict[str, Any] = {}
        parts = []

        async def received() -> Any:
            return next(requests, None) or await receive()

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                parts.append(message.get("body", b""))

        await self.app(scope, received, sent)
        content = b"".join(parts)
        if content:
            status, answer = self.response(scope, start["status"], json.loads(content))
            start["status"], content = status, json.dumps(answer).encode()
        headers = [(k, v) for k, v in start["headers"] if k.lower() not in self.without_headers]
        await send({**start, "headers": self._with_length(headers, content)})
        await send({"type": "http.response.body", "body": content})

    @staticmethod
    def _with_length(headers: Any, body: bytes) -> list[tuple[bytes, bytes]]:
        kept = [(k, v) for k, v in headers if k.lower() != b"content-length"]
        return [*kept, (b"content-length", str(len(body)).encode())]


def without_session_header(scope: dict[str, Any], body: bytes) -> bytes:
    scope["headers"] = [(k, v) for k, v in scope["headers"] if k.lower() != b"x-session-id"]
    return body


def with_another_result(_: Any, status: int, answer: Any) -> tuple[int, Any]:
    if status == 200:
        answer["result"]["facts"][0] += "!"
    return status, answer


def with_one_type_changed(_: Any, status: int, answer: Any) -> tuple[int, Any]:
    answer["components"]["schemas"]["notes.inputs"]["properties"]["times"]["type"] = "number"
    return status, answer


def without_sessions(_: Any, body: bytes) -> bytes:
    call = json.loads(body)
    argv = call["argv"]
    if "--session" in argv:
        place = argv.index("--session")
        del argv[place : place + 2]
    return json.dumps(call).encode()


def in_a_session_of_its_own(_: Any, body: bytes) -> bytes:
    call = json.loads(body)
    argv = call["argv"]
    if "--session" in argv:
        argv[argv.index("--session") + 1] = "new"
    return json.dumps(call).encode()


def always_a_success(_: Any, status: int, answer: Any) -> tuple[int, Any]:
    return status, {**answer, "exit_code": 0}


def without_an_option(_: Any, status: int, answer: Any) -> tuple[int, Any]:
    lines = answer["stdout"].splitlines(keepends=True)
    answer["stdout"] = "".join(line for line in lines if "  --times" not in line)
    return status, answer


def with_the_agents_secrets(_: Any, status: int, answer: Any) -> tuple[int, Any]:
    result = answer.get("result", {})
    if result.get("isError"):
        result["content"][0]["text"] = "ValueError: the password is hunter2"
    return status, answer


def with_another_result_in_the_modern_era(scope: Any, status: int, answer: Any) -> tuple[int, Any]:
    modern = dict(scope["headers"]).get(b"mcp-protocol-version") == MODERN
    result = answer.get("result", {})
    if modern and isinstance(result.get("structuredContent"), dict):
        result["structuredContent"]["result"] = {"facts": []}
        result["content"][0]["text"] = json.dumps(result["structuredContent"])
    return status, answer


class Miscounting(PerformanceMetrics):
    """Records one operation another number of times than once."""

    __slots__ = ("operation", "times")

    def __init__(self, operation: str, times: int) -> None:
        super().__init__()
        self.operation, self.times = operation, times

    def record(self, operation: str, seconds: float, *, failed: bool = False) -> None:
        for _ in range(self.times if operation == self.operation else 1):
            super().record(operation, seconds, failed=failed)


class OtherOverStdio(Nexus):
    """Deploys another agent than the one that was deployed, when it is served over stdio."""

    def run_stdio(self) -> None:
        deploy_multi_channel(lambda fact, times=1: {"facts": [fact]}, self, "notes")
        super().run_stdio()


class ForgetfulOverStdio(Nexus):
    """Loses every session's state, when it is served over stdio."""

    def run_stdio(self) -> None:
        super().run_stdio()
        for session in self.session_manager.sessions.values():
            session.state = {}


class SilentOverStdio(Nexus):
    """Does not speak over stdio at all."""

    def run_stdio(self) -> None:
        raise SystemExit(7)


def deployed_on(app: Nexus) -> Nexus:
    deploy_multi_channel(take_note, app, "notes")
    return app


def with_another_tool() -> Nexus:
    """An app whose MCP tool takes another input than its API."""

    def take_notes(facts: list[str]) -> dict[str, Any]:
        return {"facts": facts}

    app = Nexus()
    deploy_as_mcp(take_notes, app, "notes")
    deploy_as_cli(take_note, app, "notes")
    deploy_as_api(take_note, app, "notes")
    return app


not_found = Tampering(EXECUTE, response=lambda _, __, ___: (404, {"detail": "Not Found"}))
another_result = Tampering(EXECUTE, response=with_another_result)
no_session_in = Tampering(EXECUTE, request=without_session_header)
no_session_out = Tampering(EXECUTE, without_headers=(b"x-session-id",))
swallowed_error = Tampering(EXECUTE, response=lambda _, __, answer: (200, answer))
another_openapi = Tampering("/openapi.json", response=with_one_type_changed)
no_metrics = Tampering("/metrics.json", response=lambda _, __, ___: (404, {}))
cli_without_sessions = Tampering(CLI, request=without_sessions)
cli_with_own_sessions = Tampering(CLI, request=in_a_session_of_its_own)
cli_without_failures = Tampering(CLI, response=always_a_success)
cli_without_option = Tampering(CLI, response=without_an_option)
mcp_not_found = Tampering(MCP, response=lambda _, __, ___: (404, {"detail": "Not Found"}))
mcp_with_secrets = Tampering(MCP, response=with_the_agents_secrets)
mcp_of_two_minds = Tampering(MCP, response=with_another_result_in_the_modern_era)
another_tool = with_another_tool()
counted_twice = deployed_on(Nexus(metrics=Miscounting("cli", 2)))
not_counted = deployed_on(Nexus(metrics=Miscounting("mcp", 0)))
other_over_stdio = deployed_on(OtherOverStdio())
forgetful_over_stdio = deployed_on(ForgetfulOverStdio())
silent_over_stdio = deployed_on(SilentOverStdio())
nothing_deployed = Nexus()
not_an_app = 42
