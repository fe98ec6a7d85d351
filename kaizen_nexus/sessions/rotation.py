"""A session under another id, for when somebody who should not know the old one may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaizen_nexus.sessions.session import CrossChannelSession

if TYPE_CHECKING:
    from kaizen_nexus.sessions.manager import NexusSessionManager

__all__ = ["rotated"]


def rotated(manager: NexusSessionManager, session: CrossChannelSession) -> CrossChannelSession:
    """Return the session under a new id; when this returns, the old one finds nothing.

    Both share the state for the moment that both exist, so what is merged into it meanwhile is
    kept; nobody knows the new id before this returns.

    Parameters
    ----------
    manager
        Who holds the session.
    session
        The session.

    Raises
    ------
    SessionTableFullError
        The manager has no room for the moment, and refuses; the session is as it was.
    """
    successor = CrossChannelSession(
        None,
        session.user_id,
        session.created_at,
        session.last_accessed,
        session.expires_at,
        session.state,
        dict(session.channel_activity),
        session.memory_pool_id,
        ttl=session.ttl,
    )
    manager.sessions.adopt(successor, replace=False)
    manager.delete_session(session.session_id)
    successor.version = session.version  # which counts what was merged meanwhile
    return successor
