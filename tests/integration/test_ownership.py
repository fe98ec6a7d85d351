"""Who may do what on a real server: every user, session, verb and channel, by key and by token."""

from __future__ import annotations

import http.client
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from kaizen_nexus import (
    Auth,
    CrossChannelSession,
    JwtSettings,
    Nexus,
    clear_deployment_cache,
    deploy_multi_channel,
)
from kaizen_nexus.console.main import main
from kaizen_nexus.runtime.access.keyfile import create_key, revoke_key
from tests.issuer import AUDIENCE, ISSUER, Issuer, published, signed_with_hmac, unsigned

NOBODYS = "0" * 32
"""An id that no session has."""
ACCEPT = {"Accept": "application/json, text/event-stream"}


def whose(session: CrossChannelSession | None = None) -> str:
    return session.user_id if session is not None else "nobody"


def secret(word: str = "") -> str:
    return f"not for everybody: {word}"


@dataclass
class User:
    id: str
    credential: str
    http: httpx2.Client

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.credential}"}

    def session(self) -> str:
        return self.http.post("/api/sessions", headers=self.headers).json()["session_id"]


@dataclass
class Place:
    app: Nexus
    http: httpx2.Client
    issuer: Issuer
    keys: Path

    def key_user(self, name: str, *scopes: str) -> User:
        key, _ = create_key(self.keys, name, scopes or ["*"])
        return User(f"key:{name}", key, self.http)

    def token_user(self, name: str, scope: str = "*") -> User:
        return User(name, self.issuer.token(name, scope), self.http)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("auth")
    issuer = Issuer()
    keys = folder / "keys.json"
    create_key(keys, "first", ["*"])
    jwt = JwtSettings(ISSUER, AUDIENCE, issuer.write(folder / "jwks.json"))
    app = Nexus(api_port=0, auth=Auth(api_keys=keys, jwt=jwt))
    clear_deployment_cache()  # other modules may have deployed these names
    deploy_multi_channel(whose, app, "whose")
    deploy_multi_channel(secret, app, "secret")
    app.start(blocking=False)
    with pytest.MonkeyPatch.context() as patch, httpx2.Client(base_url=app.url) as client:
        # Every request looks at the file: a test need not wait for a second to pass.
        patch.setattr("kaizen_nexus.runtime.access.keys.CHECK_SECONDS", 0)
        yield Place(app, client, issuer, keys)
    app.close()


@pytest.fixture(scope="module")
def users(place: Place) -> list[User]:
    return [
        place.key_user("ada"),
        place.key_user("bob", "whose"),
        place.token_user("ada"),
        place.token_user("cleo", "whose"),
    ]


@pytest.fixture(autouse=True)
def logs(caplog: pytest.LogCaptureFixture, users: list[User]) -> Iterator[None]:
    """Nothing that is logged in any test of this module holds a credential."""
    caplog.set_level(logging.DEBUG)
    yield
    for user in users:
        secret_part = user.credential[-30:]
        assert secret_part not in caplog.text


# What a caller may do with a session, on every channel: what comes of it, without what differs by
# nature, and whether it succeeded.
Verb = Callable[[httpx2.Client, dict[str, str], str], tuple[Any, bool]]


def _answer(answer: httpx2.Response) -> tuple[Any, bool]:
    headers = {k: v for k, v in answer.headers.items() if k != "date"}
    return (answer.status_code, headers, answer.content), answer.is_success


def show(http: httpx2.Client, headers: dict[str, str], session: str) -> tuple[Any, bool]:
    return _answer(http.get(f"/api/sessions/{session}", headers=headers))


def change(http: httpx2.Client, headers: dict[str, str], session: str) -> tuple[Any, bool]:
    return _answer(http.patch(f"/api/sessions/{session}", headers=headers, json={"a": 1}))


def execute(http: httpx2.Client, headers: dict[str, str], session: str) -> tuple[Any, bool]:
    headers = {**headers, "X-Session-ID": session}
    return _answer(http.post("/api/workflows/whose/execute", headers=headers))


