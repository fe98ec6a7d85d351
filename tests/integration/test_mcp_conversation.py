"""Over pipes, the server answers as the SDK's own does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.channels.mcp.messages import NotAMessageError, read
from kaizen_nexus.http.strict_json import StrictJsonError
from kaizen_nexus.runtime.registry import Registry
from kaizen_nexus.runtime.service import Runtime
from tests.integration.mcp_sdk import latest_version
from tests.integration.piped import ENVELOPE, HANDSHAKE, MAX_LINE, MODERN, Piped, call

if latest_version() < MODERN:
    pytest.skip("SDK 1 has no server to compare with", allow_module_level=True)

from tests.integration.oracle import Oracle

DEEP = "[" * 101 + "]" * 101
CLIENT = {"name": "test", "version": "1"}
TOKEN = {"progressToken": "p"}
TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


async def echo(value: Any = None, text: str = "", number: int = 0) -> Any:
    return [value, text, number]


async def fail(value: Any = None) -> Any:
    raise RuntimeError("a secret")


async def stream(text: str) -> Any:
    for letter in text:
        yield letter


class Reference:
    """The same conversation with the SDK's server."""

    def __init__(self, runtime: Runtime, version: str) -> None:
        self._version = version
        self._lines, lines = anyio.create_memory_object_stream[bytes](100)
        replies, self._replies = anyio.create_memory_object_stream[Any](100)
        self._task = asyncio.create_task(Oracle(runtime).converse(lines, replies))

    async def begin(self) -> None:
        method, params = "server/discover", {"_meta": ENVELOPE}
        if self._version == HANDSHAKE:
            method = "initialize"
            params = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": CLIENT}
        hello = {"jsonrpc": "2.0", "id": 0, "method": method, "params": params}
        await self._lines.send(json.dumps(hello).encode())
        assert "result" in await self._replies.receive()

    async def answers(self, line: bytes) -> list[Any]:
        """Return what a line is answered with, which may be nothing."""
        await self._lines.send(line)
        found: list[Any] = []
        params = {"_meta": ENVELOPE} if self._version == MODERN else {}
        end = {"jsonrpc": "2.0", "id": "end", "method": "tools/list", "params": params}
        for _ in range(2):  # the first may overtake an answer
            await self._lines.send(json.dumps(end).encode())
            while (message := await self._replies.receive()).get("id") != "end":
                found.append(message)
        return found

    async def close(self) -> None:
        self._lines.close()
        await self._task
        self._replies.close()


class Both:
    """The same conversation twice: with this server and with the SDK's."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.loop = asyncio.new_event_loop()
        self.runtime = Runtime(registry=Registry(quarantine=None))
        for agent in (echo, fail, stream):
            self.runtime.registry.deploy(
                as_workflow(agent, agent.__name__), ("mcp",), prefix="/", sessions=False
            )
        self.loop.run_until_complete(self._begin())

    async def _begin(self) -> None:
        self.ours, self.theirs = (
            Piped(self.runtime, self.version),
            Reference(self.runtime, self.version),
        )
        await self.ours.begin()
        await self.theirs.begin()

    def close(self) -> None:
        self.loop.run_until_complete(self.ours.close())
        self.loop.run_until_complete(self.theirs.close())
        self.loop.close()
        self.runtime.sessions.close()

    def compare(self, line: bytes) -> list[Any]:
        """Return what a line is answered with: the same by both, if it is a message."""
        ours = list(map(comparable, self.loop.run_until_complete(self.ours.answers(line))))
        if len(line) <= MAX_LINE and is_message(line):
            theirs = self.loop.run_until_complete(self.theirs.answers(line))
            assert ours == list(map(comparable, theirs))
        return ours

    def enveloped(self, message: dict[str, Any], **meta: Any) -> dict[str, Any]:
        """Return a message with what each has in this version."""
        envelope = {**(ENVELOPE if self.version == MODERN else {}), **meta}
        if not envelope or not isinstance(message.get("params"), dict):
            return message
        return {**message, "params": {**message["params"], "_meta": envelope}}


def is_message(line: bytes) -> bool:
    try:
        read(line)
    except (StrictJsonError, NotAMessageError):
        return False  # this server is stricter
    return True


def comparable(message: Any) -> Any:
    """Return an answer without its error's text, and what differs from one call to the next."""
    if "error" in message:
        message["error"].pop("message")
        if not message["error"].get("data"):
            message["error"].pop("data", None)
    if "structuredContent" in message.get("result", {}):
        result = message["result"]
        (shown,) = result["content"]
        shown["text"] = varying_left_out(json.loads(shown["text"]))
        result["structuredContent"] = varying_left_out(result["structuredContent"])
    return message


