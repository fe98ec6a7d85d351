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
    """How often what the name stands for has changed, this time included."""
    prefix: str = API_PREFIX
    sessions: bool = False
    """Whether an invocation without a session gets a new one."""

    def answers_as(self, workflow: Workflow, prefix: str, sessions: bool) -> bool:
        """Whether deploying `workflow` like that would make no difference to anybody."""
        own = self.workflow
        return (
            own.plan is workflow.plan
            and own.target == workflow.target
            and self.prefix == prefix
            and self.sessions is sessions
        )


class Registry:
    """What is deployed: for each name, a `Deployment` for each of its channels.

    A name's channels are replaced together, in one step, so readers need no lock: they see the
    state before or after a deployment, and a name that is redeployed is never missing.

    Parameters
    ----------
    max_workflows
        How many names may be deployed at a time.
    """

    def __init__(self, max_workflows: int = 10_000) -> None:
        self.max_workflows = max_workflows
        self._lock = threading.Lock()
        self._deployed: dict[str, Mapping[str, Deployment]] = {}
        self._versions: dict[str, int] = {}

    def deploy(
        self, workflow: Workflow, channels: Iterable[str], *, prefix: str, sessions: bool
    ) -> Deployment:
        """Make `workflow` answer under its name on `channels`.

        Deploying again what is deployed already changes nothing, and is no new version.

        Raises
        ------
        ValueError
            A channel is unknown, or there are none.
        RuntimeError
            `max_workflows` names are deployed already.
        """
        chosen = frozenset(channels)
        if not chosen or not chosen <= _KNOWN:
            raise ValueError(
                f"channels must be some of {', '.join(CHANNELS)}; got {sorted(chosen)!r}"
            )
        name = workflow.name
        with self._lock:
            current = self._deployed.get(name, _NOWHERE)
            serving = {current.get(channel) for channel in chosen}
            if len(serving) == 1:
                (same,) = serving
                if same is not None and same.answers_as(workflow, prefix, sessions):
                    return same
            if not current and len(self._deployed) >= self.max_workflows:
                raise RuntimeError(
                    f"{self.max_workflows} workflows are deployed, which is the limit: deregister "
                    "one that is no longer needed"
                )
            version = self._versions.get(name, 0) + 1
            deployment = Deployment(workflow, version, prefix, sessions)
            kept = {c: current[c] for c in CHANNELS if c in current and c not in chosen}
            self._deployed[name] = {**dict.fromkeys(chosen, deployment), **kept}
            self._versions[name] = version
        return deployment

    def remove(self, name: str) -> bool:
        """Take `name` off all channels; return whether it was there."""
        with self._lock:
            self._versions.pop(name, None)
            return self._deployed.pop(name, None) is not None

    def find(self, name: str, channel: str) -> Deployment:
        """Return what answers to `name` on `channel`.

        Raises
        ------
        WorkflowNotFoundError
            Nothing does.
        """
        deployment = self.channels_of(name).get(channel)
        if deployment is None:
            raise WorkflowNotFoundError(name, channel)
        return deployment

    def channels_of(self, name: str) -> Mapping[str, Deployment]:
        """Return the deployments of `name` by channel, in no order; empty if there are none."""
        return self._deployed.get(name, _NOWHERE)

    def on_channel(self, channel: str) -> dict[str, Deployment]:
        """Return what is deployed on `channel`, by name in order of first deployment."""
        return {
            name: channels[channel]
            for name, channels in self._deployed.copy().items()
            if channel in channels
        }

    def names(self) -> list[str]:
        """Return all deployed names, in order of first deployment."""
        return list(self._deployed.copy())


_KNOWN = frozenset(CHANNELS)
_NOWHERE: Mapping[str, Deployment] = MappingProxyType({})