def stream(http: httpx2.Client, headers: dict[str, str], session: str) -> tuple[Any, bool]:
    headers = {**headers, "X-Session-ID": session}
    return _answer(http.post("/api/workflows/whose/stream", headers=headers))


def run(http: httpx2.Client, headers: dict[str, str], session: str) -> tuple[Any, bool]:
    argv = ["whose", "--session", session]
    answer = http.post("/cli/run", headers=headers, json={"argv": argv})
    return answer.json(), answer.json()["exit_code"] == 0


def call_tool(http: httpx2.Client, headers: dict[str, str], session: str) -> tuple[Any, bool]:
    result = _mcp(http, headers, "tools/call", name="whose", arguments={"session_id": session})
    return result, not result["isError"]


def rotate(http: httpx2.Client, headers: dict[str, str], session: str) -> tuple[Any, bool]:
    return _answer(http.post(f"/api/sessions/{session}/rotate", headers=headers))


def delete(http: httpx2.Client, headers: dict[str, str], session: str) -> tuple[Any, bool]:
    return _answer(http.delete(f"/api/sessions/{session}", headers=headers))


VERBS: list[Verb] = [show, change, execute, stream, run, call_tool, rotate, delete]


def _mcp(http: httpx2.Client, headers: dict[str, str], method: str, **params: Any) -> Any:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = http.post("/mcp", headers={**headers, **ACCEPT}, json=message)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_a_session_exists_for_its_owner_alone(place: Place, users: list[User], verb: Verb) -> None:
    for owner in users:
        session = owner.session()
        for other in users:
            if other is not owner:
                missing, _ = verb(place.http, other.headers, NOBODYS)
                foreign, succeeded = verb(place.http, other.headers, session)
                assert not succeeded
                assert foreign == missing, (other.id, owner.id)
        _, succeeded = verb(place.http, owner.headers, session)
        assert succeeded


def test_what_others_try_does_not_touch_a_session(place: Place, users: list[User]) -> None:
    owner, other = users[:2]
    session = owner.session()
    held = place.app.session_manager.sessions[session]
    before = held.expires_at, dict(held.state), dict(held.channel_activity)
    for verb in VERBS:
        verb(place.http, other.headers, session)
    assert (held.expires_at, held.state, dict(held.channel_activity)) == before


