"""Kailash workflows: graphs of nodes, run by Kailash's own asynchronous runtime.

Kailash need not be installed: it is imported only to run one of its workflows.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kaizen_nexus.agents.kaizen import input_fields, kaizen_signature

if TYPE_CHECKING:
    from kaizen_nexus.agents.workflow import WorkflowPlan

__all__ = [
    "KailashTarget",
    "KailashWorkflowError",
    "built_graph",
    "is_imported",
    "kailash_plan",
]


class KailashWorkflowError(RuntimeError):
    """A node of a Kailash workflow failed, and the runtime reported it in the results."""


@dataclass(frozen=True)
class KailashTarget:
    """Runs a Kailash workflow when it is called.

    Each call creates a runtime and releases it, as Kaizen's own agents do: a runtime belongs to one
    event loop and holds threads and connections.
    """

    graph: Any

    async def __call__(self, **inputs: Any) -> dict[str, Any]:
        """Return the outputs of each node, by the node's name.

        Every node can read each input by its name, and all of them as ``parameters``. An input that
        is an object and has the name of a node goes to that node alone.

        Raises
        ------
        KailashWorkflowError
            A node failed.
        """
        runtimes = importlib.import_module("kailash.runtime")
        async with runtimes.AsyncLocalRuntime() as runtime:
            results, _ = await runtime.execute_workflow_async(
                self.graph, {**inputs, "parameters": inputs}
            )
        for node, outputs in results.items():
            if isinstance(outputs, dict) and outputs.get("failed") is True:
                raise KailashWorkflowError(f"node {node!r} failed: {outputs.get('error')}")
        return dict(results)


def built_graph(candidate: object) -> Any | None:
    """Return `candidate`, built if need be, if it is a Kailash workflow; else None."""
    if is_imported(candidate, "kailash.workflow.builder", "WorkflowBuilder"):
        candidate = candidate.build()  # type: ignore[attr-defined]  # what a builder is for
    return candidate if is_imported(candidate, "kailash.workflow.graph", "Workflow") else None


def kailash_plan(graph: Any, agent: object | None = None) -> WorkflowPlan:
    """Return the plan of a graph of nodes.

    A graph does not declare its inputs: any are accepted, besides those of the signature of
    `agent`, the agent that made it, if it has one.

    Raises
    ------
    TypeError
        A field of the signature has no JSON Schema.
    """
    from kaizen_nexus.agents.outputs import OutputModel
    from kaizen_nexus.agents.schema import InputModel
    from kaizen_nexus.agents.workflow import WorkflowPlan

    signature = kaizen_signature(agent)
    label = str(getattr(graph, "name", "")) or "a Kailash workflow"
    fields = () if signature is None else input_fields(signature)
    return WorkflowPlan(
        description=str(
            getattr(signature, "description", None) or getattr(graph, "description", None) or ""
        ),
        inputs=InputModel(fields, accepts_extra=signature is None, label=label),
        outputs=OutputModel(dict[str, Any], label=label),
        is_async=True,
        wants_context=False,
        wants_session=False,
    )


def is_imported(candidate: object, module: str, name: str) -> bool:
    """Whether `candidate` is an instance of a class, without importing the class's module."""
    cls = getattr(sys.modules.get(module), name, None)
    return isinstance(cls, type) and isinstance(candidate, cls)
