"""Large calls over MCP: the SDK does not see their arguments, and nobody can tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import httpx2
import msgspec
import pytest

from kaizen_nexus import Nexus, deploy_as_mcp
from kaizen_nexus.channels.mcp.client import latest_version

VERSION = "2026-07-28"
PREFIX = "io.modelcontextprotocol/"


def measure(value: Any = None) -> int:
    return len(value)


def mirror(
    text: str,
    region: Annotated[str, msgspec.Meta(extra_json_schema={"x-mcp-header": "Region"})],
) -> str:
    return f"{len(text)} {region}"


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    app = Nexus(auto_discovery=False, api_port=0)
    for agent in (measure, mirror):
        deploy_as_mcp(agent, app, agent.__name__)
    app.start(blocking=False)
    with httpx2.Client(base_url=app.url, timeout=30) as client:
        yield client
    app.close()


def call(
    http: httpx2.Client, name: str, arguments: Any, version: str, **headers: str
) -> httpx2.Response:
    params = {"name": name, "arguments": arguments}
    if version == VERSION:
        params["_meta"] = {f"{PREFIX}protocolVersion": version, f"{PREFIX}clientCapabilities": {}}
    return http.post(
        "/mcp",
        json={"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params},
        headers={
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": version,
            **({"Mcp-Method": "tools/call", "Mcp-Name": name} if version == VERSION else {}),
            **headers,
        },
    )


@pytest.fixture(params=["2025-11-25", VERSION])
def version(request: pytest.FixtureRequest) -> str:
    if request.param > latest_version():
        pytest.skip("the MCP SDK that is installed does not speak it")
    version: str = request.param
    return version


@pytest.mark.parametrize("value", ["x" * 100_000, ["ä" * 300] * 400, {"a": {"b": "中" * 99_000}}])
def test_the_tool_gets_what_was_sent(http: httpx2.Client, version: str, value: Any) -> None:
    answer = call(http, "measure", {"value": value}, version).json()
    assert answer["id"] == 7
    assert answer["result"]["structuredContent"]["result"] == len(value)


def test_arguments_are_checked_as_ever(http: httpx2.Client, version: str) -> None:
    text = "x" * 100_000
    for name, arguments, expected in (
        ("measure", {"valu": text}, "valu"),
        ("mirror", {"text": text, "region": 1}, "region"),
        ("measure", {"value": text, "session_id": 1}, "session_id"),
    ):
        answer = call(http, name, arguments, version, **{"Mcp-Param-Region": "1"}).json()
        assert answer["result"]["isError"]
        assert expected in answer["result"]["content"][0]["text"]
    answer = call(http, "missing", {"value": text}, version).json()
    assert answer["error"]["message"] == "Unknown tool: missing"


def test_headers_still_repeat_arguments(http: httpx2.Client) -> None:
    if latest_version() < VERSION:
        pytest.skip("SDK 1 knows no such headers")
    arguments = {"text": "x" * 100_000, "region": "north"}
    answer = call(http, "mirror", arguments, VERSION, **{"Mcp-Param-Region": "north"})
    assert answer.json()["result"]["structuredContent"]["result"] == "100000 north"
    answer = call(http, "mirror", arguments, VERSION, **{"Mcp-Param-Region": "south"})
    assert answer.status_code == 400


def test_what_stands_for_arguments_is_not_believed(http: httpx2.Client, version: str) -> None:
    for token in ("guessed", ["x"]):
        answer = call(http, "measure", {"kaizen_nexus/held": token}, version).json()
        assert answer["result"]["isError"]
        assert "kaizen_nexus/held" in answer["result"]["content"][0]["text"]


def test_only_arguments_may_be_long(http: httpx2.Client, version: str) -> None:
    answer = call(http, "x" * 100_000, {}, version, **{"Mcp-Name": "x"})
    assert answer.status_code == 413
    assert answer.json()["type"] == "urn:kaizen-nexus:problem:body-too-large"
