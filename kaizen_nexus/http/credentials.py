"""Who sent a request, as found out by what it passed through on its way to a channel."""

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
    """Return who sent the request of an ASGI scope; `ANONYMOUS` where nobody was asked."""
    caller: Caller = scope.get(_KEY, ANONYMOUS)
    return caller


def sent_by(caller: Caller, scope: Scope, ask: _Ask | None = None) -> Scope:
    """Return a copy of an ASGI scope that says who sent the request, and how to ask again."""
    return {**scope, _KEY: caller, _ASK: ask}


def recheck(scope: Scope, access: Access, name: str) -> Callable[[], Awaitable[None]] | None:
    """Return how to see whether who sent a request may still run the workflow called `name`.

    None if nobody was asked who they are. Otherwise it raises what refused the request if it came
    now: `UnauthenticatedError`, `ForbiddenError` or `AuthenticationUnavailableError`.
    """
    ask: _Ask | None = scope.get(_ASK)
    if ask is None:
        return None

    async def check() -> None:
        access.require(await ask(scope), name)

    return check


def challenge(error: str = "", needed: str = "", metadata: str = "") -> dict[str, str]:
    """Return the header that says how to present credentials, and what was wrong with them.

    Parameters
    ----------
    error
        RFC 6750's name for it; empty if nothing was presented.
    needed
        The scope that a caller would need.
    metadata
        The URL of what RFC 9728 has said of this app.
    """
    values = {
        "realm": "kaizen-nexus",
        "error": error,
        # What is no scope was asked for by somebody who tries what else a header takes.
        "scope": needed if _SCOPE.fullmatch(needed) else "",
        "resource_metadata": metadata,
    }
    parameters = ", ".join(f'{name}="{value}"' for name, value in values.items() if value)
    return {"WWW-Authenticate": f"Bearer {parameters}"}
