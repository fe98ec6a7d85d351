"""Requests to run a workflow are answered ahead of the router; through it they get the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from kaizen_nexus import Nexus, deploy_multi_channel

BODY = b'{"query": "hello"}'


async def answer(query: str, times: int = 1) -> str:
    return query * times


def fail(query: str) -> str:
    raise RuntimeError(query)


class DisasterError(Exception):
    """Nothing that the runtime knows."""


@pytest.fixture
def app() -> Iterator[Nexus]:
    app = Nexus(max_body=1_000)
    deploy_multi_channel(answer, app, "answer")
    deploy_multi_channel(fail, app, "fail")
    yield app
    app.close()


async def request(
    app: Any, path: str, chunks: list[bytes], headers: dict[str, str], method: str = "POST"
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of the answer to one request, sent in pieces."""
    incoming = [
        {"type": "http.request", "body": chunk, "more_body": number < len(chunks)}
        for number, chunk in enumerate(chunks, 1)
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [
            (name.lower().encode(), value.encode())
            for name, value in {"Host": "localhost", **headers}.items()
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    await app(scope, receive, send)
    start, *rest = sent
    fields = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], fields, b"".join(message.get("body", b"") for message in rest)


def neutral(reply: tuple[int, dict[str, str], bytes]) -> Any:
    """Return a reply without what differs from one request to the next."""
    status, headers, body = reply
    content = json.loads(body)
    if isinstance(content, dict) and content.get("session_id"):
        assert headers["x-session-id"] == content["session_id"]
        content["session_id"] = headers["x-session-id"] = "some"
    if "duration_ms" in content:
        assert content.pop("duration_ms") >= 0
    assert int(headers.pop("content-length")) == len(body)
    return status, headers, content


@pytest.mark.parametrize(
    ("name", "chunks", "headers", "status"),
    [
        ("answer", [BODY], {}, 200),
        ("answer", [BODY[:5], b"", BODY[5:]], {}, 200),
        ("answer", [b'{"inputs": {"query": "hello", "times": 2}}'], {}, 200),
        ("answer", [BODY], {"X-Session-ID": "new"}, 200),
        ("answer", [BODY], {"X-Session-ID": "nowhere"}, 404),
        ("nobody", [BODY], {}, 404),
        ("answer", [b""], {}, 422),
        ("answer", [b'{"query": 1}'], {}, 422),
        ("answer", [b'{"query": "x", "query": "y"}'], {}, 400),
        ("answer", [b"[1]"], {}, 400),
        ("answer", [b"{"], {}, 400),
        ("answer", [BODY], {"Content-Length": "1001"}, 413),
        ("answer", [b" " * 600, b" " * 600], {}, 413),
        ("fail", [BODY], {}, 500),
    ],
)
def test_both_ways_give_the_same_answer(
    app: Nexus, name: str, chunks: list[bytes], headers: dict[str, str], status: int
) -> None:
    mounted = Starlette(routes=[Mount("/here", app)])
    path = f"/api/workflows/{name}/execute"
    direct = neutral(asyncio.run(request(app, path, chunks, headers)))
    routed = neutral(asyncio.run(request(mounted, f"/here{path}", chunks, headers)))
    assert direct == routed
    assert direct[0] == status


@pytest.mark.parametrize("prefix", ["", "/here"])
def test_a_body_that_is_never_finished_is_no_request(app: Nexus, prefix: str) -> None:
    served: Any = Starlette(routes=[Mount("/here", app)]) if prefix else app
    path = f"{prefix}/api/workflows/answer/execute"
    status, _, _ = asyncio.run(request(served, path, [], {}))
    assert status == 499
    assert app.metrics.get_summary()["api"]["count"] == 0


@pytest.mark.parametrize("prefix", ["", "/here"])
def test_an_error_of_ours_is_reported_and_told_without_its_text(
    app: Nexus, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def execute(invocation: object) -> None:
        raise DisasterError("a secret")

    monkeypatch.setattr(app.runtime, "execute", execute)
    replies = []

    async def recording(scope: Any, receive: Any, send: Any) -> None:
        async def keep(message: Any) -> None:
            replies.append(message)
            await send(message)

        await served(scope, receive, keep)

    served: Any = Starlette(routes=[Mount("/here", app)]) if prefix else app
    with pytest.raises(DisasterError):
        asyncio.run(request(recording, f"{prefix}/api/workflows/answer/execute", [BODY], {}))
    assert replies[0]["status"] == 500
    assert json.loads(replies[1]["body"])["type"] == "urn:kaizen-nexus:problem:internal-error"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/workflows/answer/execute", 405),
        ("POST", "/api/workflows//execute", 404),
        ("POST", "/api/workflows/a/b/execute", 404),
        ("POST", "/api/workflows/execute", 404),
        ("POST", "/api/workflows/answer/execute/", 307),
    ],
)
def test_what_only_looks_like_such_a_request_is_not_one(
    app: Nexus, method: str, path: str, status: int
) -> None:
    assert asyncio.run(request(app, path, [BODY], {}, method))[0] == status
