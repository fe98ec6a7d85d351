"""Agents that misbehave, beside others under a steady load, which must not notice.

Each kind of poison is asked for all the time. Until it is quarantined it may cost the others some
time, but no request; after that not even time. The long form compares the 99th percentile of the
others' latencies with what it is while a sound agent is asked for as much in its place: medians
over alternate rounds.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.proofs.conftest import Server

pytestmark = pytest.mark.slow

PATIENCE = 30
EVERY = 0.02
"""Seconds between two requests of a client."""
ON_TIME = 5 * EVERY
"""Seconds that an answer takes at most when nothing is left of a backlog."""
HELD_UP = 0.6
"""Seconds for which an agent blocks or spins."""

SERVICE = f"""\
import asyncio
import contextlib
import time

from kaizen_nexus import Nexus, Quarantine, deploy_multi_channel


async def quick(query: str) -> str:
    return query


async def sound(query: str) -> str:
    return query


def threaded(query: str) -> str:
    return query


async def raises(query: str) -> str:
    raise RuntimeError("poison")


async def hangs(query: str) -> str:
    await asyncio.Event().wait()


def hangs_in_a_thread(query: str) -> str:
    time.sleep(3600)


async def swallows_cancellation(query: str) -> str:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


async def blocks(query: str) -> str:
    time.sleep({HELD_UP})
    return query


async def spins(query: str) -> str:
    end = time.monotonic() + {HELD_UP}
    while time.monotonic() < end:
        pass
    return query


app = Nexus(max_threads=8, quarantine=Quarantine(failures=4, pause=120, max_pause=300))
for agent in (quick, sound, threaded):
    deploy_multi_channel(agent, app, agent.__name__)
for agent in (raises, hangs, hangs_in_a_thread, swallows_cancellation, blocks, spins):
    app.limit(agent.__name__, max_running=4, max_waiting=4, timeout=0.3)
    deploy_multi_channel(agent, app, agent.__name__)
"""

HEALTHY = ("quick", "threaded")
POISONS = (
    "raises",
    "hangs",
    "hangs_in_a_thread",
    "swallows_cancellation",
    "blocks",
    "spins",
)
ENDING = ("blocks", "spins")
"""Those that end by themselves: until then they use the processor in their threads."""


class Client:
    """Asks for workflows in turn, at a steady pace, and keeps when, for how long, and the status.

    The latency is counted from when a request was due, so one that is late makes those late that
    had to wait for it.
    """

    def __init__(self, port: int, names: tuple[str, ...]) -> None:
        self._port = port
        self._names = names
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.answers: list[tuple[float, float, int]] = []

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(PATIENCE)

    def between(self, begin: float, end: float) -> list[float]:
        """Return the latencies of those that were due then, in seconds."""
        return [latency for due, latency, _ in self.answers.copy() if begin <= due < end]

    def wait_for(self, condition: Callable[[float, float], bool]) -> None:
        """Return once an answer has come that was due, and took, as `condition` says."""
        end = time.monotonic() + PATIENCE
        seen = len(self.answers)
        while not any(condition(due, latency) for due, latency, _ in self.answers[seen:]):
            assert time.monotonic() < end, self.answers[-1:]
            self._end.wait(EVERY)

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        with contextlib.closing(connection):
            due = time.monotonic()
            while not self._end.wait(max(0.0, due - time.monotonic())):
                name = self._names[len(self.answers) % len(self._names)]
                connection.request("POST", f"/api/workflows/{name}/execute", b'{"query": "x"}')
                answer = connection.getresponse()
                answer.read()
                self.answers.append((due, time.monotonic() - due, answer.status))
                due += EVERY


@contextlib.contextmanager
def load(port: int, names: tuple[str, ...], clients: int = 2) -> Iterator[list[Client]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Client(port, names)) for _ in range(clients)]


def get(server: Server, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return json.load(connection.getresponse())


def until(server: Server, name: str, condition: Callable[[Any], bool]) -> None:
    """Return once the quarantine's numbers of `name` are seen to be so."""
    end = time.monotonic() + PATIENCE
    pace = threading.Event()
    while True:
        numbers = get(server, "/metrics.json")["quarantine"]
        if name in numbers and condition(numbers[name][0]):
            return
        assert time.monotonic() < end, numbers
        pace.wait(EVERY)


def latencies(clients: list[Client], seconds: float) -> list[float]:
    """Return the latencies of what is due from now on, for so long, however late it is answered."""
    begin = time.monotonic()
    end = begin + seconds
    for client in clients:
        client.wait_for(lambda due, _: due >= end)
    return [latency for client in clients for latency in client.between(begin, end)]


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


@pytest.mark.timeout(400)
def test_the_others_notice_nothing_of_an_agent_that_is_quarantined(
    serve: Callable[..., Server], full: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(SERVICE)
    seconds, rounds = (2.0, 5) if full else (0.3, 1)
    ratios: dict[str, float] = {}
    figures: list[str] = []
    with load(server.port, HEALTHY) as healthy:
        for poison in POISONS:
            normal: list[list[float]] = []
            beside: list[list[float]] = []
            with load(server.port, (poison,)):
                until(server, poison, lambda numbers: numbers["circuit"] == "open")
            if poison in ENDING:
                until(server, poison, lambda numbers: numbers["abandoned"] == 0)
            for client in healthy:  # what could not be answered until then is answered first
                client.wait_for(lambda _, latency: latency < ON_TIME)
            for _ in range(rounds):
                with load(server.port, ("sound",)):
                    normal.append(latencies(healthy, seconds))
                with load(server.port, (poison,)) as poisoned:
                    beside.append(latencies(healthy, seconds))
                assert {status for client in poisoned for _, _, status in client.answers} == {503}
            assert max(map(max, beside)) < HELD_UP / 2, poison
            without, with_it = (statistics.median(map(p99, each)) for each in (normal, beside))
            ratios[poison] = with_it / without
            figures.append(
                f"{poison}: p99 {without * 1e3:.2f} ms beside a sound one, {with_it * 1e3:.2f} ms "
                f"beside it, x{ratios[poison]:.2f}"
            )
        answers = [answer for client in healthy for answer in client.answers]
    assert len(answers) > 100
    assert {status for _, _, status in answers} == {200}
    numbers = get(server, "/metrics.json")["quarantine"]
    assert set(numbers) == set(POISONS)
    assert {name for name in POISONS if numbers[name][0]["isolated"]} == {"blocks", "spins"}
    for line in ("'raises' (version 1) has failed 4 times in a row", "blocked the event loop"):
        server.wait_for(line)
    if full:
        with capsys.disabled():
            sys.stdout.write("\n".join(["", *figures, ""]))
        assert all(ratio < 2 for ratio in ratios.values()), ratios
