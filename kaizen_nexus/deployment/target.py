"""`DeploymentTarget`: the part of an app that agents are deployed on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kaizen_nexus.agents.adapters import as_workflow
from kaizen_nexus.deployment.names import check_name, check_prefix
from kaizen_nexus.deployment.warming import warm_up

if TYPE_CHECKING:
    from kaizen_nexus.agents.workflow import Workflow
    from kaizen_nexus.monitoring import PerformanceMetrics
    from kaizen_nexus.runtime.service import Runtime
    from kaizen_nexus.sessions import NexusSessionManager

__all__ = ["API_PREFIX", "CHANNELS", "DEFAULT_KEEP", "MAX_KEEP", "DeploymentTarget"]

CHANNELS = ("api", "cli", "mcp")
API_PREFIX = "/api/workflows"
DEFAULT_KEEP = 1
"""How many former states a name keeps, to be restored."""
MAX_KEEP = 16


class DeploymentTarget(ABC):
    """The workflows of an app: deploy, roll back, limit. Safe from any thread at any time."""

    runtime: Runtime

    @property
    def metrics(self) -> PerformanceMetrics:
        """Where deployments and executions are recorded."""
        return self.runtime.metrics

    @abstractmethod
    def adopt_session_manager(self, manager: NexusSessionManager) -> None:
        """Use `manager` for the sessions of all channels.

        Raises
        ------
        ValueError
            Sessions already live in another manager.
        """

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

        A request that is running finishes on the workflow it started with. What was there before
        is kept for `rollback`, as are the `keep - 1` states before that.

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
        registry = self.runtime.registry
        if not registry.channels_of(workflow.name):
            check_name(workflow.name)
        if prefix != API_PREFIX:
            check_prefix(prefix)
        registry.deploy(workflow, channels, prefix=prefix, sessions=sessions, keep=keep)

    def rollback(self, name: str, to: int | None = None) -> int:
        """Restore a former state of `name` in one step, and return its version.

        The state until now is kept in its place, so a rollback can be undone in the same way.

        Parameters
        ----------
        name
            The deployment to roll back, on all of its channels.
        to
            The version to restore; default is the one that answered before the present one.

        Raises
        ------
        WorkflowNotFoundError
            No workflow of that name is deployed.
        VersionNotKeptError
            That version is not kept; the argument `keep` of a deployment says how many are.
        """
        return self.runtime.registry.rollback(name, to)

    def register(self, name: str, workflow: object) -> None:
        """Deploy an agent or workflow on all channels under `name`.

        Raises
        ------
        TypeError, ValueError
            It cannot be deployed, or not under that name.
        """
        built = as_workflow(workflow, check_name(name))
        warm_up(workflow)
        self.deploy(built)

    def deregister(self, name: str) -> bool:
        """Take `name` off all channels; return whether it was deployed.

        A request that is running finishes.
        """
        return self.runtime.registry.remove(name)

    def limit(
        self,
        name: str,
        *,
        max_running: int | None = None,
        max_waiting: int | None = None,
        timeout: float | None = None,
    ) -> None:
        """Limit one workflow, whatever is or will be deployed as `name`; all None: no longer.

        Parameters
        ----------
        name
            The workflow's name.
        max_running
            How many of its requests run at the same time.
        max_waiting
            How many wait for that, default 64; further ones are answered 503.
        timeout
            Seconds that a run may take, in place of the app's `timeout`.

        Raises
        ------
        ValueError
            A limit or the name is not valid.
        RuntimeError
            10,000 names have limits already.
        """
        self.runtime.limits.set(check_name(name), max_running, max_waiting, timeout)
