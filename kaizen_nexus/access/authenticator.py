"""Identifies callers by the credentials that they present."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kaizen_nexus._extras import missing_extra
from kaizen_nexus.access.errors import UnauthenticatedError
from kaizen_nexus.access.keys import KEY_PREFIX, KeyStore, default_key_file

if TYPE_CHECKING:
    from kaizen_nexus.access.callers import Caller
    from kaizen_nexus.access.settings import Auth
    from kaizen_nexus.access.tokens import TokenVerifier

__all__ = ["Authenticator"]

INVALID = "invalid_token"
"""The error code of RFC 6750 for a credential that is not valid."""
MAX_LENGTH = 8 * 1024
"""The most characters that a credential may have; longer ones are refused unread."""


class Authenticator:
    """Accepts API keys, tokens, or both.

    Parameters
    ----------
    auth
        Which credentials to accept.

    Raises
    ------
    ImportError
        Tokens need the extra ``auth``, which is not installed.
    ValueError
        The file of the issuer's keys holds no usable key.
    """

    def __init__(self, auth: Auth) -> None:
        self.settings = auth
        self._keys: KeyStore | None = None
        self._tokens: TokenVerifier | None = None
        if auth.api_keys is not None or auth.jwt is None:
            path = default_key_file() if auth.api_keys is None else Path(auth.api_keys).absolute()
            self._keys = KeyStore(path)
        if auth.jwt is not None:
            try:
                from kaizen_nexus.access.tokens import TokenVerifier
            except ModuleNotFoundError as error:
                missing_extra("Auth(jwt=...)", "auth", error)
            self._tokens = TokenVerifier(auth.jwt)

    def find_key(self, credential: str) -> Caller | None:
        """Return the caller whose API key `credential` is, or None if it is not a valid key."""
        if self._keys is None or len(credential) > MAX_LENGTH:
            return None
        return self._keys.find(credential) if credential.startswith(KEY_PREFIX) else None

    async def identify(self, credential: str, *, key_only: bool = False) -> Caller:
        """Return the caller whose API key or, unless `key_only`, token `credential` is.

        Raises
        ------
        UnauthenticatedError
            The credential is not valid.
        AuthenticationUnavailableError
            The credential cannot be checked at the moment.
        """
        caller: Caller | None = None
        if len(credential) > MAX_LENGTH:
            raise UnauthenticatedError(
                f"the credential is longer than {MAX_LENGTH} characters", INVALID
            )
        if credential.startswith(KEY_PREFIX):
            caller = self.find_key(credential)
            if caller is None:
                raise UnauthenticatedError(
                    "the API key is unknown to this server, was revoked, or has expired", INVALID
                )
        elif self._tokens is not None and not key_only:
            caller = await self._tokens.verify(credential)
        if caller is None:
            raise UnauthenticatedError(
                "this server does not accept that kind of credential", INVALID
            )
        return caller
