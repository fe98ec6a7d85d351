"""Plain calls of clients that shook hands, over HTTP, are answered as the SDK would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaizen_nexus.runtime.errors import WorkflowNotFoundError
from kaizen_nexus.runtime.invocation import Invocation
from tests.integration.endpoint import MAX_BODY, Served

VERSION = "2025-11-25"
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": VERSION,
}
KEY = "io.modelcontextprotocol/"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


def call(name: Any = "echo", arguments: Any = None, **members: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": {} if arguments is None else arguments}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params} | members


def with_meta(meta: Any, name: str = "echo") -> dict[str, Any]:
    return call(params={"name": name, "arguments": {}, "_meta": meta})


def compare(served: Served, message: Any, **headers: str | None) -> tuple[Any, bool]:
    """Return the answer, which is the same both ways, and whether it came without the SDK."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return served.compare(body, changed(**headers))


def changed(**headers: str | None) -> list[tuple[str, str]]:
    names = {name.lower().replace("-", "_"): name for name in HEADERS}
    merged = {**HEADERS, **{names.get(k, k.replace("_", "-")): v for k, v in headers.items()}}
    return [(name, value) for name, value in merged.items() if value is not None]


@pytest.mark.parametrize(
    "message",
    [
        call(),
        call(arguments={"value": {"a": [1, 2.5, None, True, "ü\U0001f600"]}, "number": 3}),
        call(id="one"),
        call(id=2**70),
        call("fail"),
        call("stream", {"text": "ab"}),
        call(arguments={"session_id": "new"}),
        call(arguments={"session_id": "nowhere"}),
        call(arguments={"number": "three"}),
        call(params={"name": "echo"}),
        call(params={"name": "echo", "arguments": None}),
        with_meta({}),
        with_meta({"progressToken": 1, "vendor.org/key": [{}]}),
    ],
    ids=lambda value: repr(value)[-60:],
)
def test_a_plain_call_gets_the_answer_of_the_sdk(served: Served, message: dict[str, Any]) -> None:
    (status, _, content), plain = compare(served, message)
    assert plain
    assert (status, content["id"]) == (200, message["id"])


@pytest.mark.parametrize(
    "message",
    [
        call("nobody"),
        call("mirror", {"region": "north"}),
        call(name=3),
        call(arguments=[1]),
        call(id=None),
        call(id=1.0),
        call(id=True),
        call(jsonrpc="1.0"),
        call(method="tools/list"),
        call(method="nothing"),
        call(extra=1),
        call(params=None),
        call(params={}),
        {key: value for key, value in call().items() if key != "id"},
        {**call(), "params": {**call()["params"], "task": {}}},
        with_meta(None),
        with_meta({"progressToken": 1}, "stream"),
        with_meta({"progressToken": True}),
        with_meta({"progressToken": None}),
        with_meta({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}),
        with_meta({f"{KEY}protocolVersion": "2026-07-28", f"{KEY}clientCapabilities": {}}),
        [call()],
        [],
        "text",
        None,
        b"",
        b"{",
        b"\xff",
        json.dumps(call()).replace("{}", '{"value": NaN}').encode(),
        json.dumps(call()).replace("{}", '{"value": "\\ud800"}').encode(),
        json.dumps(call()).replace("{}", '{"value": 1, "value": 2}').encode(),
        json.dumps(call(arguments={"value": "x" * MAX_BODY})).encode(),
    ],
    ids=lambda value: repr(value)[-60:],
)
def test_of_anything_else_the_sdk_decides(served: Served, message: Any) -> None:
    assert not compare(served, message)[1]


@pytest.mark.parametrize(
    ("headers", "plain"),
    [
        ({"mcp_protocol_version": "2025-06-18"}, True),
        ({"mcp_protocol_version": "2025-03-26"}, True),
        ({"mcp_protocol_version": "2024-11-05"}, True),
        ({"mcp_protocol_version": None}, False),
        ({"mcp_protocol_version": "2099-01-01"}, False),
        ({"mcp_protocol_version": "2026-07-28"}, False),
        ({"mcp_protocol_version": "é"}, False),
        ({"accept": "*/*"}, True),
        ({"accept": "application/json"}, True),
        ({"accept": "text/event-stream"}, False),
        ({"accept": None}, False),
        ({"content_type": "application/json; charset=utf-8"}, True),
        ({"content_type": "text/plain"}, False),
        ({"content_type": "application/jsonp"}, False),
        ({"content_type": None}, False),
        ({"mcp_method": "tools/call"}, False),
        ({"mcp_name": "fail"}, True),
        ({"mcp_session_id": "some"}, True),
    ],
    ids=repr,
)
def test_headers_decide_who_answers(
    served: Served, headers: dict[str, str | None], plain: bool
) -> None:
    assert compare(served, call(), **headers)[1] is plain


def test_a_header_that_comes_twice_is_left_to_the_sdk(served: Served) -> None:
    twice = [*changed(), ("MCP-Protocol-Version", VERSION)]
    assert not served.compare(json.dumps(call()).encode(), twice)[1]


def test_a_tool_that_goes_while_it_is_called_is_unknown(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def execute(invocation: Invocation) -> None:
        # That a client hangs up does not cancel anything in these versions.
        assert invocation.caller_gone is None
        raise WorkflowNotFoundError("echo", "mcp")

    monkeypatch.setattr(served.runtime, "execute", execute)
    (status, _, content), plain = compare(served, call())
    assert (status, content["error"]["code"], plain) == (200, -32602, True)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    name=st.sampled_from(["echo", "stream", "nobody", 1]),
    arguments=st.dictionaries(st.sampled_from(["value", "number", "session_id"]), values) | values,
    number=st.integers() | st.text() | values,
    meta=st.dictionaries(st.sampled_from(["progressToken", "a/b", "c"]), values) | values,
)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_sent_the_answers_are_the_same(
    served: Served, name: Any, arguments: Any, number: Any, meta: Any
) -> None:
    compare(served, call(params={"name": name, "arguments": arguments, "_meta": meta}, id=number))
