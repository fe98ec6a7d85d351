"""``nexus run --stream``: printing a result while it is made."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from kaizen_nexus import Nexus, deploy_multi_channel

PATIENCE = 30
CLI = "/cli/run"


class Speaking:
    """An agent that says one thing each time it is told to go on."""

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.ends = 0
        self.ended = threading.Event()

    def run(self, what: list[Any]) -> Iterator[Any]:
        try:
            for each in what:
                if each == "boom":
                    raise RuntimeError("a secret")
                yield each
                self.go.acquire(timeout=PATIENCE)
        finally:
            self.ends += 1
            self.ended.set()


@pytest.fixture
def speaking(app: Nexus) -> Iterator[Speaking]:
    agent = Speaking()
    deploy_multi_channel(agent, app, "speak")
    yield agent
    agent.go.release(1000)
    app.deregister("speak")


def say(*what: Any) -> tuple[str, ...]:
    return ("run", "speak", "--stream", "-i", f"what:={json.dumps(what)}")


def test_each_chunk_is_printed_before_the_next_is_made(nexus: Any, speaking: Speaking) -> None:
    with nexus.start(*say("one ", "two", {"three": 3}, "four"), "--session", "new") as process:
        for expected in ("one ", "two", '\n{"three":3}\n', "four"):
            assert process.stdout.read(len(expected)) == expected
            speaking.go.release()
        assert process.stdout.read() == "\n"
        assert process.stderr.read().startswith("session: ")
    assert (process.returncode, speaking.ends) == (0, 1)


def test_as_json_each_chunk_is_a_line_and_so_is_what_is_known_besides(
    nexus: Any, speaking: Speaking
) -> None:
    speaking.go.release(2)
    done = nexus(*say("one", 2), "-o", "json")
    *chunks, last = map(json.loads, done.stdout.splitlines())
    assert chunks == ["one", 2]
    assert last.pop("duration_ms") > 0
    assert last == {"status": "success", "session_id": None, "chunks": 2}


def test_without_stream_it_is_the_whole(nexus: Any, speaking: Speaking) -> None:
    speaking.go.release(2)
    assert nexus("run", "speak", "--inputs", '{"what": ["one ", "two"]}').stdout == "one two\n"


@pytest.mark.parametrize("arguments", [("--query", "x"), ("--query", "x", "-o", "json")])
def test_what_does_not_stream_prints_what_it_prints_without(
    nexus: Any, arguments: tuple[str, ...]
) -> None:
    streamed = nexus("run", "shout", "--stream", *arguments).stdout
    assert streamed.splitlines()[0] == nexus("run", "shout", *arguments).stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("run", "nobody", "--stream"), 4, "no workflow named 'nobody'"),
        (("run", "speak", "--stream"), 2, "Missing option"),
        (say("boom"), 1, "the agent behind 'speak' failed"),
        ((*say("one"), "--session", "unknown"), 4, "there is no such session"),
    ],
)
def test_failures_before_the_first_chunk_end_as_without(
    nexus: Any, speaking: Speaking, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = nexus(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_a_failure_later_ends_the_line(nexus: Any, speaking: Speaking) -> None:
    speaking.go.release()
    done = nexus(*say("one", "boom"))
    assert (done.returncode, done.stdout) == (1, "one\n")
    assert done.stderr == "Error: the agent behind 'speak' failed; its server's log says why\n"
    assert speaking.ends == 1


def test_ctrl_c_stops_the_agent(nexus: Any, app: Nexus, speaking: Speaking) -> None:
    before = app.runtime.executor.given_up
    with nexus.start(*say("one", "two", "three")) as process:
        assert process.stdout.read(3) == "one"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    never = threading.Event()
    while app.runtime.executor.given_up == before:
        never.wait(0.001)
    speaking.go.release()
    assert speaking.ended.wait(PATIENCE)
    assert speaking.ends == 1


def test_whoever_stops_reading_stops_the_agent(nexus: Any, speaking: Speaking) -> None:
    with nexus.start(*say(*["line\n"] * 100)) as process:
        assert process.stdout.readline() == "line\n"
        process.stdout.close()
        speaking.go.release(100)
        assert process.wait(PATIENCE) == 141
    assert speaking.ended.wait(PATIENCE)


def test_a_client_that_cannot_print_parts_gets_the_whole(http: Any, speaking: Speaking) -> None:
    speaking.go.release(2)
    argv = list(say("one ", "two")[1:])
    answer = http.post(CLI, json={"argv": argv}).json()
    assert answer == {"exit_code": 0, "stdout": "one two\n", "stderr": ""}


def test_another_server_that_answers_in_lines(program: Any, other_server: Any) -> None:
    lines = b'{"stdout": "a"}\n{"stdout": "b"}\n{"exit_code": 7, "stdout": "c", "stderr": "d"}\n'
    url = other_server(200, lines, **{"Content-Type": "application/jsonl"})
    done = program("run", "it", "--url", url)
    assert (done.returncode, done.stdout, done.stderr) == (7, "abc", "d")
    url = other_server(200, b'{"stdout": "a"}\nwhat?\n', **{"Content-Type": "application/jsonl"})
    done = program("run", "it", "--url", url)
    assert (done.returncode, done.stdout) == (3, "a")