def test_without_credentials_there_is_nothing_but_the_health(place: Place) -> None:
    for method, path in [
        ("GET", "/api/workflows"),
        ("GET", "/api/workflows/whose"),
        ("POST", "/api/workflows/whose/execute"),
        ("POST", "/api/workflows/whose/stream"),
        ("POST", "/api/sessions"),
        ("GET", f"/api/sessions/{NOBODYS}"),
        ("GET", "/api/cache"),
        ("GET", "/metrics.json"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/nowhere"),
        ("GET", "//health/live"),
        ("GET", "/health/live/"),
        ("GET", "/health/../metrics.json"),
        ("POST", "/cli/run"),
        ("POST", "/mcp"),
        ("GET", "/mcp"),
        ("OPTIONS", "/api/workflows"),
    ]:
        answer = place.http.request(method, path)
        assert answer.status_code == 401, path
        assert answer.json()["type"] == "urn:kaizen-nexus:problem:unauthenticated"
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith('Bearer realm="kaizen-nexus"')
        assert "error=" not in challenge
    for path in ["/health/live", "/health/ready"]:
        assert place.http.get(path).status_code == 200


def test_a_challenge_says_where_tokens_come_from(place: Place) -> None:
    challenge = place.http.post("/mcp").headers["www-authenticate"]
    url = f"{place.app.url}/.well-known/oauth-protected-resource/mcp"
    assert challenge.endswith(f'resource_metadata="{url}"')
    assert place.http.get(url).json() == {
        "resource": f"{place.app.url}/mcp",
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
    }
    root = place.http.get("/.well-known/oauth-protected-resource")
    assert root.json()["resource"] == place.app.url


def bad_credentials(place: Place) -> dict[str, str]:
    issuer = place.issuer
    claims = issuer.claims()
    return {
        "expired": issuer.token(exp=1),
        "not yet valid": issuer.token(nbf=claims["exp"]),
        "another issuer's": issuer.token(iss="https://other.example"),
        "for another audience": issuer.token(aud="https://other.example/mcp"),
        "unsigned": unsigned(claims),
        "confused": signed_with_hmac(claims, issuer.public_pem(), kid="rsa"),
        "tampered": issuer.token()[:-8] + "AAAAAAAA",
        "garbage": "garbage",
        "unknown key": f"kn_{'0' * 16}_{'A' * 43}",
        "huge": "a" * 20_000,
        "huge key": "kn_" + "a" * 20_000,
    }


@pytest.mark.parametrize("path", ["/api/workflows/whose/execute", "/mcp", "/cli/run"])
def test_bad_credentials_are_refused_and_not_repeated(place: Place, path: str) -> None:
    for kind, credential in bad_credentials(place).items():
        headers = {"Authorization": f"Bearer {credential}"}
        answer = place.http.post(path, headers=headers)
        assert answer.status_code == 401, kind
        assert 'error="invalid_token"' in answer.headers["www-authenticate"], kind
        assert not credential or credential not in answer.text, kind


def test_other_ways_to_present_credentials(place: Place, users: list[User]) -> None:
    ada, token = users[0], users[2]
    get = place.http.get
    assert get("/api/workflows", headers={"X-API-Key": ada.credential}).status_code == 200
    assert get("/api/workflows", headers={"X-API-Key": token.credential}).status_code == 401
    assert (
        get("/api/workflows", headers={"Authorization": f"bearer {ada.credential}"}).status_code
        == 200
    )
    for scheme in ["Basic", "Bearer", "Token"]:
        headers = {"Authorization": scheme}
        assert get("/api/workflows", headers=headers).status_code == 401
    assert get("/api/workflows", params={"access_token": ada.credential}).status_code == 401


def test_two_credentials_are_one_too_many(place: Place, users: list[User]) -> None:
    ada = users[0]
    address = urlsplit(place.app.url)
    for second in ["Authorization", "X-API-Key"]:
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        connection.putrequest("GET", "/api/workflows")
        connection.putheader("Authorization", f"Bearer {ada.credential}")
        connection.putheader(second, ada.credential)
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 400
        assert 'error="invalid_request"' in answer.headers["www-authenticate"]
        connection.close()


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
        result = _mcp(place.http, one.headers, "tools/call", name=name, arguments={})
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
        tools = _mcp(place.http, headers, "tools/list")["tools"]
        assert [tool["name"] for tool in tools] == names
        body = {"argv": [], "complete": ""}
        completed = place.http.post("/cli/run", headers=headers, json=body).json()["stdout"]
        assert sorted(completed.split()) == names
        body = {"argv": ["secre"]}
        hint = place.http.post("/cli/run", headers=users[0].headers, json=body).json()["stderr"]
        assert "'secret'" in hint


def test_what_tells_of_everything_needs_a_scope_of_its_own(place: Place) -> None:
    one, monitor = place.key_user("one", "whose"), place.key_user("monitor", "nexus:monitor")
    for path in ["/metrics.json", "/api/cache", "/api/cache/why?a=whose&b=secret"]:
        assert place.http.get(path, headers=one.headers).status_code == 403
        assert place.http.get(path, headers=monitor.headers).status_code == 200
    assert place.http.post("/api/workflows/whose/execute", headers=monitor.headers).status_code == (
        403
    )


def test_a_session_is_whose_credentials_made_it(place: Place, users: list[User]) -> None:
    ada, bob = users[:2]
    post = place.http.post
    assert post("/api/sessions", headers=ada.headers).json()["user_id"] == "key:ada"
    own = post("/api/sessions", headers=ada.headers, json={"user_id": "key:ada"})
    assert own.status_code == 201
    other = post("/api/sessions", headers=bob.headers, json={"user_id": "key:ada"})
    assert other.status_code == 422
    new = {"X-Session-ID": "new"}
    answer = post("/api/workflows/whose/execute", headers={**bob.headers, **new})
    assert answer.json()["result"] == "key:bob"


def test_keys_of_one_name_are_one_users(place: Place) -> None:
    before, after = place.key_user("dora"), place.key_user("dora")
    session = before.session()
    assert revoke_key(place.keys, before.credential.split("_")[1])
    assert place.http.get("/api/workflows", headers=before.headers).status_code == 401
    assert show(place.http, after.headers, session)[1]


def test_a_key_is_revoked_while_the_server_runs(place: Place) -> None:
    eve = place.key_user("eve")
    assert place.http.get("/api/workflows", headers=eve.headers).status_code == 200
    assert revoke_key(place.keys, eve.credential.split("_")[1])
    answer = place.http.get("/api/workflows", headers=eve.headers)
    assert answer.status_code == 401
    assert eve.credential not in answer.text


def test_an_agent_sees_no_credentials(place: Place, users: list[User]) -> None:
    seen: list[Any] = []

    def look(word: str, context: Any = None, session: Any = None) -> str:
        seen.extend([word, context, session, session.state, session.user_id])
        return word

    deploy_multi_channel(look, place.app, "look")
    token = users[2]
    headers = {**token.headers, "X-Session-ID": "new"}
    answer = place.http.post("/api/workflows/look/execute", headers=headers, json={"word": "hi"})
    assert answer.is_success
    result = _mcp(
        place.http,
        token.headers,
        "tools/call",
        name="look",
        arguments={"word": "hi", "session_id": "new"},
    )
    assert not result["isError"]
    place.app.deregister("look")
    assert token.credential not in repr(seen)


def test_a_session_gets_another_id_and_keeps_the_rest(place: Place, users: list[User]) -> None:
    ada = users[0]
    session = ada.session()
    change(place.http, ada.headers, session)
    answer = place.http.post(f"/api/sessions/{session}/rotate", headers=ada.headers)
    assert answer.status_code == 200
    successor = answer.json()
    assert successor["session_id"] != session
    assert (successor["state"], successor["user_id"]) == ({"a": 1}, "key:ada")
    assert not show(place.http, ada.headers, session)[1]
    assert answer.headers["location"] == f"/api/sessions/{successor['session_id']}"
    read = place.http.get(answer.headers["location"], headers=ada.headers).json()
    assert read["state"] == {"a": 1}
    assert read["created_at"] == successor["created_at"]


def test_the_program_presents_the_key_that_the_environment_has(
    place: Place,
    users: list[User],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NEXUS_URL", place.app.url)
    monkeypatch.delenv("NEXUS_API_KEY", raising=False)
    for command in [["run", "whose"], ["list"], ["cache", "list"]]:
        assert main(command) == 5
        assert "NEXUS_API_KEY" in capfd.readouterr().err
    monkeypatch.setenv("NEXUS_API_KEY", users[1].credential)
    assert main(["run", "whose", "--session", "new"]) == 0
    assert capfd.readouterr().out == "key:bob\n"
    assert main(["list"]) == 0
    assert "secret" not in capfd.readouterr().out
    assert main(["cache", "list"]) == 5
    assert "nexus:monitor" in capfd.readouterr().err
    monkeypatch.setenv("NEXUS_API_KEY", "two\r\nlines")
    assert main(["run", "whose"]) == 2
    assert "two" not in capfd.readouterr().err


def test_where_the_issuers_keys_cannot_be_had_nobody_is_let_in(place: Place) -> None:
    with published({}) as issuers:
        issuers.status = 500
        app = Nexus(api_port=0, auth=Auth(jwt=JwtSettings(ISSUER, AUDIENCE, issuers.url)))
        deploy_multi_channel(whose, app, "whose")
        app.start(blocking=False)
        with httpx2.Client(base_url=app.url) as client:
            headers = {"Authorization": f"Bearer {place.issuer.token()}"}
            answer = client.post("/api/workflows/whose/execute", headers=headers)
            assert answer.status_code == 503
            assert answer.json()["type"] == "urn:kaizen-nexus:problem:authentication-unavailable"
            assert "retry-after" in answer.headers
            key = client.get("/api/workflows", headers={"X-API-Key": f"kn_{'0' * 16}_{'A' * 43}"})
            assert key.status_code == 401
        app.close()
    assert issuers.asked == 1


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
