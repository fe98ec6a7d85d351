from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from kaizen_nexus import (
    BaseAgent,
    Nexus,
    NexusSessionManager,
    deploy_as_api,
    deploy_as_mcp,
    deploy_multi_channel,
    deploy_with_sessions,
)
from kaizen_nexus.access.callers import Caller
from kaizen_nexus.http.server.serving import PortInUseError

EXECUTE = "/api/workflows/{}/execute"


def problem(response: httpx2.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["title"]
    return document


@pytest.mark.parametrize("body", [{"query": "hi"}, {"inputs": {"query": "hi"}}])
def test_the_body_is_the_inputs_or_has_them(http: httpx2.Client, body: dict[str, Any]) -> None:
    response = http.post(EXECUTE.format("echo"), json=body)
    assert response.status_code == 200
    answer = response.json()
    assert set(answer) == {"status", "result", "session_id", "duration_ms"}
    assert (answer["status"], answer["result"]) == ("success", {"answer": "hi"})
    assert answer["session_id"] is None
    assert 0 < answer["duration_ms"] < 5_000


def test_an_async_agent_answers(http: httpx2.Client) -> None:
    assert http.post(EXECUTE.format("echo_later"), json={"query": "x"}).json()["result"] == "x"


def test_an_input_called_inputs_is_taken_literally(app: Nexus, http: httpx2.Client) -> None:
    def count(inputs: dict[str, int]) -> int:
        return sum(inputs.values())

    deploy_multi_channel(count, app, "count")
    answer = http.post(EXECUTE.format("count"), json={"inputs": {"a": 1, "b": 2}})
    assert answer.json()["result"] == 3


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"{", "malformed JSON"),
        (b'{"query": NaN}', "NaN is not JSON"),
        (b'{"query": "a", "query": "b"}', "duplicate key 'query'"),
        (b'{"query": "\\ud800"}', "surrogate"),
        (b"[1]", "must be a JSON object, not an array"),
        (b'"text"', "must be a JSON object, not a string"),
        (b"[" * 50_000, "nested"),
        (b"\xff", "UTF-8"),
    ],
)
def test_what_is_not_clear_json_is_400(http: httpx2.Client, content: bytes, detail: str) -> None:
    assert detail in problem(http.post(EXECUTE.format("echo"), content=content), 400)["detail"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({}, "#/query"), ({"query": 1}, "#/query"), ({"query": "a", "other": 1}, "#/other")],
)
def test_wrong_inputs_are_422_and_named(
    http: httpx2.Client, body: dict[str, Any], pointer: str
) -> None:
    document = problem(http.post(EXECUTE.format("echo"), json=body), 422)
    assert [error["pointer"] for error in document["errors"]] == [pointer]


def test_an_empty_body_has_no_inputs(http: httpx2.Client) -> None:
    assert problem(http.post(EXECUTE.format("echo")), 422)["errors"][0]["pointer"] == "#/query"


def test_what_does_not_exist_is_404(http: httpx2.Client) -> None:
    document = problem(http.post(EXECUTE.format("missing"), json={}), 404)
    assert "no workflow named 'missing'" in document["detail"]
    problem(http.get("/api/workflows/missing"), 404)
    problem(http.get("/elsewhere"), 404)
    problem(http.post("/elsewhere/echo/execute", json={"query": "x"}), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", EXECUTE.format("echo"), "POST"),
        ("DELETE", "/api/workflows", "GET"),
        ("PUT", "/api/sessions/x", "PATCH"),
    ],
)
def test_a_wrong_method_is_405(http: httpx2.Client, method: str, path: str, allowed: str) -> None:
    response = http.request(method, path)
    problem(response, 405)
    assert allowed in response.headers["allow"]


@pytest.mark.parametrize("name", ["fail", "leave", "confuse"])
def test_a_failing_agent_is_500_without_its_secrets_and_harms_nothing(
    http: httpx2.Client, name: str
) -> None:
    response = http.post(EXECUTE.format(name), json={"query": "x"})
    problem(response, 500)
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    assert http.post(EXECUTE.format("echo"), json={"query": "x"}).status_code == 200


