"""Who sent a request, as found out by what it passed through on its way to a channel."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kaizen_nexus.runtime.callers import ANONYMOUS, Caller

if TYPE_CHECKING:
    from starlette.types import Scope

__all__ = ["caller_of", "challenge", "sent_by"]

_KEY = "kaizen_nexus.caller"
_SCOPE = re.compile(r"[A-Za-z0-9_.:-]{1,128}", re.ASCII)


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Return who sent the request of an ASGI scope; `ANONYMOUS` where nobody was asked."""
    caller: Caller = scope.get(_KEY, ANONYMOUS)
    return caller


def sent_by(caller: Caller, scope: Scope) -> Scope:
    """Return a copy of an ASGI scope that says who sent the request."""
    return {**scope, _KEY: caller}


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
