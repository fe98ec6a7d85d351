"""Versions of sessions over HTTP: `ETag`, `If-Match`, `If-None-Match`, and updates side by side."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response

from kaizen_nexus import CrossChannelSession, Nexus, NexusSessionManager, deploy_multi_channel
from kaizen_nexus.channels.api.sessions import SessionEndpoints

KEYS = 40
WRITERS = 8


@pytest.fixture
def app() -> Iterator[Nexus]:
    """A running app."""
    manager = NexusSessionManager()
    app = Nexus(api_port=0, session_manager=manager)
    app.start(blocking=False)
    yield app
    app.close()
    manager.close()


@pytest.fixture
def client(app: Nexus) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=app.url, timeout=30) as client:
        yield client


@pytest.fixture
def session(client: httpx2.Client) -> str:
    """The path of a session whose state has version 1."""
    created = client.post("/api/sessions", json={"state": {"n": 1}})
    assert (created.headers["etag"], created.json()["version"]) == ('"1"', 1)
    return created.headers["location"]


def test_every_answer_with_a_session_says_its_version(
    client: httpx2.Client, session: str, app: Nexus
) -> None:
    for answer in (client.get(session), client.patch(session, json={})):
        assert (answer.headers["etag"], answer.json()["version"]) == ('"1"', 1)
    patched = client.patch(session, json={"n": 2})
    assert (patched.headers["etag"], patched.json()["version"]) == ('"2"', 2)
    app.session_manager.update_session_state(session.rpartition("/")[2], {"n": 3})
    assert client.get(session).headers["etag"] == '"3"'
    assert client.post("/api/sessions").headers["etag"] == '"0"'


def endless() -> list[Any]:
    values: list[Any] = []
    values.append(values)
    return values


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("\ud800", "<str>"),
        ({"\ud800": 1}, "<dict>"),
        (10**5000, "<int>"),
        (endless(), "<list>"),
        (1j, "<complex>"),
    ],
    ids=["text", "key", "number", "endless", "type"],
)
def test_a_value_that_json_cannot_say_is_shown_by_its_type(
    client: httpx2.Client, session: str, app: Nexus, value: object, shown: str
) -> None:
    app.session_manager.update_session_state(session.rpartition("/")[2], {"odd": value})
    for answer in (client.get(session), client.patch(session, json={"n": 2})):
        assert (answer.status_code, answer.json()["state"]["odd"]) == (200, shown)
    assert client.get(session).json()["state"]["n"] == 2


CONDITIONS = {
    200: ['"1"', '"0", "1"', '"x" ,, "1",', "*"],
    412: ['"0"', '"0", "2"', 'W/"1"', '"01"', '"99999999999999999999999"', '""'],
    400: ["1", '"1', '"1" "2"', 'w/"1"', '*, "1"', ",", ""],
}


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("status", CONDITIONS)
def test_a_change_may_insist_on_versions(client: httpx2.Client, method: str, status: int) -> None:
    for condition in CONDITIONS[status]:
        session = client.post("/api/sessions", json={"state": {"n": 1}}).headers["location"]
        body = {"n": 2} if method == "PATCH" else None
        answer = client.request(method, session, headers={"If-Match": condition}, json=body)
        now = client.get(session)
        if status == 200:
            assert answer.status_code == (200 if method == "PATCH" else 204)
            assert now.status_code == (200 if method == "PATCH" else 404)
            continue
        assert answer.status_code == status
        assert now.json()["state"] == {"n": 1}
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        if status == 412:
            assert problem["type"] == "urn:kaizen-nexus:problem:version-conflict"
            assert (problem["version"], answer.headers["etag"]) == (1, '"1"')
        else:
            assert problem["type"] == "urn:kaizen-nexus:problem:malformed-condition"


def test_conditions_in_several_headers_are_one_list(client: httpx2.Client, session: str) -> None:
    headers = [("If-Match", '"7"'), ("If-Match", '"1"')]
    assert client.patch(session, json={"n": 2}, headers=headers).status_code == 200


def test_where_there_is_no_session_there_is_no_condition(client: httpx2.Client) -> None:
    for method, condition in itertools.product(("PATCH", "DELETE"), ('"1"', "*")):
        answer = client.request(method, "/api/sessions/nobody", headers={"If-Match": condition})
        assert answer.status_code == 404


def test_whoever_has_the_state_is_not_sent_it_again(client: httpx2.Client, session: str) -> None:
    conditions = ('"1"', 'W/"1"', '"0", W/"1"', "*")
    for condition in conditions:
        answer = client.get(session, headers={"If-None-Match": condition})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", '"1"')
    client.patch(session, json={"n": 2})
    for condition in conditions[:-1]:
        answer = client.get(session, headers={"If-None-Match": condition})
        assert (answer.status_code, answer.json()["state"]) == (200, {"n": 2})


def test_updates_of_different_keys_are_all_kept(app: Nexus, session: str) -> None:
    """From many clients at once, and from threads of the process beside them."""
    session_id = session.rpartition("/")[2]
    manager = app.session_manager

    def write(number: int) -> None:
        for step in range(KEYS):
            assert manager.update_session_state(session_id, {f"thread {number}/{step}": step})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]

    async def patch(client: httpx2.AsyncClient, number: int) -> None:
        for step in range(KEYS):
            answer = await client.patch(session, json={f"client {number}/{step}": step})
            assert answer.status_code == 200
            assert answer.json()["state"][f"client {number}/{step}"] == step

    async def main() -> None:
        async with httpx2.AsyncClient(base_url=app.url, timeout=30) as client:
            await asyncio.gather(*(patch(client, number) for number in range(WRITERS)))

    for thread in threads:
        thread.start()
    asyncio.run(main())
    for thread in threads:
        thread.join()
    state = manager.get_session_state(session_id)
    assert state is not None
    assert len(state) == 1 + 2 * WRITERS * KEYS
    held = manager.get_session(session_id)
    assert held is not None
    assert held.version == 1 + 2 * WRITERS * KEYS


def test_clients_that_add_to_one_number_lose_nothing(app: Nexus, session: str) -> None:
    clients, each = 6, 10
    conflicts = 0

    async def add(client: httpx2.AsyncClient) -> None:
        nonlocal conflicts
        for _ in range(each):
            while True:
                seen = await client.get(session)
                answer = await client.patch(
                    session,
                    json={"n": seen.json()["state"]["n"] + 1},
                    headers={"If-Match": seen.headers["etag"]},
                )
                if answer.status_code == 200:
                    break
                assert answer.status_code == 412
                conflicts += 1

    async def main() -> None:
        async with httpx2.AsyncClient(base_url=app.url, timeout=30) as client:
            await asyncio.gather(*(add(client) for _ in range(clients)))

    asyncio.run(main())
    assert app.session_manager.get_session_state(session.rpartition("/")[2]) == {
        "n": 1 + clients * each
    }
    assert conflicts > 0


def test_a_patch_does_not_wait_for_a_run_on_its_session(
    app: Nexus, client: httpx2.Client, session: str
) -> None:
    entered, go = threading.Event(), threading.Event()

    def agent(
        context: dict[str, Any] | None = None, session: CrossChannelSession | None = None
    ) -> Any:
        entered.set()
        assert go.wait(30)
        assert session is not None
        return {"context": context, "live": session.get_state(), "version": session.version}

    deploy_multi_channel(agent, app, "agent")

    async def main() -> dict[str, Any]:
        async with httpx2.AsyncClient(base_url=app.url, timeout=30) as asynchronous:
            run = asyncio.ensure_future(
                asynchronous.post(
                    "/api/workflows/agent/execute",
                    headers={"X-Session-ID": session.rpartition("/")[2]},
                )
            )
            await asyncio.to_thread(entered.wait, 30)
            patched = await asynchronous.patch(session, json={"n": 2})
            assert (patched.status_code, patched.json()["version"]) == (200, 2)
            go.set()
            result: dict[str, Any] = (await run).json()["result"]
            return result

    assert asyncio.run(main()) == {"context": {"n": 1}, "live": {"n": 2}, "version": 2}


def test_the_description_tells_of_versions(client: httpx2.Client) -> None:
    document = client.get("/openapi.json").json()
    operations = document["paths"]["/api/sessions/{id}"]
    parameters = {
        method: [parameter["name"] for parameter in operation["parameters"]]
        for method, operation in operations.items()
    }
    assert parameters == {
        "get": ["id", "If-None-Match"],
        "patch": ["id", "If-Match"],
        "delete": ["id", "If-Match"],
    }
    assert {"304", "400"} <= operations["get"]["responses"].keys()
    assert "412" in operations["patch"]["responses"]
    assert "ETag" in operations["get"]["responses"]["200"]["headers"]
    assert "version" in document["components"]["schemas"]["Session"]["required"]


def test_a_session_keeps_its_version_under_another_id(client: httpx2.Client, session: str) -> None:
    client.patch(session, json={"n": 2})
    answer = client.post(f"{session}/rotate")
    assert (answer.headers["etag"], answer.json()["state"]) == ('"2"', {"n": 2})
    assert client.get(answer.headers["location"]).headers["etag"] == '"2"'


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_session_that_is_replaced_while_a_request_arrives_is_looked_up_again(
    app: Nexus, session: str, method: str
) -> None:
    session_id = session.rpartition("/")[2]

    class Replacing(SessionEndpoints):
        """Finds a session, of which there is another one by the time it is changed."""

        def _find(self, request: Request) -> CrossChannelSession:
            if self._first:
                self._first = False
                found = super()._find(request)
                app.session_manager.create_session(session_id, user_id="ada")
                return found
            return super()._find(request)

        _first = True

    endpoints = Replacing(app.runtime, 1024)

    async def receive() -> Any:
        return {"type": "http.request", "body": b'{"n": 2}'}

    async def change() -> Response:
        request = Request(
            {
                "type": "http",
                "method": method,
                "path": session,
                "path_params": {"id": session_id},
                "headers": [(b"if-match", b'"1"')],
            },
            receive,
        )
        return await endpoints.one(request)

    answer = asyncio.run(change())
    assert (answer.status_code, answer.headers["etag"]) == (412, '"0"')
    assert app.session_manager.get_session_state(session_id) == {}