def test_a_body_over_the_limit_is_413_while_it_arrives(app: Nexus) -> None:
    with socket.create_connection(("127.0.0.1", app.api_port), timeout=10) as connection:
        connection.sendall(
            b"POST /api/workflows/echo/execute HTTP/1.1\r\nHost: localhost\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        received = b""
        for _ in range(1024 * 1024 // 0x10000 + 1):
            connection.sendall(chunk)
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
    assert received.startswith(b"HTTP/1.1 413")


def test_a_body_that_is_declared_too_long_is_413_before_it_arrives(app: Nexus) -> None:
    with socket.create_connection(("127.0.0.1", app.api_port), timeout=10) as connection:
        connection.sendall(
            b"POST /api/workflows/echo/execute HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 99999999\r\n\r\n"
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")


def test_workflows_are_listed_and_described(http: httpx2.Client) -> None:
    listed = {entry["name"]: entry for entry in http.get("/api/workflows").json()["workflows"]}
    assert listed["echo"] == {
        "name": "echo",
        "description": "Repeat the query.",
        "version": 1,
        "channels": ["api", "cli", "mcp"],
        "circuit": "closed",
        "execute": EXECUTE.format("echo"),
        "streaming": False,
        "stream": "/api/workflows/echo/stream",
    }
    described = http.get("/api/workflows/echo").json()
    assert described["input_schema"]["required"] == ["query"]
    assert described["output_schema"]["additionalProperties"] == {"type": "string"}


def test_a_session_lives_through_create_read_patch_delete(http: httpx2.Client) -> None:
    created = http.post("/api/sessions", json={"user_id": "ada", "state": {"a": 1}})
    assert created.status_code == 201
    path = created.headers["location"]
    session = created.json()
    assert path == f"/api/sessions/{session['session_id']}"
    assert (session["user_id"], session["state"]) == ("ada", {"a": 1})
    assert http.patch(path, json={"b": 2}).json()["state"] == {"a": 1, "b": 2}
    assert http.patch(path, json={"state": {"a": 3}}).json()["state"] == {"a": 3, "b": 2}
    shown = http.get(path).json()
    assert shown["state"] == {"a": 3, "b": 2}
    assert set(shown["channel_activity"]) == {"api"}
    assert http.delete(path).status_code == 204
    for response in (http.get(path), http.patch(path, json={}), http.delete(path)):
        problem(response, 404)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"user_id": " "}, "#/user_id"),
        ({"user_id": 7}, "#/user_id"),
        ({"ttl_seconds": -1}, "#/ttl_seconds"),
        ({"ttl_seconds": True}, "#/ttl_seconds"),
        ({"ttl_seconds": 1e300}, "#/ttl_seconds"),
        ({"state": []}, "#/state"),
        ({"session_id": "mine"}, "#/session_id"),
    ],
)
def test_a_bad_session_is_422(http: httpx2.Client, body: dict[str, Any], pointer: str) -> None:
    document = problem(http.post("/api/sessions", json=body), 422)
    assert document["errors"][0]["pointer"] == pointer


def test_a_conversation_continues_in_its_session(http: httpx2.Client) -> None:
    first = http.post(
        EXECUTE.format("remember"), json={"fact": "a"}, headers={"X-Session-ID": "new"}
    )
    session_id = first.json()["session_id"]
    assert first.headers["x-session-id"] == session_id
    second = http.post(
        EXECUTE.format("remember"), json={"fact": "b"}, headers={"X-Session-ID": session_id}
    )
    assert second.json()["result"] == ["a", "b"]
    assert http.post(EXECUTE.format("remember"), json={"fact": "c"}).json()["result"] == ["c"]


def test_an_unknown_session_is_404_and_never_adopted(app: Nexus, http: httpx2.Client) -> None:
    response = http.post(
        EXECUTE.format("echo"), json={"query": "x"}, headers={"X-Session-ID": "chosen-by-me"}
    )
    assert "chosen-by-me" not in json.dumps(problem(response, 404))
    assert "chosen-by-me" not in app.session_manager.sessions


