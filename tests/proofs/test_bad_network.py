"""Clients behind a bad network: they succeed, or know that they did not, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.proofs.bad_network import HARMLESS, UNSENT, BadNetwork, Fault
from tests.proofs.observing import held, settles

if TYPE_CHECKING:
    from tests.proofs.conftest import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc"),
]

SERVICE = """\
from kaizen_nexus import CrossChannelSession, Nexus, deploy_with_sessions


async def append(number: int, session: CrossChannelSession | None = None) -> list[int]:
    numbers = [*session.get_state().get("numbers", []), number]
    session.update_state({"numbers": numbers})
    return numbers


app = Nexus()
deploy_with_sessions(append, app, "append")
"""
FAULTS = tuple(Fault)
CLIENTS = 5
"""Each with a session of its own, all at the same time."""
SHORT, LONG = 5, 500
"""How often each client meets each fault."""
PATIENCE = 20.0


class NoAnswerError(Exception):
    """There was no answer, and the client can tell."""


def test_requests_succeed_or_fail_cleanly_and_run_once(
    serve: Callable[..., Server], full: bool
) -> None:
    server = serve(SERVICE)
    session = create_session(server.url)
    asyncio.run(ask(server.port, session, 0, {}))
    baseline = held(server.pid, server.url)
    sessions = [create_session(server.url) for _ in range(CLIENTS)]
    outcomes = asyncio.run(converse(server.port, sessions, LONG if full else SHORT))
    settles(server.pid, server.url, baseline)
    for fault in FAULTS:
        succeeded = outcomes[fault, True]
        assert succeeded + outcomes[fault, False] > 0
        if fault in HARMLESS:
            assert outcomes[fault, False] == 0, fault
        elif fault is not Fault.HALF_CLOSED:
            assert succeeded == 0, fault
    assert "Traceback" not in "".join(server.log)


async def converse(port: int, sessions: list[str], rounds: int) -> Counter[tuple[Fault, bool]]:
    """Let every client talk over the bad network; return how often what ended how."""
    network = BadNetwork(port, FAULTS)
    outcomes: Counter[tuple[Fault, bool]] = Counter()
    async with network.listening() as bad_port:
        clients = (
            Client(port, bad_port, network, session, outcomes).talk(rounds * len(FAULTS))
            for session in sessions
        )
        await asyncio.gather(*clients)
    return outcomes


class Client:
    """Appends one number after the other to what its session remembers."""

    def __init__(
        self,
        port: int,
        bad_port: int,
        network: BadNetwork,
        session: str,
        outcomes: Counter[tuple[Fault, bool]],
    ) -> None:
        self._port = port
        self._bad_port = bad_port
        self._network = network
        self._session = session
        self._outcomes = outcomes

    async def talk(self, number_of_requests: int) -> None:
        """Send each number over the bad network, and again over a good one if that failed."""
        for number in range(number_of_requests):
            expected = list(range(number + 1))
            key = {"Idempotency-Key": f'"{self._session}-{number}"'}
            fault, numbers = await self._over_the_bad_network(number, key)
            self._outcomes[fault, numbers is not None] += 1
            if numbers is None:
                if fault in UNSENT:
                    assert self._remembered() == expected[:-1], fault
                numbers = await ask(self._port, self._session, number, key)
            # In order, each once: whether or not the first attempt has reached the agent.
            assert numbers == expected, fault

    async def _over_the_bad_network(
        self, number: int, key: dict[str, str]
    ) -> tuple[Fault, list[int] | None]:
        ports: list[int] = []
        try:
            numbers = await ask(self._bad_port, self._session, number, key, ports)
        except NoAnswerError:
            return self._network.fault_of[ports[0]], None
        return self._network.fault_of[ports[0]], numbers

    def _remembered(self) -> list[int]:
        url = f"http://127.0.0.1:{self._port}/api/sessions/{self._session}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            numbers: list[int] = json.load(answer)["state"].get("numbers", [])
        return numbers


async def ask(
    port: int,
    session: str,
    number: int,
    headers: dict[str, str],
    ports: list[int] | None = None,
) -> list[int]:
    """Ask over a connection of its own, whose port is appended to `ports`.

    Raises
    ------
    NoAnswerError
        There was no complete answer.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    if ports is not None:
        ports.append(writer.get_extra_info("sockname")[1])
    try:
        return await asyncio.wait_for(_asked(reader, writer, session, number, headers), PATIENCE)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise NoAnswerError from error
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _asked(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    session: str,
    number: int,
    headers: dict[str, str],
) -> list[int]:
    body = json.dumps({"number": number})
    lines = ["POST /api/workflows/append/execute HTTP/1.1", "Host: localhost"]
    lines += [f"Content-Length: {len(body)}", f"X-Session-ID: {session}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    assert head.startswith("http/1.1 200 "), head
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    answer: dict[str, Any] = json.loads(await reader.readexactly(length))
    assert answer["session_id"] == session
    numbers: list[int] = answer["result"]
    return numbers


def create_session(url: str) -> str:
    request = urllib.request.Request(f"{url}/api/sessions", b"{}", method="POST")  # noqa: S310
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
        session: str = json.load(answer)["session_id"]
    return session
