from __future__ import annotations

import logging
from collections.abc import Iterator

import httpx2
import pytest

from kaizen_nexus import (
    Auth,
    CrossChannelSession,
    JwtSettings,
    Nexus,
    clear_deployment_cache,
    deploy_multi_channel,
)
from kaizen_nexus.access.keyfile import create_key
from tests.integration.access.people import Place, User
from tests.issuer import AUDIENCE, ISSUER, Issuer


def whose(session: CrossChannelSession | None = None) -> str:
    return session.user_id if session is not None else "nobody"


def secret(word: str = "") -> str:
    return f"not for everybody: {word}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("auth")
    issuer = Issuer()
    keys = folder / "keys.json"
    create_key(keys, "first", ["*"])
    jwt = JwtSettings(ISSUER, AUDIENCE, issuer.write(folder / "jwks.json"))
    app = Nexus(api_port=0, auth=Auth(api_keys=keys, jwt=jwt))
    clear_deployment_cache()  # other modules may have deployed these names
    deploy_multi_channel(whose, app, "whose")
    deploy_multi_channel(secret, app, "secret")
    app.start(blocking=False)
    with pytest.MonkeyPatch.context() as patch, httpx2.Client(base_url=app.url) as client:
        # Every request looks at the file: a test need not wait for a second to pass.
        patch.setattr("kaizen_nexus.access.keys.CHECK_SECONDS", 0)
        yield Place(app, client, issuer, keys)
    app.close()


@pytest.fixture(scope="module")
def users(place: Place) -> list[User]:
    return [
        place.key_user("ada"),
        place.key_user("bob", "whose"),
        place.token_user("ada"),
        place.token_user("cleo", "whose"),
    ]


@pytest.fixture(autouse=True)
def logs(caplog: pytest.LogCaptureFixture, users: list[User]) -> Iterator[None]:
    """Nothing that is logged in any test of this module holds a credential."""
    caplog.set_level(logging.DEBUG)
    yield
    for user in users:
        secret_part = user.credential[-30:]
        assert secret_part not in caplog.text