def test_executions_are_recorded_under_their_channel(app: Nexus, http: httpx2.Client) -> None:
    for body in ({"query": "a"}, {"query": 1}):
        http.post(EXECUTE.format("echo"), json=body)
    http.post(EXECUTE.format("fail"), json={"query": "a"})
    summary = app.metrics.get_summary()
    assert summary["api"]["count"] == 3
    assert summary["api"]["failures"] == 2
    assert summary["deployment"]["count"] == 6
    assert http.get("/metrics.json").json()["operations"]["api"]["count"] == 3


def test_health_openapi_and_docs_answer(app: Nexus, http: httpx2.Client) -> None:
    assert http.get("/health/live").json() == {"status": "alive"}
    ready = http.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "healthy")
    assert ready.json()["workflows"] == app.health_check()["workflows"] == 6
    document = http.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    assert EXECUTE.format("echo") in document["paths"]
    page = http.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "openapi.json" in page.text


def test_every_reference_in_openapi_resolves(http: httpx2.Client) -> None:
    document = http.get("/openapi.json").json()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                name = node["$ref"].removeprefix("#/components/schemas/")
                assert name in document["components"]["schemas"], node["$ref"]
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)


def test_a_prefix_of_its_own_answers_exactly_there(app: Nexus, http: httpx2.Client) -> None:
    path = deploy_as_api(lambda query: query, app, "custom", prefix="/v2/agents")
    assert path == "/v2/agents/custom/execute"
    assert http.post(path, json={"query": "x"}).json()["result"] == "x"
    problem(http.get(path), 405)
    problem(http.post("/v3/agents/custom/execute", json={"query": "x"}), 404)


def test_redeploying_never_shows_a_gap(app: Nexus, http: httpx2.Client) -> None:
    stop = threading.Event()

    def redeploy() -> int:
        version = 0
        while not stop.is_set():
            version += 1
            deploy_multi_channel(
                lambda query, v=version: {"v": v}, app, "changing", use_cache=False
            )
        return version

    deploy_multi_channel(lambda query: {"v": 0}, app, "changing")
    with ThreadPoolExecutor(1) as pool:
        deployer = pool.submit(redeploy)
        answers = [http.post(EXECUTE.format("changing"), json={"query": "x"}) for _ in range(200)]
        stop.set()
        assert deployer.result(10) > 1
    assert {answer.status_code for answer in answers} == {200}
    versions = [answer.json()["result"]["v"] for answer in answers]
    assert versions == sorted(versions)


def test_a_running_request_finishes_on_the_workflow_it_started_with(
    app: Nexus, http: httpx2.Client
) -> None:
    entered, release = threading.Event(), threading.Event()

    def old(query: str) -> str:
        entered.set()
        assert release.wait(10)
        return "old"

    deploy_multi_channel(old, app, "turn")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(http.post, EXECUTE.format("turn"), json={"query": "x"})
        assert entered.wait(10)
        deploy_multi_channel(lambda query: "new", app, "turn")
        assert http.post(EXECUTE.format("turn"), json={"query": "x"}).json()["result"] == "new"
        assert app.deregister("turn")
        problem(http.post(EXECUTE.format("turn"), json={"query": "x"}), 404)
        release.set()
        assert running.result(10).json()["result"] == "old"


def test_an_overloaded_app_answers_503() -> None:
    release = threading.Event()
    app = Nexus(api_port=0, max_threads=1, max_pending=2)

    def wait(query: str) -> str:
        assert release.wait(20)
        return query

    deploy_multi_channel(wait, app, "wait")
    app.start(blocking=False)
    try:
        with httpx2.Client(base_url=app.url, timeout=20) as http, ThreadPoolExecutor(2) as pool:
            running = [
                pool.submit(http.post, EXECUTE.format("wait"), json={"query": "x"})
                for _ in range(2)
            ]
            while app.health_check()["executions_in_progress"] < 2:
                threading.Event().wait(0.005)
            refused = http.post(EXECUTE.format("wait"), json={"query": "x"})
            problem(refused, 503)
            assert refused.headers["retry-after"] == "1"
            release.set()
            assert {r.result(20).status_code for r in running} == {200}
    finally:
        release.set()
        app.close()


