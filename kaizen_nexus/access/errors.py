"""Why a caller is not let in, or not let do something."""

from __future__ import annotations

from kaizen_nexus._errors import NexusError

__all__ = ["AuthenticationUnavailableError", "ForbiddenError", "UnauthenticatedError"]


class UnauthenticatedError(NexusError):
    """It is not known who calls: there are no credentials, or none that can be believed."""

    def __init__(self, reason: str = "", code: str = "") -> None:
        # The reason says nothing of what was presented: it may be somebody's secret.
        self.code = code
        """What RFC 6750 calls it; empty where nothing was presented."""
        super().__init__(
            reason
            or "this server asks who calls: send an API key or a token as 'Authorization: Bearer "
            "...', which the nexus program takes from the environment variable NEXUS_API_KEY"
        )


class ForbiddenError(NexusError):
    """The caller has no right to this; whether it exists is not said."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(f"your credentials do not have the scope {scope[:128]!r}")


class AuthenticationUnavailableError(NexusError):
    """Credentials cannot be checked at the moment, so nobody is let in with them."""

    def __init__(self) -> None:
        super().__init__("the issuer's keys cannot be had at the moment; try again")
