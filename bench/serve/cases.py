"""What the servers are asked: each case with its contenders, and what is expected of ours."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.comparing import Target
from bench.core.contenders import WrongAnswerError
from bench.guide.requests import nexus_program
from bench.serve.contenders import (
    BARE,
    BARE_ON_GRANIAN,
    BEFORE,
    FASTAPI,
    FASTAPI_ON_GRANIAN,
    GUARDED,
    KAILASH,
    OURS,
    OURS_ON_GRANIAN,
    Running,
)
from bench.serve.generator import NUMBER, VALUE
from bench.serve.load import CONNECTIONS
from bench.serve.processes import environment
from bench.serve.requests import Template, ask, create_sessions

__all__ = ["QUERY", "QUESTION", "Case", "cases", "execute", "make_key"]

QUERY = f"question {NUMBER} of a conversation"
QUESTION = f'{{"query":"{QUERY}","times":2,"style":"long"}}'
WRONG = '{"query":["no","text"],"times":2,"style":"long"}'
ANSWER = f'"answer":"{QUERY} (long)"'
PAGES = json.dumps(["a page of a document. " * 45] * 1_000)
READING = f'{{"query":"{QUERY}","documents":{PAGES}}}'
WRITING = f'{{"query":"{QUERY}"}}'
SESSIONS = 1_024
"""Sessions that requests are spread over: many more than there are connections, so that two
requests on one of them do not have to take turns."""
FEW = 4
"""Connections of a case in which a request takes milliseconds."""


@dataclass(frozen=True)
class Case:
    """One kind of request, sent to several servers."""

    name: str
    sent: Mapping[str, Template]
    """What each server gets, by its name; the first is whose targets they are."""
    targets: tuple[Target, ...]
    connections: int = CONNECTIONS


def execute(agent: str, body: str = QUESTION) -> Template:
    """Return a request to one of our agents."""
    return Template(f"/api/workflows/{agent}/execute", body, ANSWER)


def cases(running: Mapping[str, Running], key: str) -> list[Case]:
    """Check the servers, create sessions on ours, and return what to measure.

    Parameters
    ----------
    running
        The servers, by name.
    key
        Lets callers in where a key is asked for.
    """
    sessions = {
        name: _sessions(running[name], key)
        for name in (OURS, OURS_ON_GRANIAN, GUARDED, BEFORE)
        if name in running
    }

    def ours(name: str, agent: str, body: str = QUESTION) -> dict[str, Template]:
        held = execute(agent, body)
        return {name: replace(held, **sessions[name])} if name in sessions else {}

    def beside_fastapi(agent: str, body: str = QUESTION) -> dict[str, Template]:
        return {
            **ours(OURS, agent, body),
            **ours(BEFORE, agent, body),
            FASTAPI: Template(f"/{agent}", body, ANSWER),
        }

    bare = Template("/", QUESTION, QUERY)
    at_once = "`/execute`, an agent that finishes at once"
    return [
        Case(
            at_once,
            {
                **beside_fastapi("answer_0"),
                BARE: bare,
                KAILASH: Template("/workflows/answer/execute", f'{{"inputs":{QUESTION}}}', ANSWER),
            },
            (Target(FASTAPI, 5), Target(BARE, 1.2), Target(KAILASH, 3)),
        ),
        Case(
            "`/execute`, an agent that sleeps 1 ms",
            beside_fastapi("sleeping"),
            (Target(FASTAPI, 2.5),),
        ),
        Case("`/execute`, a synchronous agent", beside_fastapi("blocking"), (Target(FASTAPI, 3),)),
        Case(
            at_once,
            {
                **ours(OURS_ON_GRANIAN, "answer_0"),
                FASTAPI_ON_GRANIAN: Template("/answer_0", QUESTION, ANSWER),
                BARE_ON_GRANIAN: bare,
            },
            (Target(FASTAPI_ON_GRANIAN, 2.5), Target(BARE_ON_GRANIAN)),
        ),
        Case(
            "`/execute` with an API key, a rate limit and a session, against none of them",
            {**ours(GUARDED, "answer_0"), OURS: execute("answer_0")},
            (Target(OURS, 1 / 1.3),),
        ),
        Case("a body of 1 MB", beside_fastapi("reading", READING), (Target(FASTAPI, 1.2),), FEW),
        Case("a result of 1 MB", beside_fastapi("writing", WRITING), (Target(FASTAPI, 1.2),), FEW),
    ]


def make_key(file: Path) -> str:
    """Make a key that lets callers in, in a file of its own."""
    command = [*nexus_program(), "keys", "create", "--name", "bench", "--scope", "*"]
    made = subprocess.run(
        [*command, "--file", str(file)],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return made.stdout.strip()


def _sessions(served: Running, key: str) -> dict[str, Any]:
    """Return the headers and values of requests in sessions, after checking what ours does."""
    guarded = {"Authorization": f"Bearer {key}"} if served.contender.name == GUARDED else {}
    path = execute("answer_0").path
    with served.awake() as server:
        sessions = create_sessions(server.port, SESSIONS, guarded)
        status, text = ask(server.port, path, WRONG, guarded)
        if status != 422:
            raise WrongAnswerError(f"{path} took a wrong input: {status} {text}")
        headers = {**guarded, "X-Session-ID": sessions[0]}
        _, text = ask(server.port, path, QUESTION.replace(NUMBER, "0"), headers)
        if json.loads(text)["session_id"] != sessions[0]:
            raise WrongAnswerError(f"no session is attached: {text}")
        if guarded and ask(server.port, path, QUESTION, {})[0] != 401:
            raise WrongAnswerError("a request without a key is let in")
    return {"headers": {**guarded, "X-Session-ID": VALUE}, "values": sessions}
