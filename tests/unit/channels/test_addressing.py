"""Hosts that were accepted once are accepted without another look, and nothing else is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kaizen_nexus.http.addressing import MAX_FAMILIAR, AddressCheck

HOST = (b"host", b"localhost:8000")


async def accepted(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


def status(check: AddressCheck, *headers: tuple[bytes, bytes], server: str = "127.0.0.1") -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    scope = {"type": "http", "headers": list(headers), "server": (server, 8000), "method": "GET"}
    asyncio.run(check(scope, receive, send))
    code: int = sent[0]["status"]
    return code


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([HOST], 200),
        ([HOST, HOST], 400),
        ([], 400),
        ([HOST, (b"host", b"evil.example")], 400),
        ([(b"host", b"evil.example")], 421),
        ([HOST, (b"origin", b"http://evil.example")], 403),
        ([(b"origin", b"http://evil.example"), HOST], 403),
        ([HOST, (b"origin", b"http://localhost:8000")], 200),
    ],
)
def test_a_familiar_host_hides_nothing_else(headers: list[tuple[bytes, bytes]], code: int) -> None:
    check = AddressCheck(accepted)
    for _ in range(2):
        assert status(check, HOST) == 200
        assert status(check, *headers) == code


def test_the_address_itself_is_looked_at_each_time() -> None:
    check = AddressCheck(accepted)
    address = (b"host", b"192.0.2.1:8000")
    assert status(check, address, server="192.0.2.1") == 200
    assert status(check, address, server="192.0.2.2") == 421


def test_what_is_remembered_is_bounded() -> None:
    check = AddressCheck(accepted)
    for port in range(2 * MAX_FAMILIAR):
        assert status(check, (b"host", b"localhost:%d" % port)) == 200
    assert len(check.familiar) == MAX_FAMILIAR
