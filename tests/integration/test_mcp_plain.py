"""Plain calls of tools are answered without the SDK: it would have answered the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaizen_nexus import Nexus, deploy_multi_channel
from kaizen_nexus.channels.mcp.client import latest_version
from kaizen_nexus.runtime.errors import WorkflowNotFoundError
from tests.integration.endpoint import MAX_BODY, Served, echo

VERSION = "2026-07-28"
KEY = "io.modelcontextprotocol/"

pytestmark = pytest.mark.skipif(
    latest_version() < VERSION, reason="SDK 1 speaks no protocol without handshakes"
)

HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": VERSION,
    "Mcp-Method": "tools/call",
    "Mcp-Name": "echo",
}
ENVELOPE = {f"{KEY}protocolVersion": VERSION, f"{KEY}clientCapabilities": {}}
CLIENT = {"name": "test", "version": "1"}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


def call(name: Any = "echo", arguments: Any = None, **members: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": {} if arguments is None else arguments, "_meta": ENVELOPE}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params} | members


def with_meta(**members: Any) -> dict[str, Any]:
    params = {"name": "echo", "_meta": {**ENVELOPE, **members}}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def compare(
    served: Served, body: bytes, headers: list[tuple[str, str]] | None = None, chunks: int = 1
) -> tuple[Any, bool]:
    return served.compare(body, headers or list(HEADERS.items()), chunks)


@pytest.mark.parametrize(
    "message",
    [
        call(),
        call(arguments={"value": {"a": [1, 2.5, None, True, "ü\U0001f600"]}, "number": 3}),
        call(arguments={"number": 2**70}),
        call(id="one"),
        call(id=""),
        call(id=2**70),
        call(arguments={"session_id": "new"}),
        call(arguments={"session_id": "nowhere"}),
        call(arguments={"session_id": 3}),
        call(arguments={"number": "three"}),
        call(arguments={"unknown": 1}),
        with_meta(),
        with_meta(**{f"{KEY}clientInfo": CLIENT}),
        with_meta(**{f"{KEY}clientInfo": None}),
        with_meta(**{f"{KEY}clientCapabilities": {"elicitation": {}, "roots": {"x": 1}}}),
        {**call(), "params": {"name": "echo", "arguments": None, "_meta": ENVELOPE}},
    ],
    ids=lambda value: repr(value)[-60:],
)
def test_a_plain_call_gets_the_answer_of_the_sdk(served: Served, message: dict[str, Any]) -> None:
    (status, _, content), plain = compare(served, json.dumps(message).encode())
    assert plain
    assert status == 200
    assert content["id"] == message["id"]


def test_an_agent_that_fails_is_told_of_in_the_same_words(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    headers = list({**HEADERS, "Mcp-Name": "fail"}.items())
    (_, _, content), plain = compare(served, json.dumps(call("fail")).encode(), headers)
    assert plain
    assert content["result"]["isError"] is True


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
        call(params={"name": "echo"}),
        {key: value for key, value in call().items() if key != "id"},
        [call()],
        [],
        "text",
        None,
        with_meta(progressToken="p"),
        with_meta(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        with_meta(**{f"{KEY}clientInfo": "me"}),
        with_meta(**{f"{KEY}clientCapabilities": None}),
        with_meta(**{f"{KEY}clientCapabilities": {"roots": 3}}),
        with_meta(**{f"{KEY}protocolVersion": "2025-06-18"}),
        with_meta(**{f"{KEY}protocolVersion": None}),
        with_meta(**{f"{KEY}logLevel": "debug"}),
        {**call(), "params": {**call()["params"], "inputResponses": {}}},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
    ],
    ids=lambda value: repr(value)[-60:],
)
def test_of_anything_else_the_sdk_decides(served: Served, message: Any) -> None:
    _, plain = compare(served, json.dumps(message).encode())
    assert not plain


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        json.dumps(call()).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps(call()).encode(),
        json.dumps(call(arguments={"value": float("nan")})).encode(),
        json.dumps(call(arguments={"value": float("inf")})).encode(),
        json.dumps(call(arguments={"value": "\ud800"})).encode(),
        json.dumps(call(arguments={"\udfff": 1})).encode(),
        json.dumps(call()).replace("{}", '{"value": 1e999}', 1).encode(),
        json.dumps(call()).replace("{}", '{"value": ' + "[" * 101 + "]" * 101 + "}", 1).encode(),
        json.dumps(call()).replace("{}", '{"value": ' + "1" * 5_000 + "}", 1).encode(),
        json.dumps(call(arguments={"value": "x" * MAX_BODY})).encode(),
    ],
    ids=lambda body: repr(body[:40]),
)
def test_so_it_does_of_what_is_no_json_or_too_much(served: Served, body: bytes) -> None:
    _, plain = compare(served, body)
    assert not plain


@pytest.mark.parametrize(
    "text",
    [
        '{"text": "a", "number": -0, "value": 1E5}',
        '{"value": "\\ud83d\\ude00\\/\\u0000"}',
        ' { "value" : [ ] } ',
    ],
)
def test_json_that_can_be_written_in_other_ways_is_read_as_the_sdk_reads_it(
    served: Served, text: str
) -> None:
    _, plain = compare(served, json.dumps(call()).replace("{}", text, 1).encode())
    assert plain


@pytest.mark.parametrize(
    ("once", "twice"),
    [
        (b'"method"', b'"id": 2, "method"'),
        (b'"name": "echo"', b'"name": "fail", "name": "echo"'),
        (b'"_meta": {', b'"_meta": {}, "_meta": {'),
        (b'"arguments": {', b'"arguments": {"value": 1, "value": 2, '),
    ],
)
def test_members_that_come_twice_are_refused(served: Served, once: bytes, twice: bytes) -> None:
    body = json.dumps(call(arguments={"number": 3})).encode()
    assert once in body
    (status, _, content), plain = compare(served, body.replace(once, twice, 1))
    assert (status, plain) == (400, False)
    assert b"duplicate key" in content


def changed(**headers: str | None) -> list[tuple[str, str]]:
    names = {name.lower().replace("-", "_"): name for name in HEADERS}
    merged = {**HEADERS, **{names.get(name, name): value for name, value in headers.items()}}
    return [(name, value) for name, value in merged.items() if value is not None]


@pytest.mark.parametrize(
    ("headers", "plain"),
    [
        (changed(accept="*/*"), True),
        (changed(accept="application/json"), True),
        (changed(accept=None), False),
        (changed(accept="text/html"), False),
        (changed(accept="text/event-stream"), False),
        (changed(accept="application/*;q=0.5"), False),
        (changed(content_type=None), False),
        (changed(content_type="text/plain"), False),
        (changed(content_type="application/jsonp"), False),
        (changed(content_type="application/json; charset=utf-8"), True),
        (changed(mcp_protocol_version=None), False),
        (changed(mcp_protocol_version="2025-06-18"), False),
        (changed(mcp_protocol_version="2099-01-01"), False),
        (changed(mcp_method=None), False),
        (changed(mcp_method="tools/list"), False),
        (changed(mcp_name=None), False),
        (changed(mcp_name="fail"), False),
        (changed(mcp_name="=?base64?ZWNobw==?="), False),
        ([*changed(), ("Mcp-Name", "echo")], False),
        ([*changed(), ("Mcp-Param-Value", "1")], True),
        ([*changed(), ("X-Other", "1")], True),
    ],
    ids=lambda value: repr(value)[-60:],
)
def test_headers_that_differ_from_the_body_are_refused_by_the_sdk(
    served: Served, headers: list[tuple[str, str]], plain: bool
) -> None:
    assert compare(served, json.dumps(call()).encode(), headers)[1] is plain


def test_arguments_that_belong_into_headers_are_left_to_the_sdk(served: Served) -> None:
    headers = [*changed(mcp_name="mirror"), ("Mcp-Param-Region", "north")]
    body = json.dumps(call("mirror", {"region": "north"})).encode()
    (status, _, _), plain = compare(served, body, headers)
    assert (status, plain) == (200, False)
    (status, _, _), plain = compare(served, body.replace(b"north", b"south"), headers)
    assert (status, plain) == (400, False)


def test_a_body_in_pieces_is_whole_for_the_sdk(served: Served) -> None:
    (status, _, _), plain = compare(served, json.dumps(call()).encode(), chunks=3)
    assert (status, plain) == (200, False)


def test_a_tool_that_goes_while_it_is_called_is_unknown(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def execute(_: object) -> None:
        raise WorkflowNotFoundError("echo", "mcp")

    monkeypatch.setattr(served.runtime, "execute", execute)
    (status, _, content), plain = compare(served, json.dumps(call()).encode())
    assert (status, content["error"]["code"], plain) == (400, -32602, True)


def test_an_error_of_ours_is_told_without_its_text(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def execute(_: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(served.runtime, "execute", execute)
    (status, _, content), plain = compare(served, json.dumps(call()).encode())
    assert (status, content["error"]["code"], plain) == (200, -32603, True)


def test_once_somebody_observes_the_sdk_all_calls_are_its(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opentelemetry import trace

    monkeypatch.setattr(trace, "get_tracer_provider", object)
    assert not compare(served, json.dumps(call()).encode())[1]


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
    meta=maybe(st.just(ENVELOPE), st.dictionaries(st.sampled_from(list(ENVELOPE)), values)),
    extra=maybe(st.just({}), st.dictionaries(st.sampled_from(["jsonrpc", "more"]), values)),
    cut=maybe(st.just(0), st.integers(0, 3)),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_sent_the_answers_are_the_same(
    served: Served, name: Any, arguments: Any, number: Any, meta: Any, extra: Any, cut: int
) -> None:
    params = {"name": name, "arguments": arguments, "_meta": meta}
    message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params} | extra
    body = json.dumps(message).encode()
    compare(served, body[: len(body) - cut])


def test_the_app_answers_them_ahead_of_the_router(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Nexus(api_port=0)
    deploy_multi_channel(echo, app, "echo")
    app.start(blocking=False)
    try:
        sdk = sys.modules["mcp.server.streamable_http_manager"]
        monkeypatch.setattr(sdk, "handle_modern_request", None)
        reply = httpx2.post(
            f"{app.url}/mcp", headers=HEADERS, json=call(arguments={"text": "hi"}), timeout=30
        )
    finally:
        app.close()
    assert reply.status_code == 200
    assert reply.json()["result"]["structuredContent"]["result"] == [None, "hi", 0]
