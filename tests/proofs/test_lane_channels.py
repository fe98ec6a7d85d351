"""Session reads and command lines are answered the same in the fast lane and the general way."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from kaizen_nexus import NexusSessionManager
from tests.proofs.test_lane import Server, answer_on, both, neutral


def remember(fact: str, session: Any = None) -> str:
    """Remember a fact.

    Parameters
    ----------
    fact
        What to remember.
    """
    if session is not None:
        session.update_state({"fact": fact})
    return f"I know: {fact}"


async def fail(fact: str) -> str:
    raise RuntimeError(fact)


def leave(fact: str) -> str:
    raise SystemExit(fact)


@pytest.fixture(scope="module")
def manager() -> Iterator[NexusSessionManager]:
    manager = NexusSessionManager()
    yield manager
    manager.close()


@pytest.fixture(scope="module")
def servers(manager: NexusSessionManager) -> Iterator[tuple[Server, Server]]:
    with both(remember, fail, leave, session_manager=manager) as servers:
        yield servers


def message(line: str, body: object = None, *headers: str) -> bytes:
    text = b"" if body is None else json.dumps(body).encode()
    length = "" if body is None else f"Content-Length: {len(text)}\r\n"
    fields = "".join(f"{header}\r\n" for header in headers)
    return f"{line} HTTP/1.1\r\nHost: localhost\r\n{fields}{length}\r\n".encode() + text


def agree(servers: tuple[Server, Server], sent: bytes, *, laned: bool) -> Any:
    """Send a message to both; return the answer, which is the same."""
    answers = []
    for server in servers:
        before = server.laned
        with server.connect() as client:
            client.sendall(sent)
            received = answer_on(client)
        changing = rb'\d{4}-\d\d-\d\dT[^"]*|(?<=duration_ms.": )[0-9.e-]+'
        answers.append(neutral(re.sub(changing, b"then", received))[1])
        if server is servers[0]:
            assert (server.laned > before) is laned
    assert answers[0] == answers[1]
    return answers[0]


def test_sessions_are_read_alike(
    servers: tuple[Server, Server], manager: NexusSessionManager
) -> None:
    session = manager.create_session(user_id="ada")
    session.update_state({"text": "ä" * 100_000, "other": object()}, channel="cli")
    path = f"/api/sessions/{session.session_id}"
    status, _, body = agree(servers, message(f"GET {path}"), laned=True)
    assert status == b"HTTP/1.1 200 OK"
    assert json.loads(body)["state"] == {"text": "ä" * 100_000, "other": "<object>"}
    assert session.channel_activity.keys() == {"cli", "api"}
    status, *_ = agree(servers, message(f"GET {path}", None, 'If-None-Match: "7"'), laned=False)
    assert status == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("rest", ["nowhere", "", "a/b", "x" * 300])
def test_what_is_no_session_is_refused_alike(servers: tuple[Server, Server], rest: str) -> None:
    status, *_ = agree(servers, message(f"GET /api/sessions/{rest}"), laned=True)
    assert status in {b"HTTP/1.1 404 Not Found", b"HTTP/1.1 307 Temporary Redirect"}


JSON = "Content-Type: application/json"
LINES: dict[str, tuple[object, tuple[str, ...]]] = {
    "a run": ({"argv": ["remember", "--fact", "a"]}, (JSON,)),
    "its envelope": ({"argv": ["remember", "--fact", "a", "-o", "json"]}, (JSON,)),
    "in color": ({"argv": ["fail", "--fact", "a"], "color": True}, (JSON,)),
    "a new session": ({"argv": ["remember", "--fact", "a", "--session", "new"]}, (JSON,)),
    "another's session": ({"argv": ["remember", "--fact", "a", "--session", "x"]}, (JSON,)),
    "a failure": ({"argv": ["fail", "--fact", "a"]}, (JSON,)),
    "an exit": ({"argv": ["leave", "--fact", "a"]}, (JSON,)),
    "a retry": ({"argv": ["remember", "--fact", "a", "--idempotency-key", "1"]}, (JSON,)),
    "help": ({"argv": ["remember", "--help"]}, (JSON,)),
    "misused": ({"argv": ["remember", "--fat", "a"]}, (JSON,)),
    "wrong inputs": ({"argv": ["remember", "-i", "fact:=1"]}, (JSON,)),
    "nothing": ({"argv": []}, (JSON,)),
    "nobody": ({"argv": ["remembre"]}, (JSON,)),
    "completion": ({"argv": ["remember"], "complete": "--f"}, (JSON,)),
    "a stream": ({"argv": ["remember", "--fact", "a", "--stream"]}, (JSON,)),
    "no call": ({"argv": "remember"}, (JSON,)),
    "no object": ([], (JSON,)),
    "a form": ({"argv": ["remember", "--fact", "a"]}, ("Content-Type: text/plain",)),
    "no type": ({"argv": ["remember", "--fact", "a"]}, ()),
}


@pytest.mark.parametrize("line", LINES)
def test_command_lines_are_answered_alike(servers: tuple[Server, Server], line: str) -> None:
    body, headers = LINES[line]
    agree(servers, message("POST /cli/run", body, *headers), laned=True)
