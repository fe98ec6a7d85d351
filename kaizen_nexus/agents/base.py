"""`BaseAgent`: the class to derive an agent from when a plain function is not enough."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from kaizen_nexus.agents.signature import read_signature

if TYPE_CHECKING:
    from kaizen_nexus.agents.workflow import Workflow, WorkflowPlan

__all__ = ["BaseAgent", "WorkflowBuilder", "declared_signature", "overridden_entry", "plan_for"]


class BaseAgent:
    """An agent with a configuration.

    Override ``process`` (or ``run``) with annotated parameters: they become the workflow's inputs
    and its JSON Schema. Either may be ``async``. A parameter named ``context`` receives a copy of
    the session's state, one named ``session`` the `CrossChannelSession` itself, or None where the
    request has no session.

    Parameters
    ----------
    config
        Any configuration, typically a dataclass. All of it enters the deployment cache's key.
    signature
        A class whose annotations declare the inputs, for an agent whose ``run`` takes
        ``**inputs``: a dataclass, a typed dictionary, a pydantic model or a plain annotated class.
    """

    def __init__(self, config: Any = None, signature: type | None = None) -> None:
        if signature is not None and not isinstance(signature, type):
            raise TypeError(
                f"signature must be a class with annotations, not {type(signature).__qualname__}"
            )
        self.config = config
        self.signature = signature

    def run(self, **inputs: Any) -> Any:
        """Execute the agent; the default hands `inputs` to `process`."""
        return self.process(**inputs)

    def process(self, *args: Any, **inputs: Any) -> Any:
        """Execute the agent; the default hands `inputs` to an overridden `run`."""
        if overridden_entry(self) != "run" or args:
            raise TypeError(f"{type(self).__qualname__}.process() takes inputs by name only")
        return self.run(**inputs)

    def to_workflow(self) -> WorkflowBuilder:
        """Return a builder whose ``build()`` gives the deployable `Workflow`."""
        return WorkflowBuilder(self)


class WorkflowBuilder:
    """Builds the workflow of an agent, which the deployment cache saves doing twice."""

    def __init__(self, agent: BaseAgent) -> None:
        self.agent = agent

    def build(self) -> Workflow:
        """Return the workflow, named after the agent's class.

        Raises
        ------
        TypeError
            The agent overrides neither ``run`` nor ``process``, or its inputs have no JSON Schema.
        """
        agent = self.agent
        return plan_for(agent).bind(type(agent).__name__, getattr(agent, overridden_entry(agent)))


def plan_for(agent: BaseAgent) -> WorkflowPlan:
    """Build the part that all agents of the same class and signature share.

    Raises
    ------
    TypeError
        The agent overrides neither ``run`` nor ``process``, or its inputs have no JSON Schema.
    """
    # Schemas need msgspec, an optional dependency; defining an agent does not.
    from kaizen_nexus.agents.workflow import WorkflowPlan

    signature = read_signature(getattr(agent, overridden_entry(agent)))
    description = inspect.cleandoc(type(agent).__doc__ or "")
    return WorkflowPlan.build(signature, declared_signature(agent), description)


def declared_signature(agent: BaseAgent) -> type | None:
    """Return the class that declares the agent's inputs, or None if its method does."""
    # A subclass may do without our __init__.
    declared: type | None = getattr(agent, "signature", None)
    return declared


def overridden_entry(agent: BaseAgent) -> str:
    """Return the name of the method that `agent` defines itself: ``run`` before ``process``.

    Raises
    ------
    TypeError
        It defines neither.
    """
    for name in ("run", "process"):
        if getattr(type(agent), name) is not getattr(BaseAgent, name) or name in vars(agent):
            return name
    raise TypeError(
        f"{type(agent).__qualname__} overrides neither run() nor process(): define one of them, "
        "with annotated parameters"
    )
