"""Why a caller is refused."""

from __future__ import annotations

from kaizen_nexus._errors import NexusError

__all__ = ["AuthenticationUnavailableError", "ForbiddenError", "UnauthenticatedError"]


class UnauthenticatedError(NexusError):
    """The caller is unknown: there are no credentials, or they are not valid."""

    def __init__(self, reason: str = "", code: str = "") -> None:
        # The reason must not quote the credentials: they may be a secret.
        self.code = code
        """The error code of RFC 6750; empty if there were no credentials."""
        super().__init__(
            reason
            or "this server requires credentials: send an API key or a token as 'Authorization: "
            "Bearer ...'; the nexus program takes it from the environment variable NEXUS_API_KEY"
        )


class ForbiddenError(NexusError):
    """The caller may not use this, whether or not it exists."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(f"your credentials do not have the scope {scope[:128]!r}")


class AuthenticationUnavailableError(NexusError):
    """Credentials cannot be checked at the moment, so they are refused."""

    def __init__(self) -> None:
        super().__init__("the token issuer's keys cannot be fetched at the moment: try again later")
