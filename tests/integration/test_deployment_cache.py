"""The deployment cache as a running server shows it, over HTTP and on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest

from kaizen_nexus import BaseAgent, Nexus, clear_deployment_cache, deploy_multi_channel
from kaizen_nexus.console.main import main


@dataclass
class Config:
    model: str = "small"
    temperature: float = 0.7
    api_key: str | None = None


class Agent(BaseAgent):
    """Answer."""

    def process(self, question: str) -> str:
        return question


@pytest.fixture
def cached(app: Nexus) -> Iterator[Nexus]:
    """A running app with two entries in the cache, one of them used twice."""
    clear_deployment_cache()
    for _ in range(3):
        deploy_multi_channel(Agent(Config()), app, "warm")
    deploy_multi_channel(Agent(Config(temperature=0.3, api_key="hush")), app, "cold")
    yield app
    clear_deployment_cache()


def nexus(app: Nexus, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["cache", *arguments, "--url", app.url])
    return (code, *capsys.readouterr())


def test_http_lists_the_entries(cached: Nexus, http: httpx2.Client) -> None:
    answer = http.get("/api/cache").json()
    warm, cold = answer["entries"]
    assert [warm["name"], warm["hits"], cold["name"], cold["hits"]] == ["warm", 2, "cold", 0]
    assert 0 <= cold["age_seconds"] <= warm["age_seconds"] < 60
    assert 0 < warm["build_seconds"] < 60
    assert answer["stats"]["size"] == 2
    assert answer["uncached"] == {}
    assert "hush" not in http.get("/api/cache").text


def test_http_says_why_two_entries_differ(cached: Nexus, http: httpx2.Client) -> None:
    reply = http.get("/api/cache/why", params={"a": "warm", "b": "cold"})
    key, temperature, name = reply.json()["differences"]
    assert key["field"] == "config.api_key"
    assert (key["a"], key["b"].startswith("(secret ")) == ("None", True)
    assert temperature == {"field": "config.temperature", "a": "0.7", "b": "0.3"}
    assert name["field"] == "name"
    assert "hush" not in reply.text
    entries = http.get("/api/cache").json()["entries"]
    assert [reply.json()["a"], reply.json()["b"]] == [entry["key"] for entry in entries]


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ({"a": "warm", "b": "nope"}, 404, "nothing is cached under 'nope'"),
        ({"a": "", "b": "cold"}, 400, "give two entries"),
        ({}, 400, "give two entries"),
    ],
)
def test_http_says_what_is_wrong_with_a_question(
    cached: Nexus, http: httpx2.Client, query: dict[str, str], status: int, detail: str
) -> None:
    reply = http.get("/api/cache/why", params=query)
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert detail in reply.json()["detail"]


def test_the_routes_change_nothing_and_are_described(cached: Nexus, http: httpx2.Client) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert http.request(method, "/api/cache").status_code == 405
    assert {"/api/cache", "/api/cache/why"} <= http.get("/openapi.json").json()["paths"].keys()


def test_the_command_line_lists_the_entries(
    cached: Nexus, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = nexus(cached, capsys, "list")
    heading, warm, cold = out.splitlines()
    assert (code, err) == (0, "")
    assert heading.split() == ["KEY", "NAME", "KIND", "AGE", "HITS", "BUILD", "FIELDS", "BYTES"]
    assert warm.split()[1:3] == ["warm", "plan"]
    assert (warm.split()[5], cold.split()[5]) == ("2", "0")
    for option in (["-o", "json"], ["--json"]):
        code, out, _ = nexus(cached, capsys, "list", *option)
        assert [entry["name"] for entry in json.loads(out)["entries"]] == ["warm", "cold"]


def test_the_command_line_says_why(cached: Nexus, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = nexus(cached, capsys, "why", "warm", "cold")
    key, temperature, name = out.splitlines()
    assert (code, err) == (0, "")
    assert key.startswith("config.api_key: None -> (secret ")
    assert temperature == "config.temperature: 0.7 -> 0.3"
    assert name == "name: 'warm' -> 'cold'"
    code, out, err = nexus(cached, capsys, "why", "warm", "warm")
    assert (code, out, err) == (0, "", "The fields that are known of both do not differ.\n")


def test_the_command_line_fails_as_other_commands_do(
    cached: Nexus, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = nexus(cached, capsys, "why", "warm", "no")
    assert (code, out) == (4, "")
    assert err.startswith("Error: nothing is cached under 'no': ")
    for arguments in (["list"], ["why", "a", "b"]):
        assert main(["cache", *arguments, "--url", "http://127.0.0.1:1"]) == 3
        assert "no kaizen-nexus server" in capsys.readouterr().err
        assert main(["cache", *arguments, "--url", "ftp://x"]) == 2
        assert "is not a URL like" in capsys.readouterr().err


def test_an_empty_cache_says_so(app: Nexus, capsys: pytest.CaptureFixture[str]) -> None:
    clear_deployment_cache()
    assert nexus(app, capsys, "list") == (0, "", "Nothing is cached.\n")
