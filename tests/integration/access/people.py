"""Users of a real server that asks who they are, and what they may do with a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from kaizen_nexus import Nexus
from kaizen_nexus.access.keyfile import create_key
from tests.issuer import Issuer

ACCEPT = {"Accept": "application/json, text/event-stream"}


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


Verb = Callable[[httpx2.Client, dict[str, str], str], tuple[Any, bool]]
"""What a caller may do with a session, on some channel: what comes of it, without what differs by
nature, and whether it succeeded."""


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
    result = call_mcp(http, headers, "tools/call", name="whose", arguments={"session_id": session})
    return result, not result["isError"]


def rotate(http: httpx2.Client, headers: dict[str, str], session: str) -> tuple[Any, bool]:
    return _answer(http.post(f"/api/sessions/{session}/rotate", headers=headers))


def delete(http: httpx2.Client, headers: dict[str, str], session: str) -> tuple[Any, bool]:
    return _answer(http.delete(f"/api/sessions/{session}", headers=headers))


VERBS: list[Verb] = [show, change, execute, stream, run, call_tool, rotate, delete]


def call_mcp(http: httpx2.Client, headers: dict[str, str], method: str, **params: Any) -> Any:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = http.post("/mcp", headers={**headers, **ACCEPT}, json=message)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]
