"""Results: their JSON Schema, and encoding them as JSON text that is checked against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import repeat
from typing import Any

import msgspec
from msgspec import inspect

from kaizen_nexus.agents.errors import InvalidOutputError
from kaizen_nexus.agents.schema import (
    JsonSchema,
    described,
    explained,
    from_builtins,
    is_pydantic_model,
    schema_of,
)
from kaizen_nexus.agents.signature import Field

__all__ = ["FieldOutputs", "OutputModel", "ResultEncoder", "to_json"]

SMALL = 256
PROBE, MANY = 4096, 32
"""A text with more commas than this in its first 4 KiB consists of many small values."""
_ERRORS = (msgspec.MsgspecError, TypeError, ValueError, RecursionError)
"""What msgspec and its hooks raise for values without a JSON form, or of another type."""
_CONTENT_TYPES = {
    inspect.AnyType,
    inspect.BoolType,
    inspect.BytesType,
    inspect.DateTimeType,
    inspect.DateType,
    inspect.DictType,
    inspect.EnumType,
    inspect.FrozenSetType,
    inspect.IntType,
    inspect.ListType,
    inspect.LiteralType,
    inspect.NoneType,
    inspect.SetType,
    inspect.StrType,
    inspect.TimeDeltaType,
    inspect.TimeType,
    inspect.TupleType,
    inspect.TypedDictType,
    inspect.UUIDType,
    inspect.UnionType,
    inspect.VarTupleType,
}
"""Types whose values are accepted by `msgspec.convert` only if their JSON text has the type, too.

Floats are not among them: it also takes NaN and `Decimal`, which are null and strings in JSON.
"""
_RECORD_TYPES = {inspect.DataclassType, inspect.StructType}
"""Types for which this holds once `msgspec.to_builtins` has taken the value apart.

