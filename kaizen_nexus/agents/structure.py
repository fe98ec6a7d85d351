"""Describe types and signatures by their structure, as plain values with a digest.

Two annotations have the same description exactly when they accept the same values, in any process:
a dataclass that was edited and reloaded gets another description although its name is the same.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import typing
from typing import Any

from kaizen_nexus._accel import cache_key
from kaizen_nexus.agents.signature import CallSignature, Field, read_fields

__all__ = ["class_digest", "describe_type", "signature_digest", "type_name"]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_DIGEST = "_structure_digest"


def signature_digest(signature: CallSignature) -> str:
    """Return a digest of everything in `signature` that shapes a workflow; computed once.

    Raises
    ------
    TypeError
        A default or an annotation has no canonical description.
    """
    known = signature.__dict__.get(_DIGEST)
    if isinstance(known, str):
        return known
    digest = cache_key(
        (
            signature.qualified_name,
            _fields_digest(signature.fields),
            signature.accepts_extra,
            signature.wants_context,
            signature.wants_session,
            describe_type(signature.output),
            signature.is_async,
            signature.is_streaming,
            signature.description,
        )
    )
    # The dataclass is frozen, but a digest of its own fields does not change it.
    signature.__dict__[_DIGEST] = digest
    return digest


def class_digest(signature_class: type) -> str:
    """Return a digest of the inputs that a signature class declares."""
    return cache_key((describe_type(signature_class), _fields_digest(read_fields(signature_class))))


def _fields_digest(fields: tuple[Field, ...]) -> str:
    """Return a digest of names, types and defaults of `fields`, in order."""
    return cache_key(
        tuple(
            (f.name, describe_type(f.annotation), f.required, _constant(f.default)) for f in fields
        )
    )


def describe_type(annotation: Any, enclosing: tuple[Any, ...] = ()) -> Any:
    """Return `annotation` as nested tuples of strings and constants.

    Parameters
    ----------
    annotation
        A type, a generic alias, a union, a literal, or anything else that can annotate.
    enclosing
        The classes being described, outermost first; a recursive type refers to one of them.

    Raises
    ------
    TypeError
        The annotation has no description that is the same in every process.
    """
    arguments = typing.get_args(annotation)
    if arguments:
        origin = typing.get_origin(annotation)
        if origin is typing.Literal:
            return ("Literal", *(_constant(argument) for argument in arguments))
        if origin is typing.Annotated:
            base, *metadata = arguments
            return ("Annotated", describe_type(base, enclosing), *map(_constant, metadata))
        name = getattr(origin, "__qualname__", str(origin))
        return (name, *(describe_type(argument, enclosing) for argument in arguments))
    if not inspect.isclass(annotation):
        return _constant(annotation)
    name = f"{annotation.__module__}.{annotation.__qualname__}"
    if annotation in enclosing:
        return ("recursive", name)
    return (name, *_members(annotation, (*enclosing, annotation)))


def type_name(annotation: Any) -> str:
    """Return `annotation` as source code would name it; different types may share a name."""
    if inspect.isclass(annotation) and not typing.get_args(annotation):
        return annotation.__qualname__
    return _ADDRESS.sub("", str(annotation).replace("typing.", ""))


def _members(cls: type, enclosing: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the members that a class declares; empty for an ordinary class."""
    if issubclass(cls, enum.Enum):
        return tuple((member.name, _constant(member.value)) for member in cls)
    if dataclasses.is_dataclass(cls):
        return _annotated(cls, {f.name: _default(f) for f in dataclasses.fields(cls)}, enclosing)
    if hasattr(cls, "__struct_fields__"):
        required = len(cls.__struct_fields__) - len(cls.__struct_defaults__)  # type: ignore[attr-defined]  # msgspec
        names: tuple[str, ...] = cls.__struct_fields__
        defaults = dict.fromkeys(names[:required])
        defaults.update(zip(names[required:], cls.__struct_defaults__, strict=True))  # type: ignore[attr-defined]  # msgspec
        return _annotated(cls, defaults, enclosing)
    if hasattr(cls, "__pydantic_fields__"):
        fields = cls.__pydantic_fields__
        return _annotated(cls, {name: repr(field) for name, field in fields.items()}, enclosing)
    if typing.is_typeddict(cls):
        names = tuple(cls.__annotations__)
        required_keys: frozenset[str] = getattr(cls, "__required_keys__", frozenset())
        return _annotated(cls, {name: name in required_keys for name in names}, enclosing)
    return ()


def _annotated(
    cls: type, defaults: dict[str, Any], enclosing: tuple[Any, ...]
) -> tuple[tuple[Any, ...], ...]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return tuple(
        (name, describe_type(hints.get(name), enclosing), _constant(default))
        for name, default in defaults.items()
    )


def _default(field: dataclasses.Field[Any]) -> Any:
    """Return a dataclass field's default or default factory, or ``"required"``."""
    if field.default is not dataclasses.MISSING:
        return field.default
    return "required" if field.default_factory is dataclasses.MISSING else field.default_factory


def _constant(value: Any) -> Any:
    """Return `value` if it is a plain constant, else a representation without addresses."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return (type(value).__name__, value)
    if callable(value) and "<" not in getattr(value, "__qualname__", "<"):
        return f"{value.__module__}.{value.__qualname__}"
    text = repr(value)
    if _ADDRESS.search(text):
        raise TypeError(f"{text} has no description that is the same in every process")
    return text
