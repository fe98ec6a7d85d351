"""How an app authenticates its callers: plain settings, checked when they are made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["ALGORITHMS", "Auth", "JwtSettings"]

ALGORITHMS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
"""Which algorithms may be allowed, and the type of their keys.

Algorithms with a shared secret (HS256) are left out: whoever can verify such a token can also make
one, and if a public key is mistaken for the secret, everybody can.
"""
_PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+(?:/[A-Za-z0-9._~%/-]*)?", re.ASCII)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class JwtSettings:
    """Which JSON Web Tokens are accepted.

    Raises
    ------
    ValueError
        A setting is missing or cannot be used.
    """

    issuer: str
    """The value that a token's ``iss`` must have."""
    audience: str | Sequence[str]
    """The names of this app at the issuer, one of which a token's ``aud`` must contain."""
    jwks: str | Path
    """The issuer's public keys (a JWK set): a file, or an ``https`` URL."""
    algorithms: Sequence[str] = ("RS256", "ES256", "EdDSA")
    """The algorithms that a token may be signed with."""
    leeway: float = 30.0
    """Seconds by which the issuer's clock may differ."""
    scope_prefix: str = ""
    """The prefix of the scopes for this app, such as ``"agents:"``; it is removed."""
    refresh_seconds: float = 600.0
    """For how long the keys of a URL are trusted; they are fetched again after half of it."""
    retry_seconds: float = 30.0
    """The least time between two fetches, also for an unknown key."""
    timeout: float = 5.0
    """Seconds that a fetch may take."""

    def __post_init__(self) -> None:
        if not self.issuer or not self.audiences or not all(self.audiences):
            raise ValueError("JwtSettings needs an issuer and an audience, neither of them empty")
        wrong = sorted(set(self.algorithms) - ALGORITHMS.keys())
        if wrong or not self.algorithms or isinstance(self.algorithms, str):
            known = ", ".join(ALGORITHMS)
            raise ValueError(f"algorithms must be some of {known}; got {wrong or self.algorithms}")
        if not (self.leeway >= 0 and self.retry_seconds >= 0):
            raise ValueError("leeway and retry_seconds must be numbers of seconds, at least 0")
        if not (self.timeout > 0 and self.refresh_seconds > 0):
            raise ValueError("timeout and refresh_seconds must be numbers of seconds, more than 0")
        url = self.url
        if url is not None:
            parts = urlsplit(url)
            if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
                raise ValueError(
                    f"jwks must be an https URL: what {url} answers can be changed on the way"
                )

    @property
    def audiences(self) -> tuple[str, ...]:
        """The audiences, however many were given."""
        given = self.audience
        return (given,) if isinstance(given, str) else tuple(given)

    @property
    def url(self) -> str | None:
        """Where the keys are fetched; None if they are in a file."""
        text = str(self.jwks)
        return text if text.lower().startswith(("https://", "http://")) else None


@dataclass(frozen=True)
class Auth:
    """How an app authenticates its callers: by API keys, by tokens, or both.

    Without `jwt` it is by API keys, in the default file unless `api_keys` names another.

    Raises
    ------
    ValueError
        `public_url` is not the URL of an app.
    """

    api_keys: str | Path | None = None
    """The file that ``nexus keys`` keeps; default is ``$KAIZEN_NEXUS_KEYS`` or, in the current
    folder, ``nexus-keys.json``."""
    jwt: JwtSettings | None = None
    """Which tokens are accepted; None means none."""
    public_url: str | None = None
    """The URL at which clients reach the app, where the app cannot know it, as behind a proxy with
    TLS; the metadata for MCP clients names it."""

    def __post_init__(self) -> None:
        url = self.public_url
        if url is not None and not _PUBLIC_URL.fullmatch(url):
            raise ValueError(
                f"public_url: {url!r} is not a URL such as 'https://agents.example.com/nexus'"
            )
