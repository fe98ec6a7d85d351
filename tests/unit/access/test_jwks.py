"""The issuer's keys: where they come from, how long they are believed, and what that may take."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from pathlib import Path
from socketserver import StreamRequestHandler, TCPServer

import pytest

from kaizen_nexus.access.errors import AuthenticationUnavailableError
from kaizen_nexus.access.jwks import MAX_BYTES, IssuerKeys
from kaizen_nexus.access.settings import JwtSettings
from kaizen_nexus.access.tokens import TokenVerifier
from tests.issuer import AUDIENCE, ISSUER, Clock, Issuer, published


@pytest.mark.parametrize(
    "text", ["", "{}", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "YQ"}]}']
)
def test_a_file_without_public_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"\w"):
        IssuerKeys(JwtSettings(ISSUER, AUDIENCE, path))


def test_keys_of_a_url_are_fetched_once_and_for_an_unknown_key_once_in_a_while(
    issuer: Issuer,
) -> None:
    clock = Clock()

    async def scenario() -> None:
        with published(issuer.jwks()) as place:
            keys = IssuerKeys(JwtSettings(ISSUER, AUDIENCE, place.url), clock=clock)
            found = await asyncio.gather(*(keys.find("rsa") for _ in range(20)))
            assert None not in found
            assert place.asked == 1
            for _ in range(20):
                assert await keys.find("none such") is None
            assert place.asked == 1
            clock.now += 31
            assert await keys.find("none such") is None
            assert await keys.find("none such") is None
            assert place.asked == 2

    asyncio.run(scenario())


def test_new_keys_are_found_and_withdrawn_ones_forgotten(issuer: Issuer) -> None:
    clock = Clock()
    successor = Issuer()

    async def scenario() -> None:
        with published(issuer.jwks()) as place:
            keys = IssuerKeys(JwtSettings(ISSUER, AUDIENCE, place.url), clock=clock)
            before = await keys.find("rsa")
            document = json.dumps(successor.jwks()).replace('"rsa"', '"next"')
            place.body = document.encode()
            clock.now += 31
            assert await keys.find("next") is not None
            assert before is not None
            assert await keys.find("rsa") is None

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b""), (200, b"<html>"), (200, b'{"keys": []}'), (200, b" " * (MAX_BYTES + 1))],
    ids=["failure", "page", "no keys", "too long"],
)
def test_where_keys_cannot_be_had_nobody_is_let_in(
    issuer: Issuer, status: int, body: bytes
) -> None:
    clock = Clock()

    async def scenario() -> None:
        with published(issuer.jwks()) as place:
            settings = JwtSettings(ISSUER, AUDIENCE, place.url)
            verifier = TokenVerifier(settings, IssuerKeys(settings, clock=clock))
            good, place.status, place.body = place.body, status, body
            with pytest.raises(AuthenticationUnavailableError):
                await verifier.verify(issuer.token())
            clock.now += 31
            place.status, place.body = 200, good
            assert (await verifier.verify(issuer.token())).id == "ada"
            # Those that are known serve for a while, and no longer.
            place.status, place.body = status, body
            clock.now += settings.refresh_seconds - 1
            assert (await verifier.verify(issuer.token())).id == "ada"
            clock.now += 31
            with pytest.raises(AuthenticationUnavailableError):
                await verifier.verify(issuer.token())

    asyncio.run(scenario())


def test_redirects_are_not_followed(issuer: Issuer) -> None:
    async def scenario() -> None:
        with published(issuer.jwks()) as elsewhere, published({}) as place:
            place.status, place.location = 302, elsewhere.url
            keys = IssuerKeys(JwtSettings(ISSUER, AUDIENCE, place.url))
            with pytest.raises(AuthenticationUnavailableError):
                await keys.find("rsa")
            assert elsewhere.asked == 0

    asyncio.run(scenario())


def test_keys_that_come_byte_by_byte_are_not_waited_for_longer_than_others(issuer: Issuer) -> None:
    """Nor does a thread stay behind that reads them."""
    threads = set(threading.enumerate())
    ended = threading.Event()

    class Dripping(StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
            with contextlib.suppress(OSError):
                while not ended.wait(0.01):
                    self.wfile.write(b" ")
            ended.set()

    async def scenario() -> None:
        settings = JwtSettings(ISSUER, AUDIENCE, f"http://127.0.0.1:{port}/keys", timeout=0.1)
        with pytest.raises(AuthenticationUnavailableError):
            await IssuerKeys(settings).find("rsa")
        assert await asyncio.to_thread(ended.wait, 10), "whoever sent them was not hung up on"

    with TCPServer(("127.0.0.1", 0), Dripping) as server:
        port = server.server_address[1]
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        asyncio.run(scenario())
        thread.join()
    assert set(threading.enumerate()) <= threads


def test_who_gives_up_waiting_for_the_keys_does_not_end_it_for_others(issuer: Issuer) -> None:
    async def scenario() -> None:
        with published(issuer.jwks()) as place:
            keys = IssuerKeys(JwtSettings(ISSUER, AUDIENCE, place.url))
            first = asyncio.ensure_future(keys.find("rsa"))
            second = asyncio.ensure_future(keys.find("rsa"))
            await asyncio.sleep(0)
            first.cancel()
            assert await second is not None
            assert place.asked == 1

    asyncio.run(scenario())
