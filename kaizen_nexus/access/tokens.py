"""JSON Web Tokens: which are believed, and what they say of a caller."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt

from kaizen_nexus.access.callers import ANONYMOUS, LOCAL, Caller
from kaizen_nexus.access.errors import UnauthenticatedError
from kaizen_nexus.access.jwks import IssuerKeys, PublicKey
from kaizen_nexus.access.policy import granted
from kaizen_nexus.access.settings import ALGORITHMS, JwtSettings

__all__ = ["TokenVerifier"]

MAX_SUBJECT = 256
MAX_SCOPES = 1_000
MAX_BELIEVED = 1_024
"""How many tokens are remembered."""
KEY_OWNER = "key:"
"""What the ids of callers with API keys begin with, and those of others must not."""
_OTHERS = frozenset({ANONYMOUS.id, LOCAL.id})
_REQUIRED = ["exp", "iss", "aud", "sub"]


@dataclass(frozen=True)
class _Believed:
    """What was found out of a token."""

    caller: Caller
    key_id: str | None
    key: PublicKey
    until: float
    """Seconds since the epoch."""


class TokenVerifier:
    """Believes the tokens of one issuer that were made for this app.

    Parameters
    ----------
    settings
        Which.
    keys
        The issuer's keys; default is where the settings say.
    wall_clock
        Seconds since the epoch, for how long a token is remembered.
    """

    def __init__(
        self,
        settings: JwtSettings,
        keys: IssuerKeys | None = None,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._wall_clock = wall_clock
        self._believed: dict[bytes, _Believed] = {}
        self._keys = IssuerKeys(settings) if keys is None else keys
        self._algorithms = frozenset(settings.algorithms)

    async def verify(self, token: str) -> Caller:
        """Return whom a token speaks of.

        What was found out of a token is remembered until it expires, or its key is fetched again:
        checking a signature takes longer than all else that a request needs.

        Raises
        ------
        UnauthenticatedError
            It is not believed.
        AuthenticationUnavailableError
            It cannot be checked at the moment.
        """
        fingerprint = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._believed.get(fingerprint)
        if (
            known is not None
            and self._wall_clock() < known.until
            and await self._keys.find(known.key_id) is known.key
        ):
            return known.caller
        algorithm, key_id = self._header(token)
        key = await self._keys.find(key_id)
        if key is None:
            raise _refused("the token was signed with a key that its issuer does not publish")
        # A key is good for its own kind of algorithms, whatever the token says of itself.
        if key.kind != ALGORITHMS[algorithm] or key.algorithm not in {None, algorithm}:
            raise _refused("the token was not signed with that kind of key")
        claims = self._claims(token, key, algorithm)
        caller = self._caller(claims)
        if len(self._believed) >= MAX_BELIEVED:
            del self._believed[next(iter(self._believed))]
        until = claims["exp"] + self._settings.leeway
        self._believed[fingerprint] = _Believed(caller, key_id, key, until)
        return caller

    def _header(self, token: str) -> tuple[str, str | None]:
        """Return what a token, of which nothing is believed yet, says it was signed with."""
        try:
            header = jwt.get_unverified_header(token)
        except Exception:  # whatever there is to say of what anybody may send
            raise _refused("the token is none") from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise _refused("the token is not signed with an algorithm that is allowed here")
        if "crit" in header:
            raise _refused("the token demands something that is not known here")
        if key_id is not None and not isinstance(key_id, str):
            raise _refused("the token is none")
        return algorithm, key_id

    def _claims(self, token: str, key: PublicKey, algorithm: str) -> dict[str, Any]:
        settings = self._settings
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                issuer=settings.issuer,
                audience=settings.audiences,
                leeway=settings.leeway,
                options={"require": _REQUIRED},
            )
            # Which not every whole number of JSON can be.
            claims["exp"] = float(claims["exp"])
        except jwt.ExpiredSignatureError:
            reason = "the token has expired"
        except jwt.ImmatureSignatureError:
            reason = "the token is not valid yet"
        except jwt.InvalidAudienceError:
            reason = "the token was made for another audience"
        except jwt.InvalidIssuerError:
            reason = "the token comes from another issuer"
        except jwt.MissingRequiredClaimError:
            reason = f"the token lacks one of the claims {', '.join(_REQUIRED)}"
        except Exception:  # what cannot be checked is not believed
            reason = "the token's signature or form is wrong"
        else:
            return claims
        raise _refused(reason)

    def _caller(self, claims: dict[str, Any]) -> Caller:
        subject = claims["sub"]
        named = (
            isinstance(subject, str)
            and subject.strip()
            and subject.isprintable()
            and len(subject) <= MAX_SUBJECT
        )
        if not named or subject in _OTHERS or subject.startswith(KEY_OWNER):
            raise _refused("the token's subject cannot be a caller here")
        scopes = _texts(claims.get("scope")) + _texts(claims.get("scp"))
        prefix = self._settings.scope_prefix
        held = [scope[len(prefix) :] for scope in scopes[:MAX_SCOPES] if scope.startswith(prefix)]
        return Caller(subject, granted(held), authenticated=True)


def _texts(claim: object) -> list[str]:
    """Return the scopes of a claim, which is a list or, in one string, has spaces between them."""
    if isinstance(claim, str):
        return claim.split()
    return [text for text in claim if isinstance(text, str)] if isinstance(claim, list) else []


def _refused(reason: str) -> UnauthenticatedError:
    return UnauthenticatedError(reason, "invalid_token")
