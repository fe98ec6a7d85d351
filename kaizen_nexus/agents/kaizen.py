"""Kaizen agents: the schema comes from their signature, and ``run`` or ``run_async`` runs them.

Everything is found by duck-typing: Kaizen is never imported here, and need not be installed.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Optional

from kaizen_nexus.agents.signature import CallSignature, Field, read_signature

if TYPE_CHECKING:
    from kaizen_nexus.agents.workflow import WorkflowPlan

__all__ = [
    "declared_entry",
    "fresh_workflow",
    "input_fields",
    "kaizen_entry",
    "kaizen_plan",
    "kaizen_signature",
    "output_fields",
    "resolved_type",
    "validates_itself",
]

_BASE = "kaizen.core.base_agent"
_SESSION_ID = "session_id"
_DICTIONARIES = (dict, Mapping, MutableMapping)
_INSTEAD = ("error", "response", "result", "_write_insight")
"""Fields that a result may have in place of its output fields, as in Kaizen's own check."""


class _LeftOut:
    """The default of an optional input without a value in Kaizen: it is not passed at all."""

    def __repr__(self) -> str:
        return "<left out>"


LEFT_OUT = _LeftOut()

_TYPE_NAMES = {
    "text": str,
    "str": str,
    "string": str,
    "int": int,
    "integer": int,
    "float": float,
    "number": float,
    "bool": bool,
    "boolean": bool,
    "list": list,
    "dict": dict,
}
"""The types that a signature written as text can name; other names accept any value."""


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


def kaizen_signature(agent: object) -> Any | None:
    """Return the signature of an agent that declares its inputs and outputs as Kaizen's do.

    Those are objects whose ``input_fields`` and ``output_fields`` are mappings.
    """
    signature = getattr(agent, "signature", None)
    if signature is None or isinstance(signature, type):
        return None
    for name in ("input_fields", "output_fields"):
        if not isinstance(getattr(signature, name, None), Mapping):
            return None
    return signature


def input_fields(signature: Any) -> tuple[Field, ...]:
    """Return the inputs of a signature, in order.

    Raises
    ------
    TypeError
        The type of a field cannot be resolved; the message names the field.
    """
    declared: Mapping[str, Mapping[str, Any]] = signature.input_fields
    if not declared:
        return _labelled(signature, "inputs", "input_types")
    fields = []
    for name, field in declared.items():
        annotation = resolved_type(signature, name, field.get("type", Any))
        default = field.get("default")
        if default is None:
            required = field.get("required", True)
            default = Field(name, Any).default if required else LEFT_OUT
            # Models that fill in every argument send null for those without a value.
            annotation = annotation if required else Optional[annotation]  # noqa: UP045
        fields.append(Field(name, _described(annotation, field), default))
    return tuple(fields)


def output_fields(signature: Any) -> tuple[Field, ...]:
    """Return the outputs of a signature, in order.

    Raises
    ------
    TypeError
        The type of a field cannot be resolved; the message names the field.
    """
    declared: Mapping[str, Mapping[str, Any]] = signature.output_fields
    if not declared:
        return _labelled(signature, "outputs", "output_types")
    return tuple(
        Field(name, _described(resolved_type(signature, name, field.get("type", Any)), field))
        for name, field in declared.items()
    )


def _labelled(signature: Any, names: str, labels: str) -> tuple[Field, ...]:
    """Return the fields of a signature made of names, with the names of their types."""
    known = getattr(signature, labels, None)
    types_by_name = known if isinstance(known, Mapping) else {}
    fields = []
    for name in _flat(getattr(signature, names, ())):
        label = types_by_name.get(name, Any)
        annotation = _TYPE_NAMES.get(label.lower(), Any) if isinstance(label, str) else label
        fields.append(Field(name, annotation))
    return tuple(fields)


def _flat(names: Any) -> Iterator[str]:
    """Yield all names, also those that Kaizen groups in lists."""
    for name in names:
        if isinstance(name, str):
            yield name
        else:
            yield from _flat(name)


def _described(annotation: Any, field: Mapping[str, Any]) -> Any:
    description = field.get("desc")
    return Annotated[annotation, description] if description else annotation


def resolved_type(signature: Any, name: str, annotation: Any) -> Any:
    """Return the type of a field, which Kaizen may keep as the text of its annotation.

    Raises
    ------
    TypeError
        It cannot be resolved; the message names the field.
    """
    if not isinstance(annotation, str):
        return annotation
    cls = type(signature)
    home = next((base for base in cls.__mro__ if name in vars(base)), cls)
    namespace = vars(sys.modules.get(home.__module__, types))
    holder: Any = types.SimpleNamespace(__annotations__={name: annotation})
    try:
        return typing.get_type_hints(holder, dict(namespace), include_extras=True)[name]
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise TypeError(
            f"the type of field {name!r} of {cls.__qualname__} cannot be resolved ({error}): "
            "import it in the module that defines the signature, outside 'if TYPE_CHECKING'"
        ) from error
