"""How an input is given on a command line, read from its JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from kaizen_nexus.channels.cli.values import NUMBER, JsonText, OneOf

if TYPE_CHECKING:
    AnyParamType = click.ParamType[Any]

__all__ = ["OptionForm", "option_form"]

Schema = Mapping[str, Any]

_REFERENCE = "#/$defs/"
_STRUCTURED: Schema = {"type": "object"}
_KINDS: Mapping[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "object",
    dict: "object",
}


@dataclass(frozen=True)
class OptionForm:
    """What an option's text looks like."""

    type: AnyParamType
    metavar: str | None = None
    """What help shows for the value; default is the type's name."""
    repeatable: bool = False
    """Whether the input is an array with one element for each time the option is given."""
    flag: bool = False
    """Whether the option has no text at all: ``--x`` or ``--no-x``."""


_JSON = OptionForm(JsonText())
_TEXT = OptionForm(click.STRING)
_SCALARS = {
    "integer": OptionForm(click.INT),
    "number": OptionForm(NUMBER),
    "boolean": OptionForm(click.BOOL, flag=True),
}


def option_form(schema: Schema, definitions: Mapping[str, Schema]) -> OptionForm:
    """Return how an input with this schema is given.

    An optional value is given like the value; an array of scalars by repeating the option; other
    arrays, objects and unions as JSON text. An input without a type is text, or what its default
    is: text can be typed without quoting, and ``-i KEY:=JSON`` remains for all else.

    Parameters
    ----------
    schema
        One property of a workflow's input schema.
    definitions
        What ``$ref`` in it refers to: the ``$defs`` of the input schema.
    """
    members = _alternatives(schema, definitions)
    if len(members) != 1:
        return OptionForm(JsonText(or_text=any(_admits_text(member) for member in members)))
    (member,) = members
    if member.get("type") != "array":
        return _scalar(member, schema.get("default")) or _JSON
    items = member.get("items")
    if not isinstance(items, Mapping) or not items or "prefixItems" in member:
        return _JSON
    elements = _alternatives(items, definitions)
    element = _scalar(elements[0], None) if len(elements) == 1 else None
    return replace(element, repeatable=True, flag=False) if element else _JSON


def _alternatives(schema: Schema, definitions: Mapping[str, Schema]) -> list[Schema]:
    """Return what a value may be, other than null, with references and unions resolved."""
    found: list[Schema] = []
    followed: set[str] = set()

    def collect(node: Schema) -> None:
        reference = node.get("$ref")
        combined = node.get("allOf", ())
        union = node.get("anyOf") or node.get("oneOf") or (combined if len(combined) == 1 else ())
        kinds = node.get("type")
        if isinstance(reference, str):
            # What a reference stands for is an alternative once, however often it is reached.
            if reference not in followed:
                followed.add(reference)
                collect(definitions.get(reference.removeprefix(_REFERENCE), _STRUCTURED))
        elif union:
            for member in union:
                collect(member)
        elif combined:
            found.append(_STRUCTURED)
        elif isinstance(kinds, list):
            found.extend({**node, "type": kind} for kind in kinds if kind != "null")
        elif kinds != "null":
            found.append(node)

    collect(schema)
    return found


def _admits_text(schema: Schema) -> bool:
    constants = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return schema.get("type") == "string" or any(isinstance(value, str) for value in constants)


def _scalar(schema: Schema, default: object) -> OptionForm | None:
    """Return how a value that is neither array nor object is given, or None if it is either."""
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        labels = OneOf.labels_of([value for value in values if value is not None])
        return OptionForm(OneOf(labels)) if labels else None
    kind = schema.get("type", _KINDS.get(type(default), "string"))
    if kind == "string":
        metavar = schema.get("format") or schema.get("contentEncoding")
        return replace(_TEXT, metavar=metavar.upper()) if isinstance(metavar, str) else _TEXT
    return _SCALARS.get(kind)
