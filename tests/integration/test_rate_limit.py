"""A served app that limits how often it is asked."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from kaizen_nexus import Auth, Nexus, deploy_multi_channel
from kaizen_nexus.access.keyfile import create_key


def echo(query: str = "") -> str:
    """Repeat the query."""
    return query


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/workflows/echo/execute", {"query": "a"}),
        ("/cli/run", {"argv": ["echo"]}),
        ("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "ping"}),
        ("/nowhere", {}),
    ],
)
def test_every_channel_counts(path: str, body: dict[str, object]) -> None:
    app = Nexus(api_port=0, rate_limit="2/hour", trusted_proxies=["127.0.0.1"])
    deploy_multi_channel(echo, app, "echo")
    app.start(blocking=False)
    try:
        with httpx2.Client(base_url=app.url, timeout=10) as http:
            answers = [http.post(path, json=body) for _ in range(3)]
            assert [a.headers["ratelimit"].partition(";t=")[0] for a in answers] == [
                f'"hour";r={left}' for left in (1, 0, 0)
            ]
            assert answers[2].status_code == 429
            assert answers[2].json()["type"] == "urn:kaizen-nexus:problem:rate-limited"
            assert 0 < int(answers[2].headers["retry-after"]) <= 3600
            assert http.get("/health/live").status_code == 200
            described = http.get("/openapi.json", headers={"X-Forwarded-For": "203.0.113.6"}).json()
            for name, operations in described["paths"].items():
                for operation in operations.values():
                    limited = "429" in operation["responses"]
                    assert limited is not name.startswith("/health/")
            other = http.post(path, json=body, headers={"X-Forwarded-For": "203.0.113.5"})
            assert other.headers["ratelimit"].startswith('"hour";r=1;')
    finally:
        app.close()


def test_who_is_not_let_in_counts_by_address_and_costs_nobody_else(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key, _ = create_key(file, "ada", ["*"])
    app = Nexus(api_port=0, rate_limit="2/hour", auth=Auth(api_keys=file))
    app.start(blocking=False)
    try:
        with httpx2.Client(base_url=app.url, timeout=10) as http:
            guess = f"{key[:-1]}{'a' if key[-1] != 'a' else 'b'}"
            answers = [http.get("/docs", headers={"X-API-Key": guess}) for _ in range(3)]
            assert [a.status_code for a in answers] == [401, 401, 429]
            assert [a.headers["ratelimit"].partition(";t=")[0] for a in answers] == [
                f'"hour";r={left}' for left in (1, 0, 0)
            ]
            assert http.get("/docs").status_code == 429
            assert http.get("/health/ready").status_code == 200
            answer = http.get("/docs", headers={"X-API-Key": key})
            assert (answer.status_code, answer.headers["ratelimit"][:11]) == (200, '"hour";r=1;')
    finally:
        app.close()


@pytest.mark.parametrize(
    "options", [{"rate_limit": "often"}, {"rate_limit": True}, {"trusted_proxies": "10.0.0.1"}]
)
def test_settings_that_mean_nothing_are_refused(options: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(options))):
        Nexus(**options)  # type: ignore[arg-type]
