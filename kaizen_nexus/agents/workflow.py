"""The immutable, deployable form of an agent, and the plan that it is bound from.

A plan holds what all agents of the same shape share: schemas and validators. It never refers to an
agent, so a cache of plans keeps no agent alive and cannot call the wrong one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kaizen_nexus.agents.outputs import FieldOutputs, OutputModel
from kaizen_nexus.agents.records import RecordModel, is_record
from kaizen_nexus.agents.schema import InputModel
from kaizen_nexus.agents.signature import read_fields
from kaizen_nexus.agents.streams import StreamOutputs

if TYPE_CHECKING:
    from kaizen_nexus.agents.signature import CallSignature

__all__ = ["Workflow", "WorkflowPlan"]


@dataclass(frozen=True)
class WorkflowPlan:
    """Everything about a workflow that does not depend on one agent instance."""

    description: str
    inputs: InputModel | RecordModel
    outputs: OutputModel | FieldOutputs | StreamOutputs
    is_async: bool
    wants_context: bool
    wants_session: bool
    wants_session_id: bool = False
    """Whether the agent itself keeps conversations by session id."""

    @property
    def is_streaming(self) -> bool:
        """Whether the agent is a generator, which yields its result in chunks."""
        return isinstance(self.outputs, StreamOutputs)

    @classmethod
    def build(
        cls,
        signature: CallSignature,
        declared: type | None = None,
        description: str = "",
    ) -> WorkflowPlan:
        """Build a plan from the signature of the callable that will be invoked.

        Parameters
        ----------
        signature
            The callable's own signature.
        declared
            The class that declares the inputs, where the callable's parameters do not.
        description
            What the workflow does; default is the callable's docstring.

        Raises
        ------
        TypeError
            An annotation has no JSON Schema, or a generator's is not that of an iterator.
        """
        label = signature.qualified_name
        inputs: InputModel | RecordModel
        if declared is None:
            inputs = InputModel(
                signature.fields, accepts_extra=signature.accepts_extra, label=label
            )
        elif is_record(declared):
            inputs = RecordModel(declared, label=label)
        else:
            inputs = InputModel(read_fields(declared), accepts_extra=False, label=label)
        model = StreamOutputs if signature.is_streaming else OutputModel
        return cls(
            description=description or signature.description,
            inputs=inputs,
            outputs=model(signature.output, label=label),
            is_async=signature.is_async,
            wants_context=signature.wants_context,
            wants_session=signature.wants_session,
        )

    def bind(self, name: str, target: Callable[..., Any]) -> Workflow:
        """Return the workflow that invokes `target` according to this plan."""
        return Workflow(name=name, plan=self, target=target)


@dataclass(frozen=True, eq=False)
class Workflow:
    """An agent ready to be deployed: a name, schemas, and how to invoke it.

    Immutable, and safe to use from several threads if the agent itself is.
    """

    name: str
    plan: WorkflowPlan
    target: Callable[..., Any]

    @property
    def description(self) -> str:
        """What the workflow does, in Markdown; empty if the agent has no docstring."""
        return self.plan.description

    @property
    def input_schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of the inputs: an object with one property for each input."""
        return self.plan.inputs.schema

    @property
    def output_schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of the whole result; empty (anything) if none is declared."""
        return self.plan.outputs.schema

    @property
    def is_async(self) -> bool:
        """Whether `invoke` returns an awaitable, or an asynchronous iterator if it streams."""
        return self.plan.is_async

    @property
    def is_streaming(self) -> bool:
        """Whether `invoke` returns an iterator over the chunks of the result."""
        return self.plan.is_streaming

    def renamed(self, name: str) -> Workflow:
        """Return the same workflow under another name."""
        return replace(self, name=name)

    def described(self, description: str) -> Workflow:
        """Return the same workflow with another description."""
        return replace(self, plan=replace(self.plan, description=description))

    def validate(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return `inputs` checked against the schema and converted to the annotated types.

        Raises
        ------
        InvalidInputsError
            With one entry for each thing that is wrong.
        """
        return self.plan.inputs.convert(inputs)

    def invoke(
        self,
        inputs: Mapping[str, Any],
        *,
        context: Mapping[str, Any] | None = None,
        session: object | None = None,
    ) -> Any | Awaitable[Any]:
        """Call the agent with validated `inputs`.

        Parameters
        ----------
        inputs
            What `validate` returned.
        context
            The session's state; given to an agent that has an input named ``context``.
        session
            The session; given to an agent that has an input named ``session``. An agent that keeps
            conversations itself gets its id.

        Returns
        -------
        object
            The agent's result, or an awaitable of it if `is_async`; an iterator over the chunks of
            it if `is_streaming`.
        """
        arguments = dict(inputs)
        if self.plan.wants_context:
            arguments["context"] = dict(context or {})
        if self.plan.wants_session:
            arguments["session"] = session
        if self.plan.wants_session_id and session is not None:
            arguments["session_id"] = getattr(session, "session_id", None)
        return self.target(**arguments)

    def encode(self, value: Any) -> bytes:
        """Return a result as JSON text; of a workflow that streams, an iterable of all chunks.

        Raises
        ------
        InvalidOutputError
            The result has no JSON form, or is not what the agent declared.
        """
        return self.plan.outputs.encode(value)

    def __call__(self, **inputs: Any) -> Any:
        """Validate `inputs` and call the agent, outside any app; returns what `invoke` does."""
        return self.invoke(self.validate(inputs))
