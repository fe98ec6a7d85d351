"""The fields of a Kaizen signature, read by duck-typing: names, types, descriptions, defaults."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Optional

from kaizen_nexus.agents.signature import Field

__all__ = ["input_fields", "kaizen_signature", "output_fields", "resolved_type"]


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
