"""Inputs declared by a class that validates them by its own rules."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

import msgspec

from kaizen_nexus.agents.errors import (
    InputError,
    InvalidInputsError,
    input_errors,
    model_errors,
)
from kaizen_nexus.agents.schema import (
    JsonSchema,
    explained,
    from_builtins,
    is_pydantic_model,
    schema_of,
)

__all__ = ["RecordModel", "is_record"]


def is_record(candidate: type) -> bool:
    """Whether a class declares fields itself: a dataclass, typed dictionary, struct or model."""
    return (
        dataclasses.is_dataclass(candidate)
        or typing.is_typeddict(candidate)
        or hasattr(candidate, "__struct_fields__")
        or is_pydantic_model(candidate)
    )


class RecordModel:
    """The inputs that a signature class declares.

    The class's own defaults, factories, constraints and validators apply. Inputs that it does not
    declare are refused, unless it is a pydantic model that allows extras.

    Parameters
    ----------
    record
        The signature class.
    label
        What the inputs belong to, for error messages.

    Raises
    ------
    TypeError
        A field has no JSON representation.
    """

    def __init__(self, record: type, *, label: str) -> None:
        self._record = record
        self._is_model = is_pydantic_model(record)
        with explained(
            f"the inputs of {label} have",
            f"Annotate the fields of {record.__qualname__} with JSON types",
        ):
            self.schema: JsonSchema = schema_of(record)
        for key in ("title", "description"):
            self.schema.pop(key, None)
        self._names = frozenset(self.schema.setdefault("properties", {}))
        self._open = bool(self.schema.setdefault("additionalProperties", False))

    def convert(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return `inputs` checked and converted by the class, with its defaults filled in.

        Raises
        ------
        InvalidInputsError
            With an entry for each thing that is wrong.
        """
        unknown = [] if self._open else [name for name in inputs if name not in self._names]
        if unknown:
            raise InvalidInputsError(
                tuple(
                    InputError(f"/{name}", f"Object contains unknown field `{name}`")
                    for name in unknown
                )
            )
        record: Any = self._record
        if self._is_model:
            try:
                model = record.model_validate(inputs)
            except ValueError as error:
                raise InvalidInputsError(model_errors(error)) from None
            return dict(model)
        try:
            checked = msgspec.convert(inputs, record, dec_hook=from_builtins)
        except msgspec.ValidationError as error:
            raise InvalidInputsError(input_errors(error)) from None
        if isinstance(checked, dict):
            return checked
        names = getattr(record, "__struct_fields__", None) or record.__dataclass_fields__
        return {name: getattr(checked, name) for name in names if hasattr(checked, name)}
