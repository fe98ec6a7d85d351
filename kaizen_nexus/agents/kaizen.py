"""Kaizen agents: the schema comes from their signature, and ``run`` or ``run_async`` runs them.

Everything is found by duck-typing: Kaizen is never imported here, and need not be installed.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kaizen_nexus.agents.kaizen_fields import input_fields, kaizen_signature, output_fields
from kaizen_nexus.agents.signature import CallSignature, Field, read_signature

if TYPE_CHECKING:
    from kaizen_nexus.agents.workflow import WorkflowPlan

__all__ = [
    "declared_entry",
    "fresh_workflow",
    "kaizen_entry",
    "kaizen_plan",
    "validates_itself",
]

_BASE = "kaizen.core.base_agent"
_SESSION_ID = "session_id"
_DICTIONARIES = (dict, Mapping, MutableMapping)
_INSTEAD = ("error", "response", "result", "_write_insight")
"""Fields that a result may have in place of its output fields, as in Kaizen's own check."""


def kaizen_entry(agent: Any) -> Callable[..., Any] | None:
    """Return the method that runs the agent: the one that the more derived class defines.

    Where one class defines both, it is ``run_async`` for an agent that is configured for an
    asynchronous model (``use_async_llm``), else ``run``.
    """
    run, run_async = _depth(agent, "run"), _depth(agent, "run_async")
    if run is None and run_async is None:
        return None
    if run is None or run_async is None or run != run_async:
        is_async = run is None or (run_async is not None and run_async < run)
    else:
        is_async = getattr(getattr(agent, "config", None), "use_async_llm", False) is True
    entry: Callable[..., Any] = getattr(agent, "run_async" if is_async else "run")
    return entry


def declared_entry(entry: Callable[..., Any]) -> Callable[..., Any]:
    """Return the class's own method, without the wrappers that Kaizen puts around it.

    Kaizen wraps ``run`` anew for each agent, for metrics, retries and the like. The signature of
    the method inside is read once for all agents of the class.
    """
    while not inspect.ismethod(entry) and hasattr(entry, "__wrapped__"):
        entry = entry.__wrapped__
    return entry


def validates_itself(agent: object, entry: object) -> bool:
    """Whether Kaizen's own code runs the agent and checks what `entry` returns."""
    check = getattr(type(agent), "_validate_signature_output", None)
    return getattr(check, "__module__", "") == _BASE == getattr(entry, "__module__", "")


def kaizen_plan(agent: Any, entry: Callable[..., Any]) -> WorkflowPlan:
    """Build the part that all agents of this class with this signature share.

    Raises
    ------
    TypeError
        A field has no JSON Schema; the message names it.
    """
    # Schemas need msgspec, an optional dependency; reading a signature does not.
    from kaizen_nexus.agents.outputs import FieldOutputs, OutputModel
    from kaizen_nexus.agents.schema import InputModel
    from kaizen_nexus.agents.streams import StreamOutputs
    from kaizen_nexus.agents.workflow import WorkflowPlan

    declared = declared_entry(entry)
    signature, call = kaizen_signature(agent), read_signature(declared)
    label = type(signature).__qualname__
    fields = _inputs(input_fields(signature), call)
    names = {field.name for field in fields}
    inputs = InputModel(fields, accepts_extra=False, label=label)
    outputs: FieldOutputs | OutputModel | StreamOutputs
    if call.is_streaming:
        outputs = StreamOutputs(call.output, label=call.qualified_name)
    elif _says_something(call.output):
        outputs = OutputModel(call.output, label=call.qualified_name)
    else:
        instead = _INSTEAD if validates_itself(agent, declared) else None
        outputs = FieldOutputs(output_fields(signature), label=label, instead=instead)
    takes_id = call.accepts_extra or any(field.name == _SESSION_ID for field in call.fields)
    return WorkflowPlan(
        description=_description(agent, signature),
        inputs=inputs,
        outputs=outputs,
        is_async=call.is_async,
        wants_context=call.wants_context and "context" not in names,
        wants_session=call.wants_session and "session" not in names,
        wants_session_id=takes_id and _SESSION_ID not in names,
    )


def fresh_workflow(agent: Any) -> Any:
    """Return the result of ``to_workflow()`` for the agent as it is now.

    Kaizen's own method keeps its first result until the provider changes, so it would miss a
    change of prompt, model or tools.
    """
    if getattr(agent, "_workflow", None) is not None and kaizen_signature(agent) is not None:
        agent._workflow = None
    return agent.to_workflow()


def _description(agent: object, signature: Any) -> str:
    """Return the signature's description, or else the docstring of the agent's own class."""
    text = getattr(signature, "description", None)
    if not text and not type(agent).__module__.startswith("kaizen."):
        text = type(agent).__doc__
    return inspect.cleandoc(text or "")


def _depth(agent: object, name: str) -> int | None:
    """Return how far up the agent's classes `name` is defined: 0 for its own; None if nowhere."""
    own = getattr(agent, "__dict__", {}).get(name)
    if callable(own) and not hasattr(own, "__wrapped__"):
        return -1
    for depth, cls in enumerate(type(agent).__mro__):
        if name in cls.__dict__:
            return depth if callable(getattr(agent, name, None)) else None
    return None


def _inputs(declared: tuple[Field, ...], call: CallSignature) -> tuple[Field, ...]:
    """Return the signature's fields that the method accepts, and the method's own parameters."""
    names = {field.name for field in declared}
    own = {f.name: f for f in call.fields if f.name != _SESSION_ID or f.name in names}
    further = (field for name, field in own.items() if name not in names)
    taken = {*own, *(("context",) * call.wants_context), *(("session",) * call.wants_session)}
    kept = (field for field in declared if call.accepts_extra or field.name in taken)
    return (*(_with_default(field, own) for field in kept), *further)


def _with_default(field: Field, parameters: dict[str, Field]) -> Field:
    """Return a field with the parameter's default, if the signature gives none."""
    parameter = parameters.get(field.name)
    if parameter is None or parameter.required or not field.required:
        return field
    return replace(field, default=parameter.default)


def _says_something(annotation: Any) -> bool:
    """Whether a return annotation says more than ``dict[str, Any]`` does."""
    if typing.get_origin(annotation) in _DICTIONARIES:
        return typing.get_args(annotation)[-1] is not Any
    return annotation is not Any and annotation not in _DICTIONARIES