def varying_left_out(envelope: Any) -> Any:
    assert envelope.pop("duration_ms") >= 0
    if envelope["session_id"] is not None:
        envelope["session_id"] = "some"
    return envelope


@pytest.fixture(scope="module", params=[HANDSHAKE, MODERN])
def both(request: pytest.FixtureRequest) -> Iterator[Both]:
    both = Both(request.param)
    yield both
    both.close()


@pytest.mark.parametrize(
    "message",
    [
        call(),
        call(arguments={"value": {"a": [1, 2.5, None, True, "ü\U0001f600"]}, "number": 3}),
        call(arguments={"number": 2**70, "text": "a: {b}"}),
        call(id="one"),
        call(id=""),
        call(id=2**70),
        call(arguments={"session_id": "new"}),
        call(arguments={"session_id": "nowhere"}),
        call(arguments={"session_id": 3}),
        call(arguments={"number": "three"}),
        call(arguments={"unknown": 1}),
        call("fail"),
        call("stream", {"text": "abc"}),
        call(params={"name": "echo"}),
        call(params={"name": "echo", "arguments": None}),
    ],
    ids=lambda value: repr(value)[-60:],
)
def test_a_call_is_answered(both: Both, message: dict[str, Any]) -> None:
    (reply,) = both.compare(json.dumps(both.enveloped(message)).encode())
    assert reply["id"] == message["id"]


@pytest.mark.parametrize(
    "message",
    [
        call("nobody"),
        call(name=3),
        call(arguments=[1]),
        call(id=None),
        call(id=1.0),
        call(id=True),
        call(id={}),
        call(jsonrpc="1.0"),
        call(method="tools/list"),
        call(method="nothing"),
        call(extra=1),
        call(params=None),
        call(params={}),
        call(params=[]),
        {key: value for key, value in call().items() if key != "id"},
        {**call(), "params": {**call()["params"], "inputResponses": {}}},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "id": None, "error": {"code": 1, "message": "none"}},
        {"jsonrpc": "2.0", "method": "foo"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": [1]}},
        {"id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": 3}},
        [call()],
        [],
        "text",
        None,
    ],
    ids=lambda value: repr(value)[-60:],
)
def test_so_is_anything_else_or_dropped(both: Both, message: Any) -> None:
    if isinstance(message, dict):
        message = both.enveloped(message)
    both.compare(json.dumps(message).encode())


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"vendor.org/key": [{}]},
        TOKEN,
        {"progressToken": 3},
        {"progressToken": None},
        {"progressToken": [1]},
        TRACE,
        {"io.modelcontextprotocol/related-task": {}},
        {"io.modelcontextprotocol/clientInfo": CLIENT},
        {"io.modelcontextprotocol/clientInfo": "me"},
        {"io.modelcontextprotocol/protocolVersion": HANDSHAKE},
        {"io.modelcontextprotocol/protocolVersion": 3},
    ],
    ids=lambda value: repr(value)[-60:],
)
def test_what_a_client_says_of_itself(both: Both, meta: dict[str, Any]) -> None:
    both.compare(json.dumps(both.enveloped(call(), **meta)).encode())


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b'{"jsonrpc": "2.0", "id": 1, "method": "foo/bar"}', -32601),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {}}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": 3}}', -32602),
        (b"[]", None),
        (b'{"id": 1, "method": "ping"}', None),
        (b'{"jsonrpc": "2.0", "method": "foo"}', None),
        (b'{"jsonrpc": "2.0", "id": 9, "result": {}}', None),
    ],
)
def test_a_bad_request_is_refused_and_what_is_none_is_dropped(
    both: Both, line: bytes, error: int | None
) -> None:
    message = json.loads(line)
    if isinstance(message, dict) and "method" in message:
        line = json.dumps(both.enveloped({"params": {}, **message})).encode()
    replies = both.compare(line)
    assert [reply["error"]["code"] for reply in replies] == [error][: error is not None]


