"""What an app must offer for agents to be deployed on it natively."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kaizen_nexus.agents.workflow import Workflow
    from kaizen_nexus.monitoring import PerformanceMetrics
    from kaizen_nexus.sessions import NexusSessionManager

__all__ = ["API_PREFIX", "CHANNELS", "DEFAULT_KEEP", "MAX_KEEP", "DeploymentTarget"]

CHANNELS = ("api", "cli", "mcp")
API_PREFIX = "/api/workflows"
DEFAULT_KEEP = 1
"""How many former states of a name a deployment keeps."""
MAX_KEEP = 16


class DeploymentTarget(ABC):
    """An app that takes workflows channel by channel and replaces them atomically."""

    @property
    @abstractmethod
    def metrics(self) -> PerformanceMetrics:
        """Where deployments and executions are recorded."""

    @abstractmethod
    def deploy(
        self,
        workflow: Workflow,
        *,
        channels: Iterable[str] = CHANNELS,
        prefix: str = API_PREFIX,
        sessions: bool = False,
        keep: int = DEFAULT_KEEP,
    ) -> None:
        """Make `workflow` answer under its name on `channels`, replacing what was there.

        Parameters
        ----------
        workflow
            What to deploy.
        channels
            Any of ``api``, ``cli`` and ``mcp``.
        prefix
            The URL path under which the API channel serves it, besides ``/api/workflows``.
        sessions
            Whether a request without a session gets a new one.
        keep
            How many former states of the name can be restored afterwards.
        """

    @abstractmethod
    def adopt_session_manager(self, manager: NexusSessionManager) -> None:
        """Use `manager` for the sessions of all channels.

        Raises
        ------
        ValueError
            Sessions already live in another manager.
        """
