"""The load generators of the suite ``serve``, and what it makes of their figures."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import bench.__main__ as harness
from bench.comparing import Target
from bench.core.contenders import WrongAnswerError
from bench.report import Row
from bench.serve import tools
from bench.serve.cases import QUERY, cases, make_key
from bench.serve.contenders import (
    BARE,
    BEFORE,
    FASTAPI,
    GUARDED,
    KAILASH,
    OURS,
    contenders,
    serving,
)
from bench.serve.generator import NUMBER, VALUE
from bench.serve.load import Load, load
from bench.serve.processes import SERVERS, Server, ServerFailedError, environment, free_port
from bench.serve.requests import Template
from bench.serve.scale import FULL, QUICK, Scale
from bench.serve.throughput import Measured, compared_rows

TEMPLATE = Template("/", f'{{"query":"number {NUMBER}"}}', f"number {NUMBER}", {"X-Value": VALUE})
WITH_VALUES = replace(TEMPLATE, values=("a", "b"))
Answer = Callable[[bytes], bytes]


def same(body: bytes) -> bytes:
    return body


@contextmanager
def answering(answer: Answer, stall: float = 0.0) -> Iterator[tuple[int, list[bytes]]]:
    """Answer every request on a free port; give the port, and the heads and bodies that came.

    The first request is answered `stall` seconds late, and with it all that come meanwhile.
    """
    seen: list[bytes] = []
    started = threading.Event()
    ports: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                if not seen and stall:
                    threading.Event().wait(stall)  # the whole server stalls, not this request
                seen.append(head + body)
                text = answer(body)
                size = str(len(text)).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: " + size + b"\r\n\r\n" + text)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(finished.set))
        finished = asyncio.Event()
        started.set()
        await finished.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    stop: list[Callable[[], object]] = []
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert started.wait(10)
    try:
        yield ports[0], seen
    finally:
        stop[0]()
        thread.join(10)


def test_a_closed_loop_sends_each_body_once_and_counts_every_answer() -> None:
    with answering(same) as (port, seen):
        measured = load(port, WITH_VALUES, 0.05, connections=4)
    assert measured.requests == measured.offered == len(seen)
    assert len({request.partition(b"\r\n\r\n")[2] for request in seen}) == len(seen)
    assert {request.partition(b"X-Value: ")[2][:1] for request in seen} == {b"a", b"b"}
    assert 0 < measured.p50 <= measured.p99 < 10


def test_an_open_loop_charges_a_stall_to_what_was_due_meanwhile() -> None:
    stall = 0.3
    with answering(same, stall) as (port, seen):
        measured = load(port, TEMPLATE, seconds=0.4, rate=1_000, seed=1)
    assert measured.requests == measured.offered == len(seen)
    assert 300 < measured.offered < 500
    # A generator that waited for the server would have found one slow answer among hundreds.
    assert measured.p50 > stall / 4
    assert measured.p99 > stall * 0.8


@pytest.mark.parametrize("answer", [lambda _: b"{}", lambda body: body.replace(b"number", b"")])
def test_a_wrong_answer_ends_the_run(answer: Answer) -> None:
    with answering(answer) as (port, _), pytest.raises(WrongAnswerError):
        load(port, TEMPLATE, 0.05)


def loads(*microseconds: float) -> Measured:
    return Measured([Load(100, 1.0, 0.001, 0.002, 100)] * 3, [1e-6 * us for us in microseconds])


def test_servers_are_compared_by_cpu_time_round_by_round_and_judged() -> None:
    measured = {OURS: loads(100, 200, 300), FASTAPI: loads(300, 600, 900)}

    def row(factor: float | None, scale: Scale = FULL) -> Row:
        targets = (Target(FASTAPI, factor),)
        (row,) = compared_rows("a case", OURS, targets, measured, missing={}, scale=scale)
        return row

    assert row(2.5).met
    assert row(2.5).name == "a case: kaizen-nexus against FastAPI"
    assert row(2.5).figure == "3.00x as fast (3.00 to 3.00); 200 us against 600 us"
    assert row(3.5).met is False
    assert row(2.5, QUICK).met is None
    assert row(None).target == ""


def test_another_version_is_compared_without_a_target_and_an_absent_rival_is_named() -> None:
    measured = {OURS: loads(100, 100, 100), BEFORE: loads(200, 200, 200)}
    missing = {KAILASH: "it is not installed"}
    absent, before = compared_rows(
        "a case", OURS, (Target(KAILASH, 3.0),), measured, missing=missing, scale=FULL
    )
    assert (absent.met, absent.figure, absent.reason) == (None, "-", "it is not installed")
    assert (before.figure[:7], before.target) == ("2.00x a", "")


def test_a_contender_may_have_an_interpreter_of_its_own(tmp_path: Path) -> None:
    pythons = dict.fromkeys((KAILASH, BEFORE), "/nowhere/python")
    absent = {c.name: c.missing for c in contenders(pythons, tmp_path)}
    assert absent[BEFORE] == absent[KAILASH]
    assert absent[KAILASH] == "/nowhere/python cannot be run: No such file or directory"
    assert absent[OURS] == absent[BARE] == ""
    with pytest.raises(SystemExit):
        harness.main(["serve", "--python", "another=/usr/bin/python3"])


@pytest.mark.slow
def test_each_case_is_answered_rightly_by_ours_and_by_the_bare_app(tmp_path: Path) -> None:
    key_file = tmp_path / "keys.json"
    key = make_key(key_file)
    chosen = [c for c in contenders({}, key_file) if c.name in {OURS, BARE, GUARDED}]
    with serving(chosen) as (running, missing):
        assert missing == {}
        ours = running[OURS]
        # They are stopped until it is their turn, and use no time meanwhile.
        assert ours.server.cpu_seconds() == ours.server.cpu_seconds() > 0
        for case in cases(running, key):
            for name in set(case.sent) & set(running):
                with running[name].awake() as server:
                    sent = case.sent[name]
                    assert load(server.port, sent, 0.05, case.connections).requests
        assert len(case.sent[OURS].values) > case.connections


def test_a_server_that_does_not_start_says_why() -> None:
    port = free_port()
    command = [sys.executable, "-c", "raise SystemExit('no luck')"]
    with Server(command, port, environment()) as server, pytest.raises(ServerFailedError) as failed:
        server.wait()
    assert failed.value.reason == "no luck"


def test_every_server_of_the_suite_is_there() -> None:
    programs = {path.stem for path in SERVERS.glob("*.py")}
    assert {"nexus_agents", "bare_echo", "fastapi_agent", "sdk_tools", "fastmcp_tools"} <= programs
    assert json.loads(tools.TEMPLATE.body)["params"]["arguments"]["query"] == QUERY
