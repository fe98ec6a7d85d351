"""JSON Schema's own meaning, by a validator that neither channel uses."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

__all__ = ["complaint"]


def complaint(schema: Mapping[str, Any], value: Any) -> str:
    """Return what `schema` has against `value`, or nothing.

    References lead to places in `schema` itself; others are not followed, least of all over the
    network, and what they stand for is taken to admit anything.
    """
    # By name: jsonschema publishes no types, and comes with the MCP SDK.
    jsonschema = importlib.import_module("jsonschema")
    referencing = importlib.import_module("referencing")
    validator = jsonschema.Draft202012Validator(schema, registry=referencing.Registry())
    try:
        error = next(validator.iter_errors(value), None)
    except referencing.exceptions.Unresolvable:
        return ""
    return "" if error is None else str(error.message)
