"""`Idempotency-Key` on a real server: retries over HTTP, and from the command line."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from kaizen_nexus import CrossChannelSession, Nexus, deploy_multi_channel
from kaizen_nexus.console.main import main as nexus

EXECUTE = "/api/workflows/{}/execute"


class Agents:
    """Agents that count how often they were called."""

    def __init__(self) -> None:
        self.calls = 0
        self.entered = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def note(self, text: str, session: CrossChannelSession | None = None) -> int:
        """Count the calls."""
        self.calls += 1
        number = self.calls
        self.entered.set()
        self.go.wait(30)
        if session is not None:
            session.update_state({"text": text})
        return number

    def fail(self, text: str) -> int:
        """Fail."""
        self.calls += 1
        raise LookupError(text)


@pytest.fixture
def agents() -> Agents:
    return Agents()


@pytest.fixture
def app(agents: Agents) -> Iterator[Nexus]:
    app = Nexus(api_port=0)

    def note(text: str, session: CrossChannelSession | None = None) -> int:
        return agents.note(text, session)

    def fail(text: str) -> int:
        return agents.fail(text)

    deploy_multi_channel(note, app, "note")
    deploy_multi_channel(fail, app, "fail")
    app.start(blocking=False)
    yield app
    agents.go.set()
    app.close()


@pytest.fixture
def client(app: Nexus) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=app.url, timeout=30) as client:
        yield client


def post(client: httpx2.Client, key: str, text: str = "hi", name: str = "note", **headers: str):
    return client.post(
        EXECUTE.format(name), json={"text": text}, headers={"Idempotency-Key": key, **headers}
    )


def test_a_retry_is_answered_byte_for_byte(client: httpx2.Client, agents: Agents) -> None:
    first = post(client, '"8e03978e"', **{"X-Session-ID": "new"})
    again = [post(client, key, **{"X-Session-ID": "new"}) for key in ('"8e03978e"', "8e03978e")]
    assert agents.calls == 1
    assert "idempotency-replayed" not in first.headers
    for answer in again:
        assert answer.status_code == 200
        assert answer.content == first.content
        assert answer.headers["idempotency-replayed"] == "true"
        assert answer.headers["x-session-id"] == first.json()["session_id"]
    replays = client.get("/metrics.json").json()["replays"]
    assert (replays["kept"], replays["replayed"]) == (1, 2)


def test_a_failure_is_replayed_and_a_refusal_is_not(client: httpx2.Client, agents: Agents) -> None:
    failures = [post(client, "a", name="fail") for _ in range(2)]
    assert [answer.status_code for answer in failures] == [500, 500]
    assert failures[0].content == failures[1].content
    assert failures[1].headers["idempotency-replayed"] == "true"
    assert agents.calls == 1
    refused = client.post(
        EXECUTE.format("note"), json={"text": 3}, headers={"Idempotency-Key": "b"}
    )
    assert refused.status_code == 422
    assert post(client, "b").json()["result"] == 2


def test_another_request_with_the_key_is_refused(client: httpx2.Client, agents: Agents) -> None:
    assert post(client, "a").status_code == 200
    for answer in (post(client, "a", text="ho"), post(client, "a", **{"X-Session-ID": "new"})):
        assert answer.status_code == 422
        assert answer.json()["type"] == "urn:kaizen-nexus:problem:idempotency-key-reuse"
    assert agents.calls == 1


@pytest.mark.parametrize("key", ["", '"', '"a', '"a";b=1', "a,b", "a b", "k" * 256, '"\\a"', "é"])
def test_a_malformed_key_is_a_bad_request(client: httpx2.Client, agents: Agents, key: str) -> None:
    answer = client.post(
        EXECUTE.format("note"),
        json={"text": "hi"},
        headers=[(b"Idempotency-Key", key.encode("latin-1"))],
    )
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:kaizen-nexus:problem:malformed-idempotency-key"
    assert agents.calls == 0


def test_two_keys_are_a_bad_request(client: httpx2.Client) -> None:
    answer = client.post(
        EXECUTE.format("note"),
        json={"text": "hi"},
        headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "a")],
    )
    assert answer.status_code == 400


def test_a_client_that_hangs_up_may_ask_again(app: Nexus, agents: Agents) -> None:
    """What it asked for runs on, though it would be given up without a key."""

    async def ask(client: httpx2.AsyncClient) -> httpx2.Response:
        return await client.post(
            EXECUTE.format("note"), json={"text": "hi"}, headers={"Idempotency-Key": "a"}
        )

    async def main() -> tuple[Any, ...]:
        async with httpx2.AsyncClient(base_url=app.url, timeout=30) as client:
            agents.go.clear()
            first = asyncio.ensure_future(ask(client))
            await asyncio.to_thread(agents.entered.wait, 30)
            duplicates = [asyncio.ensure_future(ask(client)) for _ in range(10)]
            first.cancel()
            replays = app.runtime.replays
            while replays.stats()["waiting"] < len(duplicates):  # noqa: ASYNC110 - the server's
                await asyncio.sleep(0)
            agents.go.set()
            return await asyncio.gather(*duplicates, ask(client))

    answers = asyncio.run(main())
    assert agents.calls == 1
    assert {answer.content for answer in answers} == {answers[0].content}
    assert all(answer.headers["idempotency-replayed"] == "true" for answer in answers)


def test_many_requests_under_few_keys_run_once_for_each_key(app: Nexus, agents: Agents) -> None:
    async def main() -> list[tuple[int, Any]]:
        async with httpx2.AsyncClient(base_url=app.url, timeout=60) as client:

            async def ask(number: int) -> tuple[int, Any]:
                answer = await client.post(
                    EXECUTE.format("note"),
                    json={"text": f"{number}"},
                    headers={"Idempotency-Key": f"{number}", "X-Session-ID": "new"},
                )
                assert answer.status_code == 200, answer.text
                return number, answer.content

            return await asyncio.gather(*(ask(n % 30) for n in range(300)))

    answers = asyncio.run(main())
    assert agents.calls == 30
    assert len(set(answers)) == len({content for _, content in answers}) == 30


def test_a_command_with_a_key_prints_what_it_printed(
    app: Nexus, agents: Agents, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = nexus(["run", "note", *arguments, "--url", app.url])
        return code, *capsys.readouterr()

    options = ("--session", "new", "-o", "json", "--idempotency-key", "order 66")
    first = run("--text", "hi", *options)
    assert first[0] == 0
    assert run("--text", "hi", *options) == first
    assert agents.calls == 1
    code, _, errors = run("--text", "ho", *options)
    assert (code, "was used for another workflow" in errors) == (2, True)
    code, _, errors = run("--text", "ho", "--idempotency-key", "")
    assert (code, "1 to 255 characters" in errors) == (2, True)
    assert agents.calls == 1
