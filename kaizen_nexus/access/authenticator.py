"""From what a caller presents to who the caller is."""

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
"""RFC 6750's name for whatever is wrong with a credential."""
MAX_LENGTH = 8 * 1024
"""Characters of a credential; what is longer is not looked at."""


class Authenticator:
    """Believes API keys, tokens, or both.

    Parameters
    ----------
    auth
        Which.

    Raises
    ------
    ImportError
        Tokens are to be believed, and the extra ``auth`` is not installed.
    ValueError
        The file of the issuer's keys is none.
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

    async def identify(self, credential: str, *, key_only: bool = False) -> Caller:
        """Return who presents `credential`, a key or, unless `key_only`, a token.

        Raises
        ------
        UnauthenticatedError
            It is not believed.
        AuthenticationUnavailableError
            It cannot be checked at the moment.
        """
        caller: Caller | None = None
        if len(credential) > MAX_LENGTH:
            raise UnauthenticatedError(f"no credential is longer than {MAX_LENGTH}", INVALID)
        if credential.startswith(KEY_PREFIX):
            caller = None if self._keys is None else self._keys.find(credential)
            if caller is None:
                raise UnauthenticatedError(
                    "the API key is unknown here, was revoked, or has expired", INVALID
                )
        elif self._tokens is not None and not key_only:
            caller = await self._tokens.verify(credential)
        if caller is None:
            raise UnauthenticatedError("this server takes no credential of that kind", INVALID)
        return caller
