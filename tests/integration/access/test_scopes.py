"""What the scopes of a caller allow it, on every channel."""

from __future__ import annotations

import pytest

from tests.integration.access.people import Place, User, call_mcp


def test_scopes_are_the_same_on_every_channel(place: Place, users: list[User]) -> None:
    everything, one = users[0], users[1]
    for name in ["secret", "nowhere"]:
        for method, path in [
            ("POST", f"/api/workflows/{name}/execute"),
            ("POST", f"/api/workflows/{name}/stream"),
            ("GET", f"/api/workflows/{name}"),
            ("POST", f"/any/prefix/{name}/execute"),
        ]:
            answer = place.http.request(method, path, headers=one.headers)
            assert answer.status_code == 403
            assert answer.json()["type"] == "urn:kaizen-nexus:problem:forbidden"
            challenge = answer.headers["www-authenticate"]
            assert challenge.endswith(f'error="insufficient_scope", scope="{name}"')
        said = place.http.post("/cli/run", headers=one.headers, json={"argv": [name]}).json()
        assert said["exit_code"] == 5
        assert "scope" in said["stderr"]
        result = call_mcp(place.http, one.headers, "tools/call", name=name, arguments={})
        assert result["isError"]
        assert "scope" in result["content"][0]["text"]
    assert place.http.post("/api/workflows/secret/execute", headers=everything.headers).is_success
    missing = place.http.post("/api/workflows/nowhere/execute", headers=everything.headers)
    assert missing.status_code == 404


def test_only_what_a_caller_may_run_is_shown(place: Place, users: list[User]) -> None:
    for user, names in [(users[0], ["secret", "whose"]), (users[1], ["whose"])]:
        get, headers = place.http.get, user.headers
        listed = get("/api/workflows", headers=headers).json()["workflows"]
        assert sorted(workflow["name"] for workflow in listed) == names
        paths = get("/openapi.json", headers=headers).json()["paths"]
        assert [n for n in ["secret", "whose"] if f"/api/workflows/{n}/execute" in paths] == names
        tools = call_mcp(place.http, headers, "tools/list")["tools"]
        assert [tool["name"] for tool in tools] == names
        body = {"argv": [], "complete": ""}
        completed = place.http.post("/cli/run", headers=headers, json=body).json()["stdout"]
        assert sorted(completed.split()) == names
        body = {"argv": ["secre"]}
        hint = place.http.post("/cli/run", headers=headers, json=body).json()["stderr"]
        assert ("'secret'" in hint) == ("secret" in names)


def test_the_description_of_the_api_says_what_credentials_it_takes(
    place: Place, users: list[User]
) -> None:
    document = place.http.get("/openapi.json", headers=users[1].headers).json()
    schemes = list(document["components"]["securitySchemes"])
    assert document["security"] == [{scheme: []} for scheme in schemes]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            asked = {"401", "403"} <= operation["responses"].keys()
            assert asked is not path.startswith("/health/"), (method, path)
            assert operation.get("security") == (None if asked else [])
    assert "200" not in document["paths"]["/api/sessions"]["post"]["responses"]
    assert "200" not in document["paths"]["/api/sessions/{id}"]["delete"]["responses"]


def test_what_tells_of_everything_needs_a_scope_of_its_own(place: Place) -> None:
    one, monitor = place.key_user("one", "whose"), place.key_user("monitor", "nexus:monitor")
    for path in ["/metrics.json", "/api/cache", "/api/cache/why?a=whose&b=secret"]:
        assert place.http.get(path, headers=one.headers).status_code == 403
        assert place.http.get(path, headers=monitor.headers).status_code == 200
    assert place.http.post("/api/workflows/whose/execute", headers=monitor.headers).status_code == (
        403
    )


@pytest.mark.parametrize("headers", [{}, {"MCP-Protocol-Version": "2026-07-28"}])
def test_a_tool_that_one_may_not_call_looks_like_one_that_is_not_there(
    place: Place, users: list[User], headers: dict[str, str]
) -> None:
    answers = []
    for name in ["secret", "absent"]:
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = {"name": name, "arguments": {}, **({"_meta": meta} if headers else {})}
        answer = place.http.post(
            "/mcp",
            headers={
                **users[1].headers,
                **headers,
                **({"Mcp-Method": "tools/call", "Mcp-Name": name} if headers else {}),
                "Accept": "application/json, text/event-stream",
            },
            json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params},
        )
        shown = {k: v for k, v in answer.headers.items() if k not in {"date", "content-length"}}
        answers.append((answer.status_code, shown, answer.text.replace(name, "...")))
    assert answers[0] == answers[1]
