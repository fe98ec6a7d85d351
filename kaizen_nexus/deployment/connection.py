"""`NexusConnection` and `NexusDeploymentMixin`: deployment as methods of an agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kaizen_nexus.deployment import functions

__all__ = ["NexusConnection", "NexusDeploymentMixin"]


@dataclass
class NexusConnection:
    """An agent's connection to an app.

    Parameters
    ----------
    nexus_app
        A `Nexus`, or any app with ``register(name, workflow)``.
    auto_discovery
        Kept as given; discovery itself is a setting of the app.
    """

    nexus_app: Any
    auto_discovery: bool = False

    def __post_init__(self) -> None:
        if self.nexus_app is None:
            raise ValueError("nexus_app cannot be None: pass the app, for example Nexus()")
        self._registered: list[str] = []

    def is_connected(self) -> bool:
        """Return whether there is an app that takes registrations."""
        return callable(getattr(self.nexus_app, "register", None))

    def health_check(self) -> dict[str, Any]:
        """Return the app's own health report."""
        report: dict[str, Any] = self.nexus_app.health_check()
        return report

    def register_workflow(self, name: str, workflow: Any) -> str:
        """Register `workflow` on all channels of the app and return its name."""
        self.nexus_app.register(name, workflow)
        if name not in self._registered:
            self._registered.append(name)
        return name

    def list_workflows(self) -> list[str]:
        """Return the names registered through this connection, oldest first."""
        return list(self._registered)

    def start(self, **kwargs: Any) -> Any:
        """Start the app; the arguments are those of its ``start``."""
        return self.nexus_app.start(**kwargs)

    def stop(self) -> None:
        """Stop the app."""
        self.nexus_app.stop()


class NexusDeploymentMixin:
    """Deployment methods for an agent class."""

    nexus_connection: NexusConnection

    def connect_nexus(self, nexus_app: Any) -> None:
        """Connect this agent to an app.

        Raises
        ------
        TypeError
            `nexus_app` is not an app.
        """
        if not callable(getattr(nexus_app, "register", None)):
            raise TypeError(f"Expected Nexus instance, got {type(nexus_app)}")
        self.nexus_connection = NexusConnection(nexus_app)

    def deploy_as_api(self, nexus_app: Any, name: str) -> str:
        """Deploy this agent as an HTTP endpoint and return its path."""
        return functions.deploy_as_api(self, nexus_app, name)

    def deploy_as_cli(self, nexus_app: Any, name: str) -> str:
        """Deploy this agent as a command and return the command line."""
        return functions.deploy_as_cli(self, nexus_app, name)

    def deploy_as_mcp(self, nexus_app: Any, name: str) -> str:
        """Deploy this agent as an MCP tool and return its name."""
        return functions.deploy_as_mcp(self, nexus_app, name)

    def deploy_multi_channel(self, nexus_app: Any, name: str) -> dict[str, str]:
        """Deploy this agent on all three channels and return what each answers to."""
        return functions.deploy_multi_channel(self, nexus_app, name)
