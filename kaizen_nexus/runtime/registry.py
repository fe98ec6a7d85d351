"""Which workflow answers to which name on which channel."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kaizen_nexus.agents.workflow import Workflow
from kaizen_nexus.deployment.target import API_PREFIX, CHANNELS
from kaizen_nexus.runtime.errors import WorkflowNotFoundError

__all__ = ["Deployment", "Registry"]


@dataclass(frozen=True, eq=False)
class Deployment:
    """One workflow, as deployed on one channel or several."""

    workflow: Workflow
    version: int
    """How often the name has been deployed, this time included."""
    prefix: str = API_PREFIX
    sessions: bool = False
    """Whether an invocation without a session gets a new one."""


class Registry:
    """A copy-on-write map from channel and name to `Deployment`.

    Readers take no lock and see each change whole: a name that is replaced is never missing.

    Parameters
    ----------
    max_workflows
        How many names may be deployed at a time.
    """

    def __init__(self, max_workflows: int = 10_000) -> None:
        self.max_workflows = max_workflows
        self._lock = threading.Lock()
        self._channels: Mapping[str, Mapping[str, Deployment]] = {name: {} for name in CHANNELS}
        self._versions: dict[str, int] = {}

    def deploy(
        self, workflow: Workflow, channels: Iterable[str], *, prefix: str, sessions: bool
    ) -> Deployment:
        """Make `workflow` answer under its name on `channels`.

        Raises
        ------
        ValueError
            A channel is unknown, or there are none.
        RuntimeError
            `max_workflows` names are deployed already.
        """
        chosen = tuple(channels)
        unknown = set(chosen).difference(CHANNELS)
        if unknown or not chosen:
            raise ValueError(f"channels must be some of {', '.join(CHANNELS)}; got {chosen!r}")
        name = workflow.name
        with self._lock:
            if name not in self._versions and len(self._versions) >= self.max_workflows:
                raise RuntimeError(
                    f"{self.max_workflows} workflows are deployed, which is the limit: deregister "
                    "some, or raise max_workflows"
                )
            version = self._versions.get(name, 0) + 1
            deployment = Deployment(workflow, version, prefix, sessions)
            changed = dict(self._channels)
            for channel in chosen:
                changed[channel] = {**changed[channel], name: deployment}
            self._versions[name] = version
            self._channels = changed
        return deployment

    def remove(self, name: str) -> bool:
        """Take `name` off all channels; return whether it was there."""
        with self._lock:
            if self._versions.pop(name, None) is None:
                return False
            self._channels = {
                channel: {n: d for n, d in deployments.items() if n != name}
                for channel, deployments in self._channels.items()
            }
        return True

    def find(self, name: str, channel: str) -> Deployment:
        """Return what answers to `name` on `channel`.

        Raises
        ------
        WorkflowNotFoundError
            Nothing does.
        """
        deployment = self._channels[channel].get(name)
        if deployment is None:
            raise WorkflowNotFoundError(name, channel)
        return deployment

    def on_channel(self, channel: str) -> Mapping[str, Deployment]:
        """Return what is deployed on `channel`, by name in order of first deployment."""
        return MappingProxyType(dict(self._channels[channel]))

    def channels_of(self, name: str) -> dict[str, Deployment]:
        """Return the deployments of `name` by channel; empty if there are none."""
        return {
            channel: deployments[name]
            for channel, deployments in self._channels.items()
            if name in deployments
        }

    def names(self) -> list[str]:
        """Return all deployed names, in order of first deployment."""
        return list(self._versions.copy())
