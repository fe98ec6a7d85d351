"""What a name stands for, and stood for before: immutable data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MethodType
from typing import TYPE_CHECKING

from kaizen_nexus.agents.kailash import KailashTarget
from kaizen_nexus.deployment.target import API_PREFIX
from kaizen_nexus.runtime.ways import Way, way_of

if TYPE_CHECKING:
    from kaizen_nexus.agents.workflow import Workflow
    from kaizen_nexus.monitoring import WorkflowMeter
    from kaizen_nexus.runtime.breaker import Breaker

__all__ = ["Channels", "Deployment", "History", "State"]


@dataclass(frozen=True, eq=False)
class Deployment:
    """One workflow, as deployed on one channel or several."""

    workflow: Workflow
    version: int
    """How often what the name stands for has changed, this time included."""
    meter: WorkflowMeter = field(repr=False)
    """Measures the runs of this version."""
    breaker: Breaker = field(repr=False)
    """Decides whether the agent is called."""
    prefix: str = API_PREFIX
    sessions: bool = False
    """Whether an invocation without a session gets a new one."""
    way: Way = field(init=False, repr=False)
    """How the agent is called."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "way", way_of(self.workflow.plan))

    def answers_as(self, workflow: Workflow, prefix: str, sessions: bool) -> bool:
        """Whether deploying `workflow` with these options would change nothing."""
        own = self.workflow
        return (
            own.plan is workflow.plan
            and _is_same(own.target, workflow.target)
            and self.prefix == prefix
            and self.sessions is sessions
        )


Channels = Mapping[str, Deployment]
"""The deployments of a name by channel."""


@dataclass(frozen=True, eq=False)
class State:
    """What a name stands for, or stood for, on all of its channels."""

    channels: Channels
    version: int
    """That of the latest of its deployments."""
    since: datetime


@dataclass(frozen=True, eq=False)
class History:
    """What a name stands for, and what it can be taken back to."""

    current: State
    kept: tuple[State, ...] = ()
    """The one that a rollback restores is the last."""

    def deployments(self) -> set[Deployment]:
        """Return all deployments that answer, or may again."""
        return {d for state in (self.current, *self.kept) for d in state.channels.values()}


def _is_same(one: object, other: object) -> bool:
    """Return whether two targets call the same thing, without asking what agents say to that."""
    if isinstance(one, MethodType) and isinstance(other, MethodType):
        return one.__self__ is other.__self__ and one.__func__ is other.__func__
    if isinstance(one, KailashTarget) and isinstance(other, KailashTarget):
        return one.graph is other.graph
    return one is other
