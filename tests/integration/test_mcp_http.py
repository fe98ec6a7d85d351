"""Over HTTP, the server answers as the SDK's own does, and its lane as it does itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaizen_nexus import Nexus, deploy_multi_channel
from kaizen_nexus.runtime.invocation import Invocation
from tests.integration.mcp_sdk import latest_version

HANDSHAKE, MODERN = "2025-11-25", "2026-07-28"
if latest_version() < MODERN:
    pytest.skip("SDK 1 has no server to compare with", allow_module_level=True)

from tests.integration.endpoint import MAX_BODY, Served, echo  # noqa: E402

KEY = "io.modelcontextprotocol/"
ENVELOPE = {f"{KEY}protocolVersion": MODERN, f"{KEY}clientCapabilities": {}}
CLIENT = {"name": "test", "version": "1"}
INITIALIZE = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": CLIENT}
TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


@pytest.fixture(params=[HANDSHAKE, MODERN])
def version(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


def call(name: Any = "echo", arguments: Any = None, **members: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": {} if arguments is None else arguments}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params} | members


def in_version(version: str, message: Any, **meta: Any) -> Any:
    """Return a message with the envelope that requests of the version have."""
    envelope = {**(ENVELOPE if version == MODERN else {}), **meta}
    if not envelope or not isinstance(message, dict):
        return message
    params = message.get("params", {})
    if not isinstance(params, dict) or "id" not in message or "method" not in message:
        return message
    return {**message, "params": {**params, "_meta": envelope}}


def headers_of(version: str, message: Any = None, **changed: str | None) -> list[tuple[str, str]]:
    headers: dict[str, str | None] = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": version,
    }
    if version == MODERN and isinstance(message, dict):
        method, params = message.get("method"), message.get("params")
        headers["mcp-method"] = method if isinstance(method, str) else None
        name = params.get("name") if isinstance(params, dict) else None
        if isinstance(name, str) and name.isascii() and name.isprintable() and name.strip() == name:
            headers["mcp-name"] = name
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    return [(name, value) for name, value in headers.items() if value is not None]


def compare(
    served: Served, version: str, message: Any, meta: Any = None, **changed: str | None
) -> tuple[Any, bool]:
    message = in_version(version, message, **(meta or {}))
    return served.compare(json.dumps(message).encode(), headers_of(version, message, **changed))


@pytest.mark.parametrize(
    "message",
    [
        call(),
        call(arguments={"value": {"a": [1, 2.5, None, True, "ü\U0001f600"]}, "number": 3}),
        call(arguments={"number": 2**70, "text": "a: {b}"}),
        call(id="one"),
        call(id=""),
        call(id=2**70),
        call("fail"),
        call("stream", {"text": "ab"}),
        call(arguments={"session_id": "new"}),
        call(arguments={"session_id": "nowhere"}),
        call(arguments={"number": "three"}),
        call(arguments={"unknown": 1}),
        call(params={"name": "echo"}),
        call(params={"name": "echo", "arguments": None}),
        call(extra=1),
        {**call(), "params": {**call()["params"], "task": {}, "more": 1}},
    ],
    ids=lambda value: repr(value)[-60:],
)
def test_a_plain_call_is_answered_in_the_lane(served: Served, version: str, message: Any) -> None:
    (status, _, content), in_lane = compare(served, version, message)
    assert in_lane
    assert (status, content["id"]) == (200, message["id"])


@pytest.mark.parametrize(
    "message",
    [
        call("nobody"),
        call(arguments={"session_id": 3}),
        call(name=3),
        call(arguments=[1]),
        call(params=None),
        call(params={}),
        call(method="tools/list", params={}),
        call(method="tools/list", params={"cursor": 3}),
        call(method="tools/list", params={"cursor": "?"}),
        call(method="nothing", params={}),
        call(method="ping", params={}),
        call(method="server/discover", params={}),
        call(method="initialize", params=INITIALIZE),
        call(method="initialize", params={**INITIALIZE, "protocolVersion": "2024-11-05"}),
        call(method="initialize", params={**INITIALIZE, "clientInfo": {}}),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "echo"}},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "none"}},
    ],
    ids=lambda value: repr(value)[-60:],
)
def test_anything_else_goes_the_general_way(served: Served, version: str, message: Any) -> None:
    assert not compare(served, version, message)[1]


@pytest.mark.parametrize("requested", ["2024-11-05", "2025-03-26", "2025-06-18", HANDSHAKE])
def test_each_version_with_a_handshake_is_served(served: Served, requested: str) -> None:
    assert compare(served, requested, call())[1]


@pytest.mark.parametrize(
    ("meta", "in_lane"),
    [
        ({}, True),
        ({"progressToken": 1, "vendor.org/key": [{}]}, True),
        ({"progressToken": "p"}, True),
        ({"progressToken": None}, False),
        ({"progressToken": [1]}, False),
        (TRACE, True),
        ({f"{KEY}clientInfo": CLIENT}, True),
        ({f"{KEY}clientInfo": None}, True),
    ],
    ids=lambda value: repr(value)[-60:],
)
def test_what_a_client_says_of_itself(
    served: Served, version: str, meta: dict[str, Any], in_lane: bool
) -> None:
    assert compare(served, version, call(), meta)[1] is in_lane


@pytest.mark.parametrize(
    ("meta", "code"),
    [
        ({f"{KEY}clientCapabilities": {"elicitation": {}, "roots": {"x": 1}}}, None),
        ({f"{KEY}clientCapabilities": {"roots": 3}}, -32602),
        ({f"{KEY}clientCapabilities": None}, -32602),
        ({f"{KEY}clientInfo": "me"}, -32602),
        ({f"{KEY}logLevel": "debug"}, None),
        ({f"{KEY}logLevel": "loud"}, -32602),
        ({f"{KEY}protocolVersion": HANDSHAKE}, -32020),
        ({f"{KEY}protocolVersion": None}, -32020),
    ],
    ids=lambda value: repr(value)[-60:],
)
def test_an_envelope_is_checked(served: Served, meta: dict[str, Any], code: int | None) -> None:
    (status, _, content), in_lane = compare(served, MODERN, call(), meta)
    assert in_lane is (code is None)
    assert (status, content.get("error", {}).get("code")) == (400 if code else 200, code)


def test_a_request_without_an_envelope_is_refused(served: Served) -> None:
    body, headers = json.dumps(call()).encode(), headers_of(MODERN, call())
    (status, _, content), _ = served.compare(body, headers)
    assert (status, content["error"]["code"]) == (400, -32602)


@pytest.mark.parametrize(
    ("changed", "in_lane"),
    [
        ({"accept": "*/*"}, True),
        ({"accept": "application/json"}, True),
        ({"accept": None}, False),
        ({"accept": "text/html"}, False),
        ({"accept": "text/event-stream"}, False),
        ({"accept": "application/*;q=0.5"}, True),
        ({"content_type": "application/json; charset=utf-8"}, False),
        ({"mcp_session_id": "some"}, True),
        ({"x_other": "1"}, True),
    ],
    ids=repr,
)
def test_media_types_are_negotiated(
    served: Served, version: str, changed: dict[str, str | None], in_lane: bool
) -> None:
    assert compare(served, version, call(), **changed)[1] is in_lane


@pytest.mark.parametrize("kind", [None, "text/plain", "application/jsonp"])
def test_other_content_types_are_refused(served: Served, version: str, kind: str | None) -> None:
    headers = headers_of(version, call(), content_type=kind)
    answer = served.loop.run_until_complete(
        served._ask(served.app, b"{}", [(n.encode(), v.encode()) for n, v in headers], 1)
    )
    assert answer[0] == 415


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"mcp_protocol_version": None}, None),
        ({"mcp_protocol_version": "2025-06-18"}, None),
        ({"mcp_protocol_version": "2099-01-01"}, -32020),
        ({"mcp_protocol_version": "é"}, -32020),
        ({"mcp_method": None}, -32020),
        ({"mcp_method": "tools/list"}, -32020),
        ({"mcp_name": None}, -32020),
        ({"mcp_name": "fail"}, -32020),
        ({"mcp_name": "=?base64?ZWNobw==?="}, None),
        ({"mcp_name": "=?base64?ZWNobx==?="}, -32020),
        ({"mcp_name": "=?base64?ZWNobw?="}, -32020),
        ({"mcp_param_value": "1"}, None),
    ],
    ids=repr,
)
def test_headers_repeat_the_body(
    served: Served, changed: dict[str, str | None], code: int | None
) -> None:
    (status, _, content), in_lane = compare(served, MODERN, call(), **changed)
    assert in_lane is (code is None)
    assert (status, content.get("error", {}).get("code")) == (400 if code else 200, code)


@pytest.mark.parametrize("name", ["mcp-method", "mcp-name", "mcp-protocol-version"])
def test_a_header_that_comes_twice_is_refused(served: Served, name: str) -> None:
    headers = headers_of(MODERN, call())
    (value,) = (value for key, value in headers if key == name)
    body = json.dumps(in_version(MODERN, call())).encode()
    (status, _, content), _ = served.compare(body, [*headers, (name, value)])
    assert (status, content["error"]["code"]) == (400, -32020)


@pytest.mark.parametrize("method", ["tools/call", "subscriptions/listen", "notifications/x"])
def test_a_version_that_is_not_known_is_refused(served: Served, method: str) -> None:
    message = call(method=method, params={"name": "echo", "notifications": {}})
    message = in_version(MODERN, message, **{f"{KEY}protocolVersion": "2099-01-01"})
    if method.startswith("notifications"):
        del message["id"]
    headers = headers_of(MODERN, message, mcp_protocol_version="2099-01-01")
    (status, _, content), _ = served.compare(json.dumps(message).encode(), headers)
    assert (status, content["error"]["code"]) == (400, -32022)
    assert content["error"]["data"] == {"supported": [MODERN], "requested": "2099-01-01"}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (["north"], 200),
        (["=?base64?bm9ydGg=?="], 200),
        (["south"], 400),
        ([], 400),
        (["north"] * 2, 400),
    ],
    ids=repr,
)
def test_headers_repeat_the_arguments_that_a_schema_names(
    served: Served, sent: list[str], status: int
) -> None:
    message = in_version(MODERN, call("mirror", {"region": "north"}))
    headers = headers_of(MODERN, message) + [("mcp-param-region", value) for value in sent]
    (answered, _, _), in_lane = served.compare(json.dumps(message).encode(), headers)
    assert (answered, in_lane) == (status, False)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        json.dumps(call()).encode("utf-16"),
        json.dumps(call(arguments={"value": float("nan")})).encode(),
        json.dumps(call(arguments={"value": "\ud800"})).encode(),
        json.dumps(call()).replace("{}", '{"value": 1e999}', 1).encode(),
        json.dumps(call()).replace("{}", '{"value": 1, "value": 2}', 1).encode(),
        json.dumps(call()).replace("{}", '{"value": ' + "[" * 101 + "]" * 101 + "}", 1).encode(),
        json.dumps(call()).replace('"method"', '"id": 2, "method"').encode(),
    ],
    ids=lambda body: repr(body[:40]),
)
def test_what_is_not_strict_json_is_refused(served: Served, version: str, body: bytes) -> None:
    (status, _, content), in_lane = served.compare(body, headers_of(version, call()))
    assert (status, content["id"], content["error"]["code"]) == (400, None, -32700)
    assert not in_lane


@pytest.mark.parametrize(
    "message",
    [
        [call()],
        [],
        "text",
        None,
        {},
        call(id=None),
        call(id=1.5),
        call(id=True),
        call(id={}),
        call(jsonrpc="1.0"),
        call(method=3),
        call(params=[1]),
        {"id": 1, "method": "ping"},
    ],
    ids=repr,
)
def test_what_is_not_one_message_is_refused(served: Served, version: str, message: Any) -> None:
    (status, _, content), in_lane = compare(served, version, message)
    assert (status, content["id"], content["error"]["code"]) == (400, None, -32600)
    assert not in_lane


def test_a_body_may_come_in_pieces_but_not_be_too_long(served: Served, version: str) -> None:
    message = in_version(version, call())
    body, headers = json.dumps(message).encode(), headers_of(version, message)
    assert served.compare(body, headers, chunks=3)[0][0] == 200
    body = json.dumps(call(arguments={"value": "x" * MAX_BODY})).encode()
    assert (
        served.loop.run_until_complete(
            served._ask(served.app, body, [(n.encode(), v.encode()) for n, v in headers], 3)
        )[0]
        == 413
    )


def test_an_unforeseen_failure_says_nothing_of_itself(
    served: Served, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(_: Invocation, __: Any = None) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(served.endpoint.server._catalogue, "publish", crash)
    message = in_version(version, call())
    headers = [(n.encode(), v.encode()) for n, v in headers_of(version, message)]
    status, _, content = served.loop.run_until_complete(
        served._ask(served.app, json.dumps(message).encode(), headers, 1)
    )
    assert (status, content["error"]["code"]) == (200, -32603)
    assert "secret" not in json.dumps(content)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
tokens = st.integers() | st.text()


@given(
    version=st.sampled_from([HANDSHAKE, MODERN]),
    name=st.just("echo") | st.sampled_from(["fail", "nobody", "", 1]),
    arguments=st.fixed_dictionaries(
        {},
        optional={
            "value": values,
            "text": values,
            "number": values,
            "session_id": st.just("new") | values,
        },
    )
    | values,
    number=st.integers() | st.text() | values,
    meta=st.fixed_dictionaries({}, optional={"progressToken": tokens, "a/b": values}),
    extra=st.just({}) | st.dictionaries(st.sampled_from(["jsonrpc", "more"]), values),
    cut=st.just(0) | st.integers(0, 3),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_sent_the_answers_are_the_same(
    served: Served,
    version: str,
    name: Any,
    arguments: Any,
    number: Any,
    meta: Any,
    extra: Any,
    cut: int,
) -> None:
    message = in_version(version, call(name, arguments, id=number, **extra), **meta)
    body = json.dumps(message).encode()
    served.compare(body[: len(body) - cut], headers_of(version, message))


def test_the_app_answers_ahead_of_the_router(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Nexus(api_port=0)
    deploy_multi_channel(echo, app, "echo")
    app.start(blocking=False)
    try:
        message = in_version(MODERN, call(arguments={"text": "hi"}))
        headers = dict(headers_of(MODERN, message))
        reply = httpx2.post(f"{app.url}/mcp", headers=headers, json=message, timeout=30)
    finally:
        app.close()
    assert reply.status_code == 200
    assert reply.json()["result"]["structuredContent"]["result"] == [None, "hi", 0]