`msgspec.convert` itself looks at no attribute of their instances.
"""


class ResultEncoder:
    """Encodes results as JSON text, and checks that they have the declared type.

    A long result is checked by converting the value itself, where that is faster and decides.
    Otherwise the text is decoded; the message then says where it is wrong.

    Parameters
    ----------
    declared
        The type; ``Any`` accepts everything that has a JSON form.
    parts
        The types in it, if it is a struct that stands for an object with these members.
    small
        Bytes of a text that takes less time to decode than its value to convert.
    """

    def __init__(
        self, declared: Any, parts: Sequence[Any] | None = None, *, small: int = SMALL
    ) -> None:
        self._small = small
        self._declared = declared
        self._parts = [declared] if parts is None else parts
        self._decoder = msgspec.json.Decoder(declared, dec_hook=from_builtins)

    @cached_property
    def _has_records(self) -> bool | None:
        """Whether the type has records; None if converting a value does not decide at all."""
        types = [inspect.type_info(part) for part in self._parts]
        kinds = set(map(type, _types_in(types, set())))
        if kinds <= _CONTENT_TYPES:
            return False
        return True if kinds <= _CONTENT_TYPES | _RECORD_TYPES else None

    @cached_property
    def _box(self) -> type[msgspec.Struct]:
        # msgspec remembers what it knows of a type only where that is a struct.
        return msgspec.defstruct("Result", [("result", self._declared)], array_like=True)

    def encode(self, value: Any) -> bytes:
        """Return `value` as JSON text.

        Raises
        ------
        InvalidOutputError
            The value has no JSON form, or does not have the declared type.
        """
        try:
            encoded = _ENCODER.encode(value)
        except _ERRORS as error:
            raise _no_json_form(error) from error
        if len(encoded) > self._small and self._accepts(value, encoded):
            return encoded
        try:
            self._decoder.decode(encoded)
        except msgspec.ValidationError as error:
            raise InvalidOutputError(
                f"the returned {type(value).__name__} does not match the declared output: {error}"
            ) from None
        except _ERRORS as error:
            raise _no_json_form(error) from error
        return encoded

    def _accepts(self, value: Any, encoded: bytes) -> bool:
        """Whether converting `value`, which is `encoded`, shows that it has the type."""
        records = self._has_records
        if records is None or (
            # Texts that are decoded in less time than records are taken apart.
            records and (len(encoded) <= 16 * self._small or encoded.count(b",", 0, PROBE) > MANY)
        ):
            return False
        try:
            if records:
                value = msgspec.to_builtins(value, enc_hook=_to_builtins)
            msgspec.convert((value,), self._box)
        except _ERRORS:
            return False
        return True


def to_json(value: Any) -> bytes:
    """Return any value as JSON text; NaN and infinities are null there.

    Raises
    ------
    InvalidOutputError
        The value has no JSON form.
    """
    try:
        return _ENCODER.encode(value)
    except _ERRORS as error:
        raise _no_json_form(error) from error


class OutputModel:
    """The output of a workflow: its JSON Schema, and how to encode a result.

    Parameters
    ----------
    annotation
        The return annotation; ``Any`` where there is none, and then nothing is checked.
    label
        What the output belongs to, for error messages.

    Raises
    ------
    TypeError
        The annotation has no JSON representation.
    """

    def __init__(self, annotation: Any, *, label: str) -> None:
        self.schema: JsonSchema = {}
        self.encode = to_json
        """Return a result as JSON text; raise `InvalidOutputError` if it cannot be one."""
        if annotation is not Any:
            with explained(
                f"the output of {label} has",
                "Annotate the return value with a JSON type, a dataclass, a typed dictionary or a "
                "pydantic model, or leave the annotation out",
            ):
                self.schema = schema_of(annotation)
                self.encode = ResultEncoder(annotation).encode


class FieldOutputs:
    """An output of named fields, as a Kaizen signature declares them.

    A field that is present has its declared type; further fields may be there.

    Parameters
    ----------
    fields
        The declared fields; a string that annotates one, by ``Annotated``, is its description.
    label
        What the output belongs to, for error messages.
    instead
        If given, every result is an object that has all declared fields or one of these. If None,
        a result may be anything, and only objects are checked.

    Raises
    ------
    TypeError
        A field has no JSON representation; the message names it.
    """

    def __init__(
        self, fields: Sequence[Field], *, label: str, instead: Sequence[str] | None = None
    ) -> None:
        self._objects_only = instead is not None
        with explained(
            f"the outputs of {label} have",
            "Annotate them with JSON types, dataclasses, typed dictionaries or pydantic models",
            fields,
        ):
            types = [described(field.annotation) | msgspec.UnsetType for field in fields]
            names = [field.name for field in fields]
            struct = msgspec.defstruct("Outputs", list(zip(names, types, repeat(msgspec.UNSET))))
            schema = schema_of(struct)
            self._encoder = ResultEncoder(struct, types)
        self.schema = _published(schema, names, instead)

    def encode(self, value: Any) -> bytes:
        """Return `value` as JSON text.

        Raises
        ------
        InvalidOutputError
            The value has no JSON form, or a field does not have its declared type.
        """
        if self._objects_only or isinstance(value, Mapping):
            return self._encoder.encode(value)
        return to_json(value)


def _types_in(node: Any, seen: set[int]) -> Iterator[inspect.Type]:
    """Yield what msgspec knows of a type and of all types in it, each once."""
    if isinstance(node, (list, tuple)):
        for item in node:
            yield from _types_in(item, seen)
    elif isinstance(node, (inspect.Type, inspect.Field)) and id(node) not in seen:
        seen.add(id(node))
        if isinstance(node, inspect.Type):
            yield node
        for name in node.__struct_fields__:
            yield from _types_in(getattr(node, name), seen)


def _published(
    schema: JsonSchema, names: Sequence[str], instead: Sequence[str] | None
) -> JsonSchema:
    properties = schema.get("properties", {})
    definitions = {key: schema[key] for key in ("$defs",) if key in schema}
    if instead is None:
        return {"properties": properties, **definitions} if properties else {}
    published: JsonSchema = {"type": "object", "properties": properties, **definitions}
    if names:
        published["anyOf"] = [{"required": list(names)}, *({"required": [n]} for n in instead)]
    return published


def _to_builtins(value: Any) -> Any:
    if is_pydantic_model(type(value)):
        return value.model_dump(mode="json")
    # numpy arrays and scalars
    tolist = getattr(value, "tolist", None)
    if callable(tolist):
        return tolist()
    raise TypeError(f"{type(value).__qualname__} is not a JSON type")


_ENCODER = msgspec.json.Encoder(enc_hook=_to_builtins)


def _no_json_form(error: Exception) -> InvalidOutputError:
    return InvalidOutputError(f"the returned value has no JSON form: {error}")
