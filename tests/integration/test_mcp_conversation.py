"""Over pipes, calls are answered without the SDK as it would have answered them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.channels.mcp.client import latest_version
from kaizen_nexus.runtime.service import Runtime
from tests.integration.piped import ENVELOPE, HANDSHAKE, MAX_LINE, MODERN, Piped, call

ERAS = [HANDSHAKE, *([MODERN] if latest_version() >= MODERN else [])]
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


class Both:
    """The same conversation twice, with and without calls that the SDK does not see."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.loop = asyncio.new_event_loop()
        self.runtime = Runtime()
        for agent in (echo, fail, stream):
            self.runtime.registry.deploy(
                as_workflow(agent, agent.__name__), ("mcp",), prefix="/", sessions=False
            )
        self.direct, self.reference = self.loop.run_until_complete(self._begin())

    async def _begin(self) -> tuple[Piped, Piped]:
        pair = tuple(Piped(self.runtime, self.version, directly=way) for way in (True, False))
        for conversation in pair:
            await conversation.begin()
        direct, reference = pair
        return direct, reference

    def close(self) -> None:
        for conversation in (self.direct, self.reference):
            self.loop.run_until_complete(conversation.close())
        self.loop.close()
        self.runtime.sessions.close()

    def compare(self, line: bytes) -> tuple[list[Any], bool]:
        """Return what a line is answered with, and whether that was without the SDK."""
        before = self.direct.methods.plain
        direct = self.loop.run_until_complete(self.direct.answers(line))
        reference = self.loop.run_until_complete(self.reference.answers(line))
        assert list(map(comparable, direct)) == list(map(comparable, reference))
        assert self.reference.methods.plain == 0
        return direct, self.direct.methods.plain > before

    def enveloped(self, message: dict[str, Any], **meta: Any) -> dict[str, Any]:
        """Return a message with what each has in this version."""
        envelope = {**(ENVELOPE if self.version == MODERN else {}), **meta}
        if not envelope or not isinstance(message.get("params"), dict):
            return message
        return {**message, "params": {**message["params"], "_meta": envelope}}


def comparable(message: Any) -> Any:
    """Return an answer without what differs from one call to the next."""
    if "error" in message and message["error"].get("data") is None:
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


@pytest.fixture(scope="module", params=ERAS)
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
def test_a_plain_call_gets_the_answer_of_the_sdk(both: Both, message: dict[str, Any]) -> None:
    (reply,), plain = both.compare(json.dumps(both.enveloped(message)).encode())
    assert plain
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
def test_of_anything_else_the_sdk_decides(both: Both, message: Any) -> None:
    if isinstance(message, dict):
        message = both.enveloped(message)
    _, plain = both.compare(json.dumps(message).encode())
    assert not plain


@pytest.mark.parametrize(
    ("meta", "plain"),
    [
        ({}, {HANDSHAKE, MODERN}),
        ({"vendor.org/key": [{}]}, {HANDSHAKE}),
        (TOKEN, {HANDSHAKE}),
        ({"progressToken": 3}, {HANDSHAKE}),
        ({"progressToken": True}, {}),
        ({"progressToken": None}, {}),
        ({"progressToken": [1]}, {}),
        (TRACE, {}),
        ({"io.modelcontextprotocol/related-task": {}}, {}),
        ({"io.modelcontextprotocol/clientInfo": CLIENT}, {MODERN}),
        ({"io.modelcontextprotocol/clientInfo": "me"}, {}),
        ({"io.modelcontextprotocol/protocolVersion": HANDSHAKE}, {}),
    ],
    ids=lambda value: repr(sorted(value) if isinstance(value, set) else value)[-60:],
)
def test_envelopes_are_plain_that_only_the_client_needs(
    both: Both, meta: dict[str, Any], plain: Any
) -> None:
    _, was_plain = both.compare(json.dumps(both.enveloped(call(), **meta)).encode())
    assert was_plain is (both.version in plain)


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
    replies, _ = both.compare(line)
    assert [reply["error"]["code"] for reply in replies] == [error][: error is not None]


def test_progress_of_what_streams_is_told_by_the_sdk(both: Both) -> None:
    message = both.enveloped(call("stream", {"text": "ab"}), **TOKEN)
    messages, plain = both.compare(json.dumps(message).encode())
    assert not plain
    assert [m.get("method") for m in messages] == [*["notifications/progress"] * 2, None]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 1_000,
        rb'{"\ud800": 1}',
        json.dumps(call()).encode("utf-16").replace(b"\n", b""),
        b"\xef\xbb\xbf" + json.dumps(call()).encode(),
        json.dumps(call(arguments={"value": float("nan")})).encode(),
        json.dumps(call(arguments={"value": float("inf")})).encode(),
        json.dumps(call(arguments={"value": "\ud800"})).encode(),
        json.dumps(call(arguments={"value": "text"})).encode().replace(b"text", b"\xff"),
        json.dumps(call()).replace("{}", '{"value": 1e999}', 1).encode(),
        json.dumps(call()).replace("{}", '{"value": ' + "[" * 101 + "]" * 101 + "}", 1).encode(),
        json.dumps(call()).replace("{}", '{"value": ' + "1" * 5_000 + "}", 1).encode(),
    ],
    ids=lambda line: repr(line[:40]),
)
def test_so_it_does_of_what_is_no_json_or_too_much(both: Both, line: bytes) -> None:
    assert not both.compare(line)[1]


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
    (reply,), plain = both.compare(text.replace(once, twice, 1).encode())
    assert (reply["id"], reply["error"]["code"], plain) == (1, -32700, False)
    assert "duplicate key" in reply["error"]["message"]


def test_what_comes_twice_in_a_notification_is_dropped(both: Both) -> None:
    line = b'{"jsonrpc": "2.0", "method": "notifications/initialized", "params": {"a":1,"a":2}}'
    assert both.compare(line) == ([], False)


def test_a_line_that_is_too_long_is_refused(both: Both) -> None:
    (reply,), _ = both.compare(json.dumps(call(arguments={"text": "x" * MAX_LINE})).encode())
    assert (reply["id"], reply["error"]["code"]) == (None, -32600)


def test_once_somebody_observes_the_sdk_all_calls_are_its(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    if latest_version() < MODERN:
        pytest.skip("SDK 1 tells nobody")
    from opentelemetry import trace

    monkeypatch.setattr(trace, "get_tracer_provider", object)
    assert not both.compare(json.dumps(both.enveloped(call())).encode())[1]


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
    meta=st.dictionaries(st.sampled_from(["progressToken", "a/b", *ENVELOPE]), values),
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
