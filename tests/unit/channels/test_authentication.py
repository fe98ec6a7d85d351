"""Identifying callers by a request's headers alone, as the middleware identifies them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kaizen_nexus.access.authenticator import Authenticator
from kaizen_nexus.access.callers import Caller
from kaizen_nexus.access.keyfile import create_key
from kaizen_nexus.access.settings import Auth
from kaizen_nexus.http.authentication import Authentication
from kaizen_nexus.http.credentials import caller_of


class Answering:
    """An app that remembers who asked."""

    caller: Caller | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.caller = caller_of(scope)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def key(file: Path) -> str:
    return create_key(file, "ada", ["echo"])[0]


@pytest.mark.parametrize(
    ("headers", "is_known"),
    [
        ({}, False),
        ({"x-api-key": "{key}"}, True),
        ({"authorization": "Bearer {key}"}, True),
        ({"authorization": "bearer  {key} "}, True),
        ({"authorization": "Basic {key}"}, False),
        ({"authorization": "{key}"}, False),
        ({"authorization": "Bearer {key}", "x-api-key": "{key}"}, False),
        ({"x-api-key": "{key}x"}, False),
        ({"x-api-key": "kn_" + "a" * 10_000}, False),
        ({"authorization": "Bearer a.b.c"}, False),
        ({"authorization": "Bearer \xff"}, False),
    ],
)
def test_a_caller_is_known_at_once_if_the_middleware_lets_it_in(
    file: Path, key: str, headers: dict[str, str], is_known: bool
) -> None:
    app = Answering()
    authentication = Authentication(app, Authenticator(Auth(api_keys=file)))
    raw = {
        name.encode(): value.format(key=key).encode("latin-1") for name, value in headers.items()
    }
    found = authentication.caller_at_once(raw)
    assert (found is not None) is is_known

    async def send(message: Any) -> None:
        pass

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [*raw.items()]}
    asyncio.run(authentication(scope, None, send))  # type: ignore[arg-type]
    assert app.caller == found
