"""Who sent a request, as the authentication ahead of the channels found out."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from kaizen_nexus.access.callers import ANONYMOUS, Caller

if TYPE_CHECKING:
    from starlette.types import Scope

    from kaizen_nexus.access.policy import Access

    _Ask = Callable[[Scope], Awaitable[Caller]]

__all__ = ["caller_of", "challenge", "recheck", "sent_by"]

_KEY = "kaizen_nexus.caller"
_ASK = "kaizen_nexus.ask_caller"
_SCOPE = re.compile(r"[A-Za-z0-9_.:-]{1,128}", re.ASCII)


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Return who sent a request; `ANONYMOUS` without authentication."""
    caller: Caller = scope.get(_KEY, ANONYMOUS)
    return caller


def sent_by(caller: Caller, scope: Scope, ask: _Ask | None = None) -> Scope:
    """Return a copy of an ASGI scope that names the caller, and how to identify it again."""
    return {**scope, _KEY: caller, _ASK: ask}


def recheck(scope: Scope, access: Access, name: str) -> Callable[[], Awaitable[None]] | None:
    """Return a check whether the caller of a request may still run the workflow called `name`.

    It raises the error that would refuse the request now: `UnauthenticatedError`, `ForbiddenError`
    or `AuthenticationUnavailableError`. None without authentication.
    """
    ask: _Ask | None = scope.get(_ASK)
    if ask is None:
        return None

    async def check() -> None:
        access.require(await ask(scope), name)

    return check


def challenge(error: str = "", needed: str = "", metadata: str = "") -> dict[str, str]:
    """Return the ``WWW-Authenticate`` header: how to present credentials, and what was wrong.

    Parameters
    ----------
    error
        RFC 6750's name for what was wrong; empty if no credentials were presented.
    needed
        The scope that the caller lacks.
    metadata
        The URL of this app's metadata (RFC 9728).
    """
    values = {
        "realm": "kaizen-nexus",
        "error": error,
        # The name in the URL is the client's: only a valid scope may go into a header.
        "scope": needed if _SCOPE.fullmatch(needed) else "",
        "resource_metadata": metadata,
    }
    parameters = ", ".join(f'{name}="{value}"' for name, value in values.items() if value)
    return {"WWW-Authenticate": f"Bearer {parameters}"}
