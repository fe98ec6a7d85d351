"""Identifies who sent each request, before a channel sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kaizen_nexus.access.errors import AuthenticationUnavailableError, UnauthenticatedError
from kaizen_nexus.http.credentials import challenge, sent_by
from kaizen_nexus.http.problems import problem_of, problem_response
from kaizen_nexus.http.responses import json_response

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from kaizen_nexus.access.authenticator import Authenticator
    from kaizen_nexus.access.callers import Caller
    from kaizen_nexus.http.rate_limit import RateLimit

__all__ = ["METADATA_PATH", "Authentication"]

METADATA_PATH = "/.well-known/oauth-protected-resource"
MCP_PATH = "/mcp"
POLICY_VIOLATION = 1008
"""What a WebSocket is closed with."""
METADATA_PATHS = frozenset({METADATA_PATH, f"{METADATA_PATH}{MCP_PATH}"})
OPEN_PATHS = frozenset({"/health/live", "/health/ready"})
"""What load balancers ask, who have no credentials; they tell no more than that the app lives."""


class AmbiguousCredentialsError(Exception):
    """A request presents several credentials, of which another server may choose another one."""

    def __init__(self) -> None:
        super().__init__(
            "present one credential: one Authorization header, or one X-API-Key header"
        )


class Authentication:
    """ASGI middleware that passes on requests with valid credentials, and who sent them.

    Parameters
    ----------
    app
        What answers them.
    authenticator
        What checks credentials.
    rate_limit
        What counts the requests that are refused, by their addresses.
    """

    def __init__(
        self, app: ASGIApp, authenticator: Authenticator, rate_limit: RateLimit | None = None
    ) -> None:
        self._app = app
        self._rate_limit = rate_limit
        self._authenticator = authenticator
        self._jwt = authenticator.settings.jwt
        self._public_url = authenticator.settings.public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a WebSocket, which no channel offers
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path in OPEN_PATHS:
            await self._app(scope, receive, send)
        elif self._jwt is not None and path in METADATA_PATHS:
            await self._answer(self._metadata(scope, path), scope, receive, send)
        else:
            await self._ask(scope, receive, send)

    def caller_at_once(self, headers: Mapping[bytes, bytes]) -> Caller | None:
        """Return who sent a request, where its headers alone tell.

        Parameters
        ----------
        headers
            The request's headers by name, in lower case, each of which comes once.

        Returns
        -------
        Caller or None
            None if there is no valid API key: then calling this middleware decides, and answers.
        """
        bearer, key = headers.get(b"authorization"), headers.get(b"x-api-key")
        if bearer is None:
            return None if key is None else self._authenticator.find_key(key.decode("latin-1"))
        if key is not None:
            return None
        return self._authenticator.find_key(_credential_in(bearer) or "")

    async def _ask(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            caller = await self._caller(scope)
        except (UnauthenticatedError, AuthenticationUnavailableError) as error:
            response, _ = problem_of(error)
            if isinstance(error, UnauthenticatedError) and self._jwt is not None:
                metadata = f"{self._url(scope)}{METADATA_PATH}{MCP_PATH}"
                response.headers.update(challenge(error.code, metadata=metadata))
        except AmbiguousCredentialsError as error:
            response = problem_response(
                400,
                slug="ambiguous-credentials",
                detail=str(error),
                headers=challenge("invalid_request"),
            )
        else:
            await self._app(sent_by(caller, scope, self._caller), receive, send)
            return
        await self._answer(response, scope, receive, send)

    async def _answer(self, response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        if self._rate_limit is None:
            await response(scope, receive, send)
        else:
            await self._rate_limit.let(response, scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller:
        bearers = [value for name, value in scope["headers"] if name == b"authorization"]
        keys = [value for name, value in scope["headers"] if name == b"x-api-key"]
        if len(bearers) + len(keys) > 1:
            raise AmbiguousCredentialsError
        if keys:
            return await self._authenticator.identify(keys[0].decode("latin-1"), key_only=True)
        if not bearers:
            raise UnauthenticatedError
        credential = _credential_in(bearers[0])
        if credential is None:
            raise UnauthenticatedError
        return await self._authenticator.identify(credential)

    def _metadata(self, scope: Scope, path: str) -> Response:
        """Return which issuer's tokens are accepted, as RFC 9728 has it."""
        assert self._jwt is not None  # noqa: S101  # this is called for no other app
        return json_response(
            {
                "resource": f"{self._url(scope)}{path.removeprefix(METADATA_PATH)}",
                "authorization_servers": [self._jwt.issuer],
                "bearer_methods_supported": ["header"],
            }
        )

    def _url(self, scope: Scope) -> str:
        if self._public_url is not None:
            return self._public_url.rstrip("/")
        host = next(value for name, value in scope["headers"] if name == b"host").decode("latin-1")
        return f"{scope['scheme']}://{host}{scope.get('root_path', '')}"


def _credential_in(authorization: bytes) -> str | None:
    """Return the credential in an ``Authorization`` header of the scheme ``Bearer``."""
    scheme, _, credential = authorization.decode("latin-1").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else None
