"""Where sessions may be kept besides the table in memory: the protocol that a backend satisfies."""

from kaizen_nexus.sessions.storage.base import SessionStorage, checked_storage

__all__ = ["SessionStorage", "checked_storage"]
