"""Results that declare their fields one by one, as the output fields of a Kaizen signature do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin

import msgspec

from kaizen_nexus.agents.schema import (
    JsonSchema,
    culprit,
    encode_checked,
    from_builtins,
    schema_of,
)
from kaizen_nexus.agents.signature import Field

__all__ = ["FieldOutputs"]


class FieldOutputs:
    """An output of named fields: its JSON Schema, and how to encode a result.

    A field that is present is of its declared type; further fields may be there.

    Parameters
    ----------
    fields
        The declared fields; a string that annotates one, by ``Annotated``, is its description.
    label
        What the output belongs to, for error messages.
    instead
        Fields any one of which may take the place of all declared ones: an object that has
        neither is never returned. None where the result may be anything, and then only objects
        are checked.

    Raises
    ------
    TypeError
        A field has no JSON representation; the message names it.
    """

    def __init__(
        self, fields: Sequence[Field], *, label: str, instead: Sequence[str] | None = None
    ) -> None:
        self._objects_only = instead is not None
        try:
            struct = msgspec.defstruct("Outputs", [_optional(field) for field in fields])
            schema = schema_of(struct)
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError(
                f"the outputs of {label} have no JSON Schema: {culprit(fields)}{error}. Annotate "
                "them with JSON types, dataclasses, typed dictionaries or pydantic models"
            ) from error
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
            struct, dec_hook=from_builtins
        )
        self.schema = _published(schema, [field.name for field in fields], instead)

    def encode(self, value: Any) -> bytes:
        """Return `value` as JSON text; NaN and infinities become null, as JSON has no such numbers.

        Raises
        ------
        InvalidOutputError
            The value has no JSON form, or a field is not of its declared type.
        """
        checked = self._objects_only or isinstance(value, Mapping)
        return encode_checked(value, self._decoder if checked else None)


def _optional(field: Field) -> tuple[str, Any, Any]:
    annotation: Any = field.annotation
    extras: list[Any] = []
    if get_origin(annotation) is Annotated:
        annotation, *extras = get_args(annotation)
    metadata = [msgspec.Meta(description=e) if isinstance(e, str) else e for e in extras]
    union = annotation | msgspec.UnsetType
    return (field.name, Annotated[(union, *metadata)] if metadata else union, msgspec.UNSET)


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
