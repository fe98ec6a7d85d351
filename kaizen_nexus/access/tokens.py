"""JSON Web Tokens: which are accepted, and what they say about a caller."""

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
MAX_ACCEPTED = 1_024
"""How many tokens are remembered."""
KEY_OWNER = "key:"
"""Ids of callers with API keys begin with this; the subject of a token must not."""
_OTHERS = frozenset({ANONYMOUS.id, LOCAL.id})
_REQUIRED = ["exp", "iss", "aud", "sub"]


@dataclass(frozen=True)
class _Accepted:
    """The result of checking a token."""

    caller: Caller
    key_id: str | None
    key: PublicKey
    until: float
    """Seconds since the epoch."""


class TokenVerifier:
    """Accepts the tokens that one issuer made for this app.

    Parameters
    ----------
    settings
        Which tokens to accept.
    keys
        The issuer's keys; by default those that the settings name.
    wall_clock
        Seconds since the epoch, by which remembered tokens expire.
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
        self._accepted: dict[bytes, _Accepted] = {}
        self._keys = IssuerKeys(settings) if keys is None else keys
        self._algorithms = frozenset(settings.algorithms)

    async def verify(self, token: str) -> Caller:
        """Return the caller that a token names.

        The result is remembered until the token expires, or its key is fetched again: verifying a
        signature takes longer than everything else that a request needs.

        Raises
        ------
        UnauthenticatedError
            The token is not valid.
        AuthenticationUnavailableError
            The token cannot be checked at the moment.
        """
        fingerprint = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._accepted.get(fingerprint)
        if (
            known is not None
            and self._wall_clock() < known.until
            and await self._keys.find(known.key_id) is known.key
        ):
            return known.caller
        algorithm, key_id = self._header(token)
        key = await self._keys.find(key_id)
        if key is None:
            raise _refused("the issuer publishes no key with the token's key id")
        # The key decides which algorithms may be used with it, not the token.
        if key.kind != ALGORITHMS[algorithm] or key.algorithm not in {None, algorithm}:
            raise _refused("the token's algorithm does not fit its key")
        claims = self._claims(token, key, algorithm)
        caller = self._caller(claims)
        if len(self._accepted) >= MAX_ACCEPTED:
            del self._accepted[next(iter(self._accepted))]
        until = claims["exp"] + self._settings.leeway
        self._accepted[fingerprint] = _Accepted(caller, key_id, key, until)
        return caller

    def _header(self, token: str) -> tuple[str, str | None]:
        """Return the algorithm and key id that an unverified token names."""
        try:
            header = jwt.get_unverified_header(token)
        except Exception:  # anybody may send anything
            raise _refused("the token is not a valid JWT") from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise _refused("the token's algorithm is not one of those that this server allows")
        if "crit" in header:
            raise _refused("this server supports no critical header parameters")
        if key_id is not None and not isinstance(key_id, str):
            raise _refused("the token is not a valid JWT")
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
            # JSON has whole numbers that no float can hold.
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
        except Exception:  # what cannot be checked is refused
            reason = "the token's signature or a claim is malformed or wrong"
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
            raise _refused("the token's subject cannot be used as a caller's id")
        scopes = _texts(claims.get("scope")) + _texts(claims.get("scp"))
        prefix = self._settings.scope_prefix
        held = [scope[len(prefix) :] for scope in scopes[:MAX_SCOPES] if scope.startswith(prefix)]
        return Caller(subject, granted(held), authenticated=True)


def _texts(claim: object) -> list[str]:
    """Return the scopes of a claim: a list of strings, or one string with spaces in between."""
    if isinstance(claim, str):
        return claim.split()
    return [text for text in claim if isinstance(text, str)] if isinstance(claim, list) else []


def _refused(reason: str) -> UnauthenticatedError:
    return UnauthenticatedError(reason, "invalid_token")
