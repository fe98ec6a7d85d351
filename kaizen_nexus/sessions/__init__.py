"""Sessions that the API, the command line and MCP share: their manager, handles and cleanup."""

from kaizen_nexus.sessions.cleanup import CleanupStatus
from kaizen_nexus.sessions.manager import NexusSessionManager
from kaizen_nexus.sessions.session import CrossChannelSession
from kaizen_nexus.sessions.storage import SessionStorage

__all__ = ["CleanupStatus", "CrossChannelSession", "NexusSessionManager", "SessionStorage"]
