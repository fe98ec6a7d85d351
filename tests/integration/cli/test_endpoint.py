"""``POST /cli/run`` itself: what other clients than ours may send, and what they get."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from kaizen_nexus import Nexus

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def http(app: Nexus) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=app.url, timeout=10) as client:
        yield client


def problem(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json().get("detail", "")


def test_a_run_is_answered_with_exit_code_and_streams(http: httpx2.Client) -> None:
    answer = http.post("/cli/run", json={"argv": ["shout", "--query", "é"]})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"exit_code": 0, "stdout": "É\n", "stderr": ""}


def test_a_command_line_that_fails_is_no_http_error(http: httpx2.Client) -> None:
    answer = http.post("/cli/run", json={"argv": ["fail", "--query", "x"]})
    assert answer.status_code == 200
    assert answer.json()["exit_code"] == 1


def test_colour_is_for_those_who_ask(http: httpx2.Client) -> None:
    call = {"argv": ["echo"], "color": True}
    assert (
        "\n\x1b[31m\x1b[1mError:\x1b[0m Missing"
        in http.post("/cli/run", json=call).json()["stderr"]
    )
    call["color"] = False
    assert "\x1b" not in http.post("/cli/run", json=call).json()["stderr"]


def test_members_of_newer_clients_are_ignored(http: httpx2.Client) -> None:
    call = {"argv": ["shout", "--query", "x"], "columns": 1, "locale": "de"}
    assert http.post("/cli/run", json=call).json()["stdout"] == "X\n"


def test_a_redeployed_workflow_has_new_options_at_once(http: httpx2.Client, app: Nexus) -> None:
    def first(a: str) -> str:
        return a

    def second(b: str) -> str:
        return b

    for agent, option in ((first, "--a"), (second, "--b")):
        app.register("changing", agent)
        answer = http.post("/cli/run", json={"argv": ["changing", option, "x"]})
        assert answer.json() == {"exit_code": 0, "stdout": "x\n", "stderr": ""}


@pytest.mark.parametrize(
    ("argv", "incomplete", "lines"),
    [
        ([], "sh", ["shout\t"]),
        ([], "nothing", []),
        (["echo"], "--q", ["--query\tWhat to repeat. [required]"]),
        (["echo", "--style"], "", ["loud\t", "plain\t"]),
        (["missing"], "--", []),
    ],
)
def test_completions_come_one_a_line(
    http: httpx2.Client, argv: list[str], incomplete: str, lines: list[str]
) -> None:
    answer = http.post("/cli/run", json={"argv": argv, "complete": incomplete}).json()
    assert (answer["exit_code"], answer["stderr"]) == (0, "")
    assert answer["stdout"].splitlines() == lines


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"argv": []}',
        b'{"argv": "shout"}',
        b'{"argv": ["shout", 7]}',
        b'{"argv": [null]}',
        b'{"argv": ["shout"], "columns": "wide"}',
        b'{"argv": ["shout"], "columns": 1e400}',
        b'{"argv": ["shout"], "color": "red"}',
        b'{"argv": ["shout"], "complete": 1}',
    ],
)
def test_another_shape_is_unprocessable(http: httpx2.Client, body: bytes) -> None:
    status, detail = problem(http.post("/cli/run", content=body, headers=JSON))
    assert status in {400, 422}
    assert detail


@pytest.mark.parametrize(
    "body",
    [b"[]", b"7", b"{", b'{"argv": ["\xff"]}', rb'{"argv": ["\ud800"]}', b'{"argv":[],"argv":[]}'],
)
def test_what_is_no_json_object_is_a_bad_request(http: httpx2.Client, body: bytes) -> None:
    assert problem(http.post("/cli/run", content=body, headers=JSON))[0] == 400


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_web_page_elsewhere_cannot_run_commands(http: httpx2.Client, media_type: str) -> None:
    body = json.dumps({"argv": ["shout", "--query", "x"]}).encode()
    answer = http.post("/cli/run", content=body, headers={"Content-Type": media_type})
    assert problem(answer) == (415, "the content type must be application/json")


def test_json_in_another_spelling_of_its_type_is_json(http: httpx2.Client) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    body = json.dumps({"argv": ["shout", "--query", "x"]}).encode()
    assert http.post("/cli/run", content=body, headers=headers).status_code == 200


def test_other_methods_are_refused(http: httpx2.Client) -> None:
    assert problem(http.get("/cli/run"))[0] == 405


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
def test_a_body_that_is_too_large_is_refused_while_it_arrives(
    http: httpx2.Client, declared: bool
) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(10_000):
            taken += 1
            yield b" " * 10_000

    content: Any = b" " * (4 * 1024 * 1024 + 1) if declared else endless()
    try:
        status, detail = problem(http.post("/cli/run", content=content, headers=JSON))
    except httpx2.TransportError:
        # The connection is closed on the sender, who may not get to read the answer.
        assert taken
    else:
        assert (status, detail) == (
            413,
            "the body is larger than 1048576 bytes, which is the limit",
        )
    assert taken < 10_000
