"""HTTP as a client sees it: what is deployed, what was recorded, and the answer to a run."""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from kaizen_nexus.channels.api.execute import SESSION_HEADER
from kaizen_nexus.channels.cli.response import Reply, UnreachableError
from kaizen_nexus.channels.cli.transport import request
from kaizen_nexus.testing.answers import NO_ANSWER, UNEXPECTED, Answer
from kaizen_nexus.testing.report import CannotCheckError

__all__ = ["Deployed", "HttpProbe", "Site", "chosen_of", "fetch_deployed"]

OK = 200
INDEX = "/api/workflows"
DISCOVERY_TIMEOUT = 30.0
"""Seconds."""
POLL_SECONDS = 0.05
PROBLEM_TYPE = "urn:kaizen-nexus:problem:"


@dataclass(frozen=True)
class Site:
    """Where the app is served."""

    url: str
    timeout: float
    """Seconds for one exchange."""

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON object that ``GET path`` answers.

        Raises
        ------
        UnreachableError
            There is none; the message says what was answered instead.
        """
        reply = request("GET", self.url, path, timeout=self.timeout)
        answer = _json(reply)
        if reply.status != OK or not isinstance(answer, dict):
            what = "no JSON object" if reply.status == OK else str(reply.status)
            raise UnreachableError(f"GET {path} was answered {what}")
        return answer


@dataclass(frozen=True)
class Deployed:
    """One workflow, as ``GET /api/workflows/{name}`` describes it."""

    name: str
    channels: frozenset[str]
    execute: str | None
    """The path that runs it, if it is on the HTTP channel."""
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]


def fetch_deployed(site: Site) -> list[Deployed]:
    """Return what is deployed, in order of first deployment, once the app has looked for agents.

    Raises
    ------
    CannotCheckError
        Nothing is, or the server does not answer as a Nexus does.
    """
    try:
        _wait_for_discovery(site)
        names = [str(workflow["name"]) for workflow in site.get(INDEX)["workflows"]]
        found = [_deployed(site.get(f"{INDEX}/{quote(name)}")) for name in names]
    except (UnreachableError, KeyError, TypeError) as error:
        raise CannotCheckError(
            f"GET {INDEX} does not answer as a Nexus does ({type(error).__name__}: {error}): "
            "serve the Nexus itself, or an application that passes its routes on"
        ) from None
    if not found:
        raise CannotCheckError(
            "no workflow is deployed, so there is nothing to compare: call "
            "deploy_multi_channel(agent, app, name)"
        )
    return found


def chosen_of(deployed: list[Deployed], names: Collection[str], why: str) -> list[Deployed]:
    """Return those of `deployed` that `names` names.

    Raises
    ------
    CannotCheckError
        One of them is not deployed.
    """
    known = [workflow.name for workflow in deployed]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known)
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else ""
            hint = hint or f"these are: {', '.join(known)}"
            raise CannotCheckError(f"{why}: no workflow named {name!r} is deployed; {hint}")
    return [workflow for workflow in deployed if workflow.name in names]


def _wait_for_discovery(site: Site) -> None:
    for _ in range(round(DISCOVERY_TIMEOUT / POLL_SECONDS)):
        discovery = site.get("/health/ready").get("discovery")
        if not isinstance(discovery, dict) or discovery.get("done"):
            return
        time.sleep(POLL_SECONDS)


def _deployed(description: dict[str, Any]) -> Deployed:
    schemas = [description["input_schema"], description["output_schema"]]
    if not all(isinstance(schema, dict) for schema in schemas):
        raise TypeError("a schema is not an object")
    channels = frozenset(map(str, description["channels"]))
    return Deployed(str(description["name"]), channels, description["execute"], *schemas)


class HttpProbe:
    """Runs workflows over HTTP, each at the path that is published for it.

    Parameters
    ----------
    site
        The server.
    paths
        The published path of each workflow.
    """

    name = "http"
    operation = "api"
    apart = False

    def __init__(self, site: Site, paths: Mapping[str, str]) -> None:
        self._site = site
        self._paths = paths

    def call(self, workflow: str, inputs: dict[str, Any], session: str | None) -> Answer:
        """Return what comes of running `workflow`."""
        path = self._paths.get(workflow) or f"/api/workflows/{quote(workflow)}/execute"
        # An object whose only member is an object called inputs would be taken for the wrapper.
        body = json.dumps({"inputs": inputs} if set(inputs) == {"inputs"} else inputs).encode()
        headers = {} if session is None else {SESSION_HEADER: session}
        try:
            reply = request(
                "POST", self._site.url, path, body, timeout=self._site.timeout, headers=headers
            )
        except UnreachableError as error:
            return Answer.failed(NO_ANSWER, str(error))
        return _result_in(reply) if reply.status == OK else _problem_in(reply)


def _result_in(reply: Reply) -> Answer:
    answer = _json(reply)
    if not isinstance(answer, dict) or answer.get("status") != "success" or "result" not in answer:
        return Answer.failed(UNEXPECTED, f"HTTP 200 without a result: {_start(reply)}")
    session_id = answer.get("session_id")
    header = reply.headers.get(SESSION_HEADER.lower())
    if session_id != header:
        said = "no session, though" if header is None else "another session than"
        return Answer.failed(UNEXPECTED, f"{SESSION_HEADER} names {said} the body does")
    return Answer(answer["result"], session_id)


def _problem_in(reply: Reply) -> Answer:
    problem = _json(reply)
    kind = problem.get("type") if isinstance(problem, dict) else None
    if not isinstance(problem, dict) or not isinstance(kind, str):
        return Answer.failed(UNEXPECTED, f"HTTP {reply.status}: {_start(reply)}")
    detail = str(problem.get("detail", ""))
    if not kind.startswith(PROBLEM_TYPE) or problem.get("status") != reply.status:
        return Answer.failed(UNEXPECTED, f"HTTP {reply.status} ({kind}): {detail}")
    errors = problem.get("errors")
    pointers = [str(e.get("pointer")) for e in errors or () if isinstance(e, dict)]
    names = frozenset(name for p in pointers if (name := _input_of(p.removeprefix("#"))))
    return Answer.failed(kind.removeprefix(PROBLEM_TYPE), detail, names)


def _input_of(pointer: str) -> str:
    """Return the input that a JSON pointer leads into, or nothing for the inputs as a whole."""
    step = pointer.removeprefix("/").partition("/")[0]
    return step.replace("~1", "/").replace("~0", "~")


def _json(reply: Reply) -> Any:
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        return None


def _start(reply: Reply) -> str:
    return reply.body[:200].decode("utf-8", "replace")
