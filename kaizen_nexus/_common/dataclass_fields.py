"""Passing for a dataclass: what `dataclasses.asdict`, `fields` and `replace` go by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import Field

__all__ = ["DataclassFields"]


class DataclassFields:
    """The ``__dataclass_fields__`` of a class whose values are kept elsewhere than in instances.

    Parameters
    ----------
    names
        The attributes that are fields, in the order of the constructor's parameters.
    """

    __slots__ = ("_fields", "_names")

    def __init__(self, *names: str) -> None:
        self._names = names
        self._fields: dict[str, Field[Any]] | None = None

    def __get__(self, instance: object, owner: type) -> dict[str, Field[Any]]:
        """Return the fields by name, made when they are first asked for."""
        if self._fields is None:
            # Its import costs more than the classes that use this, and few programs ask.
            import dataclasses

            model = dataclasses.make_dataclass(owner.__name__, self._names)
            self._fields = {field.name: field for field in dataclasses.fields(model)}
        return self._fields
