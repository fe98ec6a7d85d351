"""The load generators of the suite ``serve``, and what it makes of their figures."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import bench.__main__ as harness
from bench.core.contenders import WrongAnswerError
from bench.report import Section
from bench.serve import load, plots, tools
from bench.serve.contenders import BARE, FASTAPI, KAILASH, LITSERVE, OURS, contenders, serving
from bench.serve.generator import NUMBER, VALUE
from bench.serve.latency import DRAWN
from bench.serve.load import Load, closed_loop, open_loop
from bench.serve.processes import SERVERS, Server, ServerFailedError, environment, free_port
from bench.serve.requests import Template
from bench.serve.scale import FULL, QUICK
from bench.serve.throughput import Measured, against

TEMPLATE = Template("/", {"X-Value": VALUE}, f'{{"query":"number {NUMBER}"}}', f"number {NUMBER}")
WITH_VALUES = Template(**{**TEMPLATE.__dict__, "values": ("a", "b")})
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
        measured = closed_loop(port, WITH_VALUES, 0.05, connections=4, exact=True)
    assert measured.requests == measured.offered == len(seen)
    assert len({request.partition(b"\r\n\r\n")[2] for request in seen}) == len(seen)
    assert {request.partition(b"X-Value: ")[2][:1] for request in seen} == {b"a", b"b"}
    assert 0 < measured.p50 <= measured.p99 < 10


def test_an_open_loop_charges_a_stall_to_what_was_due_meanwhile() -> None:
    stall = 0.3
    with answering(same, stall) as (port, seen):
        measured = open_loop(port, TEMPLATE, seconds=0.4, rate=1_000, seed=1)
    assert measured.requests == measured.offered == len(seen)
    assert 300 < measured.offered < 500
    # A generator that waited for the server would have found one slow answer among hundreds.
    assert measured.p50 > stall / 4
    assert measured.p99 > stall * 0.8


@pytest.mark.parametrize("answer", [lambda _: b"{}", lambda body: body.replace(b"number", b"")])
def test_a_wrong_answer_ends_the_run(answer: Answer) -> None:
    with answering(answer) as (port, _), pytest.raises(WrongAnswerError):
        closed_loop(port, TEMPLATE, 0.05, exact=True)


def test_wrk_sends_the_same_requests_as_the_generator(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # In place of wrk, a program that keeps the script and prints what wrk's `done` would.
    result = {"requests": 10, "seconds": 1.0, "p50": 0.001, "p99": 0.002, "errors": 0}
    program = tmp_path / "wrk"
    program.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        "script = pathlib.Path(sys.argv[sys.argv.index('-s') + 1]).read_text()\n"
        f"pathlib.Path({str(tmp_path / 'seen')!r}).write_text(script)\n"
        f"print('...')\nprint('{json.dumps(result)}')\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(load.shutil, "which", lambda _: str(program))
    assert closed_loop(9, WITH_VALUES, 1) == Load(10, 1.0, 0.001, 0.002, 10)
    script = (tmp_path / "seen").read_text()
    assert '"{\\"query\\":\\"number @NUMBER@\\"}"' in script
    assert '{"a","b"}' in script
    result["errors"] = 1
    program.write_text(f"#!{sys.executable}\nprint('{json.dumps(result)}')\n")
    with pytest.raises(WrongAnswerError, match="errors under load"):
        closed_loop(9, WITH_VALUES, 1)


def loads(*rates: float) -> Measured:
    measured = [Load(int(rate), 1.0, 0.001, 0.002, int(rate)) for rate in rates]
    return Measured(measured, [0.0001] * len(rates))


def test_a_comparison_is_made_round_by_round_and_judged() -> None:
    measured = {OURS: loads(300, 600, 900), FASTAPI: loads(100, 200, 300)}
    row = against((OURS, FASTAPI, 2.5), measured, {}, FULL)
    assert row.met
    assert row.figure.startswith("3.00x as fast (3.00 to 3.00)")
    assert against((OURS, FASTAPI, 3.5), measured, {}, FULL).met is False
    assert against((OURS, FASTAPI, 2.5), measured, {}, QUICK).met is None
    share = against((FASTAPI, OURS, 0.5), measured, {}, FULL)
    assert (share.figure, share.met) == ("33% of its requests (33% to 33%)", False)


def test_a_contender_that_is_left_out_is_said_so() -> None:
    row = against((OURS, KAILASH, 3.0), {OURS: loads(1)}, {KAILASH: "it is not installed"}, FULL)
    assert (row.met, row.figure, row.reason) == (None, "-", "it is not installed")


def test_a_contender_may_have_an_interpreter_of_its_own() -> None:
    absent = {c.name: c.missing for c in contenders({LITSERVE: "/nowhere/python"})}
    assert absent[LITSERVE] == "/nowhere/python cannot be run: No such file or directory"
    assert absent[OURS] == absent[BARE] == ""
    with pytest.raises(SystemExit):
        harness.main(["serve", "--python", "another=/usr/bin/python3"])


def test_only_the_bare_app_and_ours_are_needed() -> None:
    chosen = [c for c in contenders({}) if c.name in {OURS, BARE}]
    with serving(chosen) as (running, missing):
        assert missing == {}
        ours = running[OURS]
        # They are stopped until it is their turn, and use no time meanwhile.
        assert ours.server.cpu_seconds() == ours.server.cpu_seconds() > 0
        with ours.awake():
            closed_loop(ours.server.port, ours.template, 0.05, connections=2, exact=True)
        assert len(ours.template.values) > load.CONNECTIONS


def test_a_server_that_does_not_start_says_why() -> None:
    port = free_port()
    command = [sys.executable, "-c", "raise SystemExit('no luck')"]
    with Server(command, port, environment()) as server, pytest.raises(ServerFailedError) as failed:
        server.wait()
    assert failed.value.reason == "no luck"


def test_every_server_of_the_suite_is_there() -> None:
    programs = {path.stem for path in SERVERS.glob("*.py")}
    assert {"nexus_agents", "bare_echo", "fastapi_agent", "sdk_tools", "fastmcp_tools"} <= programs
    assert json.loads(tools.TEMPLATE.body)["params"]["arguments"]["query"] == tools.QUERY


def test_the_curves_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    points = [{"offered": 1_000.0 * n, "p50": 0.001 * n, "p99": 0.01 * n} for n in (1, 2)]
    section = Section("Curves", [], {"latency_by_load": dict.fromkeys(DRAWN, points)})
    (path,) = plots.write([section], tmp_path)
    text = path.read_text()
    assert path.name == "latency-by-load.svg"
    assert all(name in text for name in DRAWN)
