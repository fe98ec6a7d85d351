"""Who sent a request, as found out by what it passed through on its way to a channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kaizen_nexus.runtime.callers import ANONYMOUS, Caller

if TYPE_CHECKING:
    from starlette.types import Scope

__all__ = ["caller_of", "sent_by"]

_KEY = "kaizen_nexus.caller"


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Return who sent the request of an ASGI scope; `ANONYMOUS` where nobody was asked."""
    caller: Caller = scope.get(_KEY, ANONYMOUS)
    return caller


def sent_by(caller: Caller, scope: Scope) -> Scope:
    """Return a copy of an ASGI scope that says who sent the request."""
    return {**scope, _KEY: caller}
