"""Turn whatever the user calls an agent into a `Workflow`, by duck-typing.

In this order: a `Workflow`; a Kailash workflow; an agent whose signature declares its inputs and
outputs as Kaizen's does; a function or method; an object with ``run`` or ``process``; an object
whose ``to_workflow().build()`` gives something callable or executable; any other callable.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from kaizen_nexus.agents.base import BaseAgent, overridden_entry, plan_for
from kaizen_nexus.agents.kailash import KailashTarget, built_graph, is_imported, kailash_plan
from kaizen_nexus.agents.kaizen import fresh_workflow, kaizen_entry, kaizen_plan, kaizen_signature
from kaizen_nexus.agents.signature import read_signature

if TYPE_CHECKING:
    from kaizen_nexus.agents.workflow import Workflow, WorkflowPlan

__all__ = [
    "AgentShape",
    "as_workflow",
    "describe_agent",
    "foreign_workflow",
    "is_workflow",
]

_ENTRIES = ("run", "process")
_EXECUTE = ("execute", "run")


class AgentShape(NamedTuple):
    """What kind of agent it is, and what to call to run it."""

    kind: str
    """``workflow``, ``kailash``, ``kaizen``, ``function``, ``method``, ``builder``, or
    ``callable``."""
    target: Callable[..., Any] | None
    """What to call; None for a builder, which has to build it first."""
    plan: Callable[[], WorkflowPlan] | None = None
    """Builds the part that all agents of this shape share: schemas and validators. None for a
    builder, and for a workflow, which has its plan."""


def describe_agent(agent: object) -> AgentShape:
    """Find out how to run `agent`, without building anything.

    Raises
    ------
    ValueError
        There is no agent.
    TypeError
        The agent cannot be deployed; the message says what was tried.
    """
    if isinstance(agent, BaseAgent):
        entry = getattr(agent, overridden_entry(agent))
        return AgentShape("method", entry, partial(plan_for, agent))
    if agent is None:
        raise ValueError("agent is None: pass the agent to deploy")
    if isinstance(agent, type):
        raise TypeError(
            f"agent is the class {agent.__qualname__}: pass an instance, {agent.__qualname__}(...)"
        )
    shape = _declaring(agent) or _invokable(agent)
    if shape is None:
        raise TypeError(
            f"{type(agent).__qualname__} cannot be deployed: it is not a function, and has none "
            "of run(), process(), to_workflow() and __call__(); give it one of them"
        )
    return shape


def _declaring(agent: object) -> AgentShape | None:
    """Return the shape of a workflow, or of an agent that declares its own inputs."""
    if is_workflow(agent):
        return AgentShape("workflow", cast("Workflow", agent))
    graph = built_graph(agent)
    if graph is not None:
        return AgentShape("kailash", KailashTarget(graph), partial(kailash_plan, graph))
    entry = None if kaizen_signature(agent) is None else kaizen_entry(agent)
    if entry is None:
        return None
    return AgentShape("kaizen", entry, partial(kaizen_plan, agent, entry))


def _invokable(agent: object) -> AgentShape | None:
    """Return the shape of an agent whose inputs are the parameters of a callable."""
    if isinstance(agent, partial) or inspect.isroutine(agent):
        return AgentShape("function", agent, partial(_callable_plan, agent))
    description = type(agent).__doc__
    for entry in _ENTRIES:
        method = getattr(agent, entry, None)
        if callable(method):
            return AgentShape("method", method, partial(_callable_plan, method, description))
    if callable(getattr(agent, "to_workflow", None)):
        return AgentShape("builder", None)
    if callable(agent):
        return AgentShape("callable", agent, partial(_callable_plan, agent, description))
    return None


def _callable_plan(call: Callable[..., Any], description: str | None = None) -> WorkflowPlan:
    """Build the plan of a callable from its parameters and docstring, or else `description`."""
    # Schemas need msgspec, an optional dependency; reading a shape does not.
    from kaizen_nexus.agents.workflow import WorkflowPlan

    signature = read_signature(call)
    return WorkflowPlan.build(
        signature, description=signature.description or inspect.cleandoc(description or "")
    )


def _executable(built: object) -> Callable[..., Any]:
    """Return the callable that runs the result of ``to_workflow().build()``.

    Raises
    ------
    TypeError
        It is neither callable nor has an ``execute`` or ``run`` method.
    """
    if callable(built):
        return built
    for name in _EXECUTE:
        method = getattr(built, name, None)
        if callable(method):
            return method  # type: ignore[no-any-return]  # any callable will do
    raise TypeError(
        f"to_workflow().build() gave a {type(built).__qualname__}, which is neither callable nor "
        "has execute() or run()"
    )


def as_workflow(agent: object, name: str) -> Workflow:
    """Return `agent` as a workflow called `name`, built anew.

    Raises
    ------
    TypeError
        The agent cannot be deployed, or its inputs or outputs have no JSON Schema.
    """
    shape = describe_agent(agent)
    if shape.target is not None and shape.plan is not None:
        return shape.plan().bind(name, shape.target)
    if shape.kind == "workflow":
        return cast("Workflow", agent).renamed(name)
    built = fresh_workflow(agent).build()
    graph = built_graph(built)
    if graph is not None:
        return kailash_plan(graph, agent).bind(name, KailashTarget(graph))
    return as_workflow(built if is_workflow(built) else _executable(built), name)


def foreign_workflow(agent: object, name: str) -> object:
    """Return what an app of another kind registers for `agent`, built anew.

    That is a Kailash workflow as it is, the result of ``to_workflow().build()`` where there is
    such a method, and a `Workflow` of ours otherwise.

    Raises
    ------
    TypeError
        The agent cannot be deployed.
    """
    graph = built_graph(agent)
    if graph is not None:
        return graph
    if callable(getattr(agent, "to_workflow", None)):
        return fresh_workflow(agent).build()
    return as_workflow(agent, name)


def is_workflow(agent: object) -> bool:
    """Whether `agent` is a `Workflow`, without importing msgspec for it."""
    return is_imported(agent, "kaizen_nexus.agents.workflow", "Workflow")
