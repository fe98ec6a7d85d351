"""Who is let in, by which credentials, and what of them is seen by anybody else."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from kaizen_nexus import Auth, JwtSettings, Nexus, deploy_multi_channel
from kaizen_nexus.access.keyfile import revoke_key
from kaizen_nexus.console.main import main
from tests.integration.access.people import Place, User, call_mcp
from tests.issuer import AUDIENCE, ISSUER, published, signed_with_hmac, unsigned

NOBODYS = "0" * 32
"""An id that no session has."""


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
    result = call_mcp(
        place.http,
        token.headers,
        "tools/call",
        name="look",
        arguments={"word": "hi", "session_id": "new"},
    )
    assert not result["isError"]
    place.app.deregister("look")
    assert token.credential not in repr(seen)


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