def test_deploying_with_sessions_gives_every_request_one(app: Nexus, http: httpx2.Client) -> None:
    manager = NexusSessionManager(cleanup_interval=None, session_ttl=60)
    deploy_with_sessions(lambda query: query, app, "attached", session_manager=manager)
    session_id = http.post(EXECUTE.format("attached"), json={"query": "x"}).json()["session_id"]
    session = manager.get_session(session_id)
    assert session is not None
    assert set(session.channel_activity) == {"api"}
    with pytest.raises(ValueError, match="already keeps its sessions"):
        deploy_with_sessions(lambda query: query, app, "again", NexusSessionManager())


def test_a_port_in_use_is_named(app: Nexus) -> None:
    with pytest.raises(PortInUseError, match=f"port {app.api_port} .* in use.*api_port="):
        Nexus(api_port=app.api_port).start(blocking=False)
    with pytest.raises(PortInUseError, match="mcp_port="):
        Nexus(api_port=0, mcp_port=app.api_port).start(blocking=False)


def test_an_app_starts_and_stops_again_and_again() -> None:
    app = Nexus(api_port=0)
    deploy_multi_channel(lambda query: query, app, "echo")
    for _ in range(3):
        app.start(blocking=False)
        with pytest.raises(RuntimeError, match="already serving"):
            app.start(blocking=False)
        assert httpx2.get(f"{app.url}/health/ready").status_code == 200
        app.stop()
        app.stop()
        assert app.health_check()["status"] == "stopped"
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(f"{app.url}/health/live")
    app.close()


def test_both_ports_answer() -> None:
    app = Nexus(api_port=0, mcp_port=0)
    app.start(blocking=False)
    try:
        assert app.mcp_port
        assert app.mcp_port != app.api_port
        for port in (app.api_port, app.mcp_port):
            assert httpx2.get(f"http://127.0.0.1:{port}/health/live").status_code == 200
    finally:
        app.close()


class Unbuildable(BaseAgent):
    pass


@pytest.mark.parametrize(
    ("agent", "name", "error"),
    [
        (None, "it", ValueError),
        (Unbuildable(), "it", TypeError),
        (object(), "it", TypeError),
        (lambda query: query, "", ValueError),
        (lambda query: query, "a/b", ValueError),
        (lambda query: query, "..", ValueError),
        (lambda query: query, "a b", ValueError),
        (lambda query: query, "x" * 129, ValueError),
        (lambda query: query, None, TypeError),
    ],
)
def test_bad_deployments_raise_and_register_nothing(
    agent: Any, name: Any, error: type[Exception]
) -> None:
    app = Nexus()
    with pytest.raises(error):
        deploy_multi_channel(agent, app, name)
    assert app.health_check()["workflows"] == 0


def test_bad_apps_raise() -> None:
    with pytest.raises(ValueError, match="nexus_app is None"):
        deploy_multi_channel(lambda query: query, None, "it")
    with pytest.raises(TypeError, match="no register"):
        deploy_as_mcp(lambda query: query, object(), "it")


def test_an_app_mounted_in_another_answers_without_a_lifespan() -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.testclient import TestClient

    app = Nexus()
    deploy_multi_channel(lambda query: query, app, "echo")
    client = TestClient(Starlette(routes=[Mount("/ai", app)]))
    answer = client.post("/ai" + EXECUTE.format("echo"), json={"query": "x"})
    assert answer.json()["result"] == "x"
    assert client.get("/ai/openapi.json").json()["servers"] == [{"url": "/ai"}]
    assert client.get("/ai/health/ready").status_code == 200
    app.close()


def test_what_is_deregistered_while_the_list_is_made_is_in_it_or_not(
    app: Nexus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other threads may deregister at any moment, here while it is asked who may see what."""
    access = app.runtime.access

    def allows(caller: Caller, name: str) -> bool:
        app.deregister(name)
        return True

    monkeypatch.setattr(access, "allows", allows)
    names = app.runtime.registry.names()
    with httpx2.Client(base_url=app.url, timeout=10) as http:
        answer = http.get("/api/workflows")
    assert answer.status_code == 200
    assert [workflow["name"] for workflow in answer.json()["workflows"]] == names
    assert app.runtime.registry.names() == []
