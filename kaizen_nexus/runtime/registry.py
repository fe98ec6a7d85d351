"""Which workflow answers to which name on which channel, and which did before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timezone
from types import MappingProxyType

from kaizen_nexus.agents.workflow import Workflow
from kaizen_nexus.deployment.target import CHANNELS, MAX_KEEP
from kaizen_nexus.monitoring import WorkflowMeters
from kaizen_nexus.runtime.breaker import (
    DEFAULT_QUARANTINE,
    Breaker,
    BreakerStats,
    Quarantine,
    in_force,
)
from kaizen_nexus.runtime.deployed import Channels, Deployment, History, State
from kaizen_nexus.runtime.errors import VersionNotKeptError, WorkflowNotFoundError

__all__ = ["Registry"]


class Registry:
    """What is deployed: for each name, a `Deployment` for each of its channels.

    A name's channels are replaced together, in one step, so readers need no lock: they see the
    state before or after a deployment, and a name that is redeployed is never missing. A former
    state is kept as long as it may be restored; of any other nothing here refers to the agent.

    Parameters
    ----------
    max_workflows
        How many names may be deployed at a time.
    clock
        The time of day, with a time zone.
    quarantine
        When an agent that keeps failing is not called any more; None for never.
    """

    def __init__(
        self,
        max_workflows: int = 10_000,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        quarantine: Quarantine | None = DEFAULT_QUARANTINE,
    ) -> None:
        self.max_workflows = max_workflows
        self.meters = WorkflowMeters()
        self._clock = clock
        self._quarantine = in_force(quarantine)
        self._lock = threading.Lock()
        self._deployed: dict[str, Channels] = {}
        self._histories: dict[str, History] = {}
        self._versions: dict[str, int] = {}
        self._observers: list[Callable[[Channels, Channels], object]] = []

    def observe(self, observer: Callable[[Channels, Channels], object]) -> None:
        """Call `observer` after each change of a name, with its channels before and after.

        It is called in the thread that makes the change, and several may at the same time.
        """
        self._observers.append(observer)

    def deploy(
        self,
        workflow: Workflow,
        channels: Iterable[str],
        *,
        prefix: str,
        sessions: bool,
        keep: int = 0,
    ) -> Deployment:
        """Make `workflow` answer under its name on `channels`, and keep the last `keep` states.

        Deploying again what is deployed already changes nothing, and is no new version.

        Raises
        ------
        ValueError
            A channel is unknown, or there are none, or `keep` is not from 0 to 16.
        RuntimeError
            `max_workflows` names are deployed already.
        """
        chosen = frozenset(channels)
        if not chosen or not chosen <= _KNOWN:
            raise ValueError(
                f"channels must be some of {', '.join(CHANNELS)}; got {sorted(chosen)!r}"
            )
        if isinstance(keep, bool) or not isinstance(keep, int) or not 0 <= keep <= MAX_KEEP:
            raise ValueError(f"keep must be a whole number from 0 to {MAX_KEEP}, not {keep!r}")
        name = workflow.name
        with self._lock:
            former = self._histories.get(name)
            current = _NOWHERE if former is None else former.current.channels
            serving = {current.get(channel) for channel in chosen}
            if len(serving) == 1:
                (same,) = serving
                if same is not None and same.answers_as(workflow, prefix, sessions):
                    return same
            self._check_room(former)
            version = self._versions.get(name, 0) + 1
            meter = self.meters.open(name, version)
            breaker = Breaker(name, version, self._quarantine)
            deployment = Deployment(workflow, version, meter, breaker, prefix, sessions)
            others = {c: current[c] for c in CHANNELS if c in current and c not in chosen}
            answering = {**dict.fromkeys(chosen, deployment), **others}
            kept = () if former is None else (*former.kept, former.current)
            self._versions[name] = version
            self._enter(
                name,
                History(State(answering, version, self._clock()), kept[max(0, len(kept) - keep) :]),
            )
        self._follow_up(former, answering, name)
        return deployment

    def replace(self, name: str, channels: Channels) -> None:
        """Deploy under `name` what another registry has on `channels`; no former state is kept.

        Raises
        ------
        RuntimeError
            `max_workflows` names are deployed already.
        """
        with self._lock:
            former = self._histories.get(name)
            self._check_room(former)
            version = self._versions.get(name, 0) + 1
            meter = self.meters.open(name, version)
            breaker = Breaker(name, version, self._quarantine)
            own = {
                d: replace(d, version=version, meter=meter, breaker=breaker)
                for d in channels.values()
            }
            answering = {channel: own[deployment] for channel, deployment in channels.items()}
            self._versions[name] = version
            self._enter(name, History(State(answering, version, self._clock())))
        self._follow_up(former, answering, name)

    def rollback(self, name: str, to: int | None = None) -> int:
        """Deploy a former state of `name` again, and return its version.

        What answered until now is kept in its place.

        Parameters
        ----------
        name
            What to take back.
        to
            The version to restore; default is the one that answered before the present one.

        Raises
        ------
        WorkflowNotFoundError
            No workflow of that name is deployed.
        VersionNotKeptError
            That version is not kept.
        """
        with self._lock:
            former = self._histories.get(name)
            if former is None:
                raise WorkflowNotFoundError(name)
            if to == former.current.version:
                return to
            found = [s for s in former.kept if to is None or s.version == to]
            if not found:
                raise VersionNotKeptError(name, to, [state.version for state in former.kept])
            chosen = found[-1]
            rest = tuple(state for state in former.kept if state is not chosen)
            current = replace(chosen, since=self._clock())
            self._enter(name, History(current, (*rest, former.current)))
        self._follow_up(former, current.channels, name)
        return current.version

    def remove(self, name: str) -> bool:
        """Take `name` off all channels and keep nothing of it; return whether it was there."""
        with self._lock:
            self._versions.pop(name, None)
            self._deployed.pop(name, None)
            former = self._histories.pop(name, None)
        if former is not None:
            self._follow_up(former, _NOWHERE, name)
        return former is not None

    def _check_room(self, former: History | None) -> None:
        if former is None and len(self._deployed) >= self.max_workflows:
            raise RuntimeError(
                f"{self.max_workflows} workflows are deployed, which is the limit: deregister "
                "one that is no longer needed"
            )

    def _enter(self, name: str, history: History) -> None:
        """Let `history` be that of `name`; the caller holds the lock, and the former history.

        An agent whose last reference went while the lock is held could deploy from its finaliser.
        """
        self._histories[name] = history
        self._deployed[name] = history.current.channels

    def _follow_up(self, former: History | None, answering: Channels, name: str) -> None:
        """Retire the meters of deployments that are not kept, and call the observers."""
        before = _NOWHERE if former is None else former.current.channels
        if former is not None:
            history = self._histories.get(name)
            left = former.deployments() - (set() if history is None else history.deployments())
            for deployment in left:
                deployment.meter.retire()
        for observer in self._observers:
            observer(before, answering)

    def find(self, name: str, channel: str) -> Deployment:
        """Return what answers to `name` on `channel`.

        Raises
        ------
        WorkflowNotFoundError
            Nothing does.
        """
        try:
            return self._deployed[name][channel]
        except KeyError:
            raise WorkflowNotFoundError(name, channel) from None

    def channels_of(self, name: str) -> Channels:
        """Return the deployments of `name` by channel, in no order; empty if there are none."""
        return self._deployed.get(name, _NOWHERE)

    def history_of(self, name: str) -> History:
        """Return what `name` stands for, and what it can be taken back to.

        Raises
        ------
        WorkflowNotFoundError
            No workflow of that name is deployed.
        """
        history = self._histories.get(name)
        if history is None:
            raise WorkflowNotFoundError(name)
        return history

    def on_channel(self, channel: str) -> dict[str, Deployment]:
        """Return what is deployed on `channel`, by name in order of first deployment."""
        return {
            name: channels[channel]
            for name, channels in self.deployed().items()
            if channel in channels
        }

    def breaker_stats(self) -> dict[str, list[BreakerStats]]:
        """Return how the deployments do that have failed lately, by name."""
        troubled: dict[str, list[BreakerStats]] = {}
        for name, channels in self.deployed().items():
            for deployment in dict.fromkeys(channels.values()):
                stats = deployment.breaker.stats()
                if stats is not None:
                    troubled.setdefault(name, []).append(stats)
        return troubled

    def names(self) -> list[str]:
        """Return all deployed names, in order of first deployment."""
        return list(self.deployed())

    def deployed(self) -> dict[str, Channels]:
        """Return what answers at this moment, by name in order of first deployment."""
        return self._deployed.copy()


_KNOWN = frozenset(CHANNELS)
_NOWHERE: Channels = MappingProxyType({})
