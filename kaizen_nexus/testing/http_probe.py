"""HTTP as a client sees it: plain requests, and what an answer to a run means."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import anyio
from anyio import to_thread

from kaizen_nexus.channels.api.execute import SESSION_HEADER
from kaizen_nexus.channels.cli.transport import authorization
from kaizen_nexus.testing.outcome import NO_ANSWER, UNEXPECTED, Outcome

__all__ = ["HttpClient", "HttpProbe", "NoAnswerError", "Reply"]

MAX_BODY = 64 * 1024 * 1024
OK = 200
PROBLEM_TYPE = "urn:kaizen-nexus:problem:"


class NoAnswerError(Exception):
    """No usable answer came; the message says why."""


@dataclass(frozen=True)
class Reply:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes

    def json(self) -> Any:
        """Return the body's value, or None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class HttpClient:
    """Sends requests to one server on the loopback interface, each on a connection of its own.

    Parameters
    ----------
    url
        The server.
    timeout
        Seconds for one exchange.
    """

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._timeout = timeout

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Return the server's answer.

        Raises
        ------
        NoAnswerError
            There is none in time, or none that is HTTP.
        """
        try:
            with anyio.fail_after(self._timeout):
                # Left alone when it takes too long, it ends by the socket's own timeout.
                return await to_thread.run_sync(
                    self._exchange, method, path, body, headers or {}, abandon_on_cancel=True
                )
        except TimeoutError:
            raise NoAnswerError(f"no answer within {self._timeout:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswerError(f"{type(error).__name__}: {error}") from None

    def _exchange(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Reply:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        try:
            data = None if body is None else json.dumps(body).encode()
            media_type = {} if data is None else {"Content-Type": "application/json"}
            connection.request(method, path, data, {**authorization(), **media_type, **headers})
            response = connection.getresponse()
            content = response.read(MAX_BODY + 1)
            if len(content) > MAX_BODY:
                raise NoAnswerError(f"the answer is longer than {MAX_BODY} bytes")
            lower = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, lower, content)
        finally:
            connection.close()


class HttpProbe:
    """Runs workflows over HTTP, each at the path that is published for it.

    Parameters
    ----------
    client
        What sends the requests.
    paths
        The published path of each workflow.
    """

    name = "http"
    operation = "api"

    def __init__(self, client: HttpClient, paths: Mapping[str, str]) -> None:
        self._client = client
        self._paths = paths

    async def call(self, workflow: str, inputs: dict[str, Any], session: str | None) -> Outcome:
        """Return what comes of running `workflow`."""
        path = self._paths.get(workflow) or f"/api/workflows/{quote(workflow)}/execute"
        # An object whose only member is an object called inputs would be taken for the wrapper.
        body = {"inputs": inputs} if set(inputs) == {"inputs"} else inputs
        headers = {} if session is None else {SESSION_HEADER: session}
        try:
            reply = await self._client.request("POST", path, body, headers)
        except NoAnswerError as error:
            return Outcome.failed(NO_ANSWER, str(error))
        return _result_in(reply) if reply.status == OK else _problem_in(reply)


def _result_in(reply: Reply) -> Outcome:
    answer = reply.json()
    if not isinstance(answer, dict) or answer.get("status") != "success" or "result" not in answer:
        return Outcome.failed(UNEXPECTED, f"HTTP 200 without a result: {_start(reply)}")
    session_id = answer.get("session_id")
    header = reply.headers.get(SESSION_HEADER.lower())
    if session_id != header:
        said = "no session, though" if header is None else "another session than"
        return Outcome.failed(UNEXPECTED, f"{SESSION_HEADER} names {said} the body does")
    return Outcome(answer["result"], session_id)


def _problem_in(reply: Reply) -> Outcome:
    problem = reply.json()
    kind = problem.get("type") if isinstance(problem, dict) else None
    if not isinstance(problem, dict) or not isinstance(kind, str):
        return Outcome.failed(UNEXPECTED, f"HTTP {reply.status}: {_start(reply)}")
    detail = str(problem.get("detail", ""))
    if not kind.startswith(PROBLEM_TYPE) or problem.get("status") != reply.status:
        return Outcome.failed(UNEXPECTED, f"HTTP {reply.status} ({kind}): {detail}")
    errors = problem.get("errors")
    pointers = [str(e.get("pointer")) for e in errors or () if isinstance(e, dict)]
    names = frozenset(name for p in pointers if (name := _input_of(p.removeprefix("#"))))
    return Outcome.failed(kind.removeprefix(PROBLEM_TYPE), detail, names)


def _input_of(pointer: str) -> str:
    """Return the input that a JSON pointer leads into, or nothing for the inputs as a whole."""
    step = pointer.removeprefix("/").partition("/")[0]
    return step.replace("~1", "/").replace("~0", "~")


def _start(reply: Reply) -> str:
    return reply.body[:200].decode("utf-8", "replace")
