"""Which caller may use which workflow, and who owns a session."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kaizen_nexus.access.errors import ForbiddenError, UnauthenticatedError

if TYPE_CHECKING:
    from kaizen_nexus.access.callers import Caller
    from kaizen_nexus.sessions import CrossChannelSession

__all__ = ["EVERYTHING", "MONITOR", "Access", "granted"]

EVERYTHING = "*"
"""The scope that includes all others."""
MONITOR = "nexus:monitor"
"""The scope for data about all workflows at once; no workflow can have this name."""


class Access:
    """The policy: a scope is the name of a workflow, and only its creator may use a session.

    Parameters
    ----------
    enforced
        Whether callers must authenticate; if not, everybody may do everything.
    """

    def __init__(self, enforced: bool = False) -> None:
        self.enforced = enforced

    def allows(self, caller: Caller, scope: str) -> bool:
        """Return whether `caller` may use what `scope` stands for."""
        if not self.enforced:
            return True
        return caller.authenticated and (caller.scopes is None or scope in caller.scopes)

    def require(self, caller: Caller, scope: str) -> None:
        """Refuse a caller who may not use what `scope` stands for, whether or not it exists.

        Raises
        ------
        UnauthenticatedError
            The caller is unknown.
        ForbiddenError
            The caller does not have the scope.
        """
        if not self.enforced or self.allows(caller, scope):
            return
        if not caller.authenticated:
            raise UnauthenticatedError
        raise ForbiddenError(scope)

    def owns(self, caller: Caller, session: CrossChannelSession) -> bool:
        """Return whether `caller` may use a session."""
        if not self.enforced:
            return True
        return caller.authenticated and session.user_id == caller.id


def granted(scopes: Iterable[str]) -> frozenset[str] | None:
    """Return these scopes as a `Caller` holds them: None if they include everything."""
    held = frozenset(scopes)
    return None if EVERYTHING in held else held
