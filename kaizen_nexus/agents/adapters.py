"""Whatever the user calls an agent -> `Workflow`, by duck-typing.

In this order: a `Workflow`; a workflow of Kailash's; a function or method; an agent whose signature
declares inputs and outputs as Kaizen's does; an object with ``run`` or ``process``; an object whose
``to_workflow().build()`` gives something callable or executable; any other callable.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from kaizen_nexus.agents.base import BaseAgent, overridden_entry, plan_for
from kaizen_nexus.agents.kailash import KailashTarget, built_graph, kailash_plan
from kaizen_nexus.agents.kaizen import fresh_workflow, kaizen_entry, kaizen_plan
from kaizen_nexus.agents.kaizen_fields import kaizen_signature
from kaizen_nexus.agents.signature import read_signature

if TYPE_CHECKING:
    from kaizen_nexus.agents.workflow import Workflow, WorkflowPlan

__all__ = [
    "AgentShape",
    "as_workflow",
    "build_plan",
    "describe_agent",
    "executable_of",
    "foreign_workflow",
]

_ENTRIES = ("run", "process")
_EXECUTE = ("execute", "run")


class AgentShape(NamedTuple):
    """What kind of agent it is, and how to reach what is invoked."""

    kind: str
    """``workflow``, ``kailash``, ``kaizen``, ``function``, ``method``, ``builder``, or
    ``callable``."""
    target: Callable[..., Any] | None
    """What is invoked; None for a builder, whose target only exists once it is built."""


def describe_agent(agent: object) -> AgentShape:
    """Find out how `agent` is to be invoked, without building anything.

    Raises
    ------
    ValueError
        There is no agent.
    TypeError
        The agent cannot be deployed; the message says what was tried.
    """
    if isinstance(agent, BaseAgent):
        return AgentShape("method", getattr(agent, overridden_entry(agent)))
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
    """Return the shape of what says itself what it takes, or is run by somebody else's runtime."""
    if _is_workflow(agent):
        return AgentShape("workflow", cast("Workflow", agent))
    graph = built_graph(agent)
    if graph is not None:
        return AgentShape("kailash", KailashTarget(graph))
    entry = None if kaizen_signature(agent) is None else kaizen_entry(agent)
    return None if entry is None else AgentShape("kaizen", entry)


def _invokable(agent: object) -> AgentShape | None:
    """Return the shape of what is read off the callable that is found in it."""
    if isinstance(agent, functools.partial) or inspect.isroutine(agent):
        return AgentShape("function", agent)
    for entry in _ENTRIES:
        method = getattr(agent, entry, None)
        if callable(method):
            return AgentShape("method", method)
    if callable(getattr(agent, "to_workflow", None)):
        return AgentShape("builder", None)
    return AgentShape("callable", agent) if callable(agent) else None


def build_plan(agent: object, shape: AgentShape) -> WorkflowPlan:
    """Build what is the same for all agents of this shape: schemas and validators.

    Raises
    ------
    TypeError
        The inputs or outputs have no JSON Schema.
    """
    # Schemas need msgspec, an optional dependency that reading a shape does not need.
    from kaizen_nexus.agents.workflow import WorkflowPlan

    if shape.target is None:
        raise TypeError("a builder has no plan of its own: build it first")
    if isinstance(agent, BaseAgent):
        return plan_for(agent)
    if shape.kind == "kaizen":
        return kaizen_plan(agent, shape.target)
    if isinstance(shape.target, KailashTarget):
        return kailash_plan(shape.target.graph)
    signature = read_signature(shape.target)
    own = None if shape.kind == "function" else type(agent).__doc__
    return WorkflowPlan.build(
        signature, description=signature.description or inspect.cleandoc(own or "")
    )


def executable_of(built: object) -> Callable[..., Any]:
    """Return how to run what ``to_workflow().build()`` gave.

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
    if shape.kind == "builder":
        built = fresh_workflow(agent).build()
        graph = built_graph(built)
        if graph is not None:
            return kailash_plan(graph, agent).bind(name, KailashTarget(graph))
        return as_workflow(built if _is_workflow(built) else executable_of(built), name)
    if shape.kind == "workflow":
        workflow: Workflow = cast("Workflow", agent)
        return workflow.renamed(name)
    target = shape.target
    if target is None:
        raise TypeError(f"{type(agent).__qualname__} has nothing to invoke")
    return build_plan(agent, shape).bind(name, target)


def foreign_workflow(agent: object, name: str) -> object:
    """Return what an app of another kind registers for `agent`, built anew.

    That is what ``to_workflow().build()`` gives, a workflow of Kailash's as it is, and one of ours
    for everything else.

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


def _is_workflow(agent: object) -> bool:
    """Whether `agent` is a `Workflow`, told without importing the optional validator."""
    return any(cls.__module__ == "kaizen_nexus.agents.workflow" for cls in type(agent).__mro__)
