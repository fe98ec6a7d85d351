"""Tokens: which are believed, and where the issuer's keys come from."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kaizen_nexus.access.callers import Caller
from kaizen_nexus.access.errors import UnauthenticatedError
from kaizen_nexus.access.jwks import IssuerKeys
from kaizen_nexus.access.settings import Auth, JwtSettings
from kaizen_nexus.access.tokens import TokenVerifier
from tests.issuer import AUDIENCE, ISSUER, Clock, Issuer, published, signed_with_hmac, unsigned


@pytest.fixture
def settings(issuer: Issuer, tmp_path: Path) -> JwtSettings:
    return JwtSettings(ISSUER, AUDIENCE, issuer.write(tmp_path / "keys.json"))


def verify(settings: JwtSettings, token: str) -> Caller:
    return asyncio.run(TokenVerifier(settings).verify(token))


def test_a_token_says_who_calls_and_with_which_scopes(
    issuer: Issuer, settings: JwtSettings
) -> None:
    caller = verify(settings, issuer.token("ada", "faq assistant"))
    assert caller == Caller("ada", frozenset({"faq", "assistant"}), authenticated=True)
    assert verify(settings, issuer.token("ada", "faq *")).scopes is None
    token = issuer.token(scope=None, scp=["faq", 3])
    assert verify(settings, token).scopes == {"faq"}
    assert verify(settings, issuer.token(scope=None)).scopes == frozenset()


def test_a_token_may_be_for_several_audiences_and_signed_with_any_key_of_the_issuer(
    issuer: Issuer, settings: JwtSettings
) -> None:
    assert verify(settings, issuer.token(aud=["https://other.example", AUDIENCE])).id == "ada"
    token = jwt.encode(issuer.claims(), issuer.ec, "ES256", {"kid": "ec"})
    assert verify(settings, token).id == "ada"


def test_scopes_of_other_apps_do_not_count(issuer: Issuer, settings: JwtSettings) -> None:
    ours = JwtSettings(ISSUER, AUDIENCE, settings.jwks, scope_prefix="agents:")
    caller = verify(ours, issuer.token(scope="agents:faq mail:read *"))
    assert caller.scopes == {"faq"}


NOW = int(time.time())


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW - 60},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 1e400},
        {"exp": 10**400},
        {"nbf": NOW + 86_400},
        {"iat": NOW + 86_400},
        {"iss": "https://other.example"},
        {"iss": None},
        {"iss": [ISSUER]},
        {"aud": "https://other.example/mcp"},
        {"aud": f"{AUDIENCE}/"},
        {"aud": []},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"sub": " "},
        {"sub": 7},
        {"sub": "a" * 257},
        {"sub": "anonymous"},
        {"sub": "key:ada"},
        {"sub": "ada\r\nlog line"},
        {"sub": "\udc80"},
    ],
    ids=lambda changes: re.sub(r"\d{10}", "TIME", str(changes))[:40],
)
def test_a_token_with_such_a_claim_is_not_believed(
    issuer: Issuer, settings: JwtSettings, changes: dict[str, Any]
) -> None:
    claims = issuer.claims(**changes)
    payload = json.dumps(claims).encode()  # as it is: PyJWT would refuse to make some of these
    token = jwt.api_jws.encode(payload, issuer.rsa, "RS256", {"kid": "rsa"})
    with pytest.raises(UnauthenticatedError):
        verify(settings, token)


def forged(issuer: Issuer) -> dict[str, str]:
    stranger = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    claims, good = issuer.claims(), issuer.token()
    head, body, signature = good.split(".")
    eve = issuer.token("eve").split(".")[1]
    return {
        "another's key under a known id": jwt.encode(claims, stranger, "RS256", {"kid": "rsa"}),
        "an unknown id": jwt.encode(claims, issuer.rsa, "RS256", {"kid": "none such"}),
        "no id where there are several": jwt.encode(claims, issuer.rsa, "RS256"),
        "an algorithm that is not allowed": jwt.encode(claims, issuer.rsa, "PS256", {"kid": "rsa"}),
        "an algorithm of another kind of key": jwt.encode(
            claims, issuer.ec, "ES256", {"kid": "rsa"}
        ),
        "no algorithm": unsigned(claims),
        "no algorithm, spelt otherwise": unsigned(claims, "NoNe"),
        "an algorithm that is none": unsigned(claims, "\udcff\r\n"),
        "a public key as the secret": signed_with_hmac(claims, issuer.public_pem(), kid="rsa"),
        "a published secret": signed_with_hmac(claims, b"secret" * 8, kid="shared"),
        "a demand": jwt.encode(claims, issuer.rsa, "RS256", {"kid": "rsa", "crit": ["exp"]}),
        "a number as the id": signed_with_hmac(claims, b"x", alg="RS256", kid=7),
        "another's claims": f"{head}.{eve}.{signature}",
        "no signature": f"{head}.{body}.",
        "a part too many": f"{good}.{signature}",
        "a part too few": f"{head}.{body}",
        "nothing": "",
        "dots": "..",
        "garbage": "\x00\xff" * 100,
        "deep nesting": ".".join(["W1tb" * 1_000] * 3),
    }


def test_what_is_forged_is_not_believed(issuer: Issuer, settings: JwtSettings) -> None:
    verifier = TokenVerifier(settings)
    for how, token in forged(issuer).items():
        with pytest.raises(UnauthenticatedError) as caught:
            asyncio.run(verifier.verify(token))
        assert caught.value.code == "invalid_token", how
        assert not token or token not in str(caught.value), how


def test_the_issuers_clock_may_be_off_a_little(issuer: Issuer, settings: JwtSettings) -> None:
    now = int(time.time())
    assert verify(settings, issuer.token(exp=now - 5)).id == "ada"
    assert verify(settings, issuer.token(nbf=now + 5)).id == "ada"


@pytest.mark.parametrize(
    "url",
    [
        "agents.example.com",
        "ftp://agents.example.com",
        "https://",
        "https://agents.example.com/?x=1",
        'https://agents.example.com/"',
        "https://agents.example.com/\r\nX: y",
    ],
)
def test_a_public_url_that_no_challenge_could_name_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="public_url"):
        Auth(public_url=url)


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": ""},
        {"audience": ""},
        {"audience": []},
        {"algorithms": ["HS256"]},
        {"algorithms": ["RS256", "none"]},
        {"algorithms": []},
        {"algorithms": "RS256"},
        {"jwks": "http://issuer.example/keys"},
        {"leeway": -1},
        {"retry_seconds": -1},
        {"retry_seconds": float("nan")},
        {"timeout": 0},
    ],
    ids=str,
)
def test_settings_that_would_let_others_in_are_refused(changes: dict[str, Any]) -> None:
    settings = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": "keys.json", **changes}
    with pytest.raises(ValueError, match=r"\w"):
        JwtSettings(**settings)


def test_a_token_that_was_believed_is_checked_again_when_it_expires_or_its_key_has_changed(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, wall = Clock(), Clock()
    wall.now = time.time()
    checked = 0
    decode = jwt.decode

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal checked
        checked += 1
        return decode(*arguments, **options)

    monkeypatch.setattr(jwt, "decode", counted)

    async def scenario() -> None:
        with published(issuer.jwks()) as place:
            settings = JwtSettings(ISSUER, AUDIENCE, place.url)
            keys = IssuerKeys(settings, clock=clock)
            verifier = TokenVerifier(settings, keys, wall_clock=wall)
            token = issuer.token()
            assert await verifier.verify(token) == await verifier.verify(token)
            assert checked == 1
            wall.now += 600 + settings.leeway
            await verifier.verify(token)  # by the system's clock it is still good
            assert checked == 2
            wall.now = time.time()
            place.body = json.dumps(Issuer().jwks()).encode()
            clock.now += settings.refresh_seconds
            with pytest.raises(UnauthenticatedError):
                await verifier.verify(token)
            assert checked == 3

    asyncio.run(scenario())