def test_progress_is_told(both: Both) -> None:
    message = both.enveloped(call("stream", {"text": "ab"}), **TOKEN)
    messages = both.compare(json.dumps(message).encode())
    assert [m.get("method") for m in messages] == [*["notifications/progress"] * 2, None]


@pytest.mark.parametrize(
    ("line", "is_answered"),
    [
        (b"", False),
        (b"{", False),
        (b"\xff", False),
        (b"[" * 1_000, False),
        (rb'{"\ud800": 1}', False),
        (json.dumps(call(arguments={"value": float("nan")})).encode(), True),
        (json.dumps(call(arguments={"value": "\ud800"})).encode(), True),
        (json.dumps(call()).replace("{}", '{"value": 1e999}', 1).encode(), True),
        (
            json.dumps(call()).replace("{}", '{"value": ' + "[" * 101 + "]" * 101 + "}").encode(),
            True,
        ),
    ],
    ids=lambda line: repr(line)[:40],
)
def test_what_is_not_strict_json_is_refused_if_it_is_a_request(
    both: Both, line: bytes, is_answered: bool
) -> None:
    assert [(m["id"], m["error"]["code"]) for m in both.compare(line)] == [(1, -32700)][
        :is_answered
    ]


@pytest.mark.parametrize(
    ("once", "twice"),
    [
        ('"method"', '"id": 1, "method"'),
        ('"name": "echo"', '"name": "fail", "name": "echo"'),
        ('"name"', '"_meta": {}, "_meta": {}, "name"'),
        ('"arguments": {', '"arguments": {"value": 1, "value": 2, '),
        ('"arguments": {', '"arguments": {"value": {"a": 1, "a": 2}, '),
    ],
)
def test_members_that_come_twice_are_refused(both: Both, once: str, twice: str) -> None:
    text = json.dumps(call(arguments={"number": 3}))
    assert once in text
    (reply,) = both.compare(text.replace(once, twice, 1).encode())
    assert (reply["id"], reply["error"]["code"]) == (1, -32700)


def test_what_comes_twice_in_a_notification_is_dropped(both: Both) -> None:
    line = b'{"jsonrpc": "2.0", "method": "notifications/initialized", "params": {"a":1,"a":2}}'
    assert both.compare(line) == []


def test_a_line_that_is_too_long_is_refused(both: Both) -> None:
    (reply,) = both.compare(json.dumps(call(arguments={"text": "x" * MAX_LINE})).encode())
    assert (reply["id"], reply["error"]["code"]) == (None, -32600)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
maybe = st.one_of


@given(
    name=maybe(st.just("echo"), st.sampled_from(["fail", "nobody", "", 1])),
    arguments=maybe(
        st.fixed_dictionaries(
            {},
            optional={
                "value": values,
                "text": values,
                "number": values,
                "session_id": maybe(st.just("new"), values),
            },
        ),
        values,
    ),
    number=maybe(st.integers(), st.text(), values),
    meta=st.fixed_dictionaries(
        {}, optional={"progressToken": st.integers() | st.text(), "a/b": values}
    ),
    extra=maybe(st.just({}), st.dictionaries(st.sampled_from(["jsonrpc", "more"]), values)),
    cut=maybe(st.just(0), st.integers(0, 3)),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_sent_the_answers_are_the_same(
    both: Both, name: Any, arguments: Any, number: Any, meta: Any, extra: Any, cut: int
) -> None:
    message = both.enveloped(call(name, arguments, id=number, **extra), **meta)
    line = json.dumps(message).encode()
    both.compare(line[: len(line) - cut])
