"""Deriving inputs from a JSON Schema: values that it takes, and values that it does not."""

from __future__ import annotations

import contextlib
import importlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kaizen_nexus._extras import missing_extra

__all__ = ["NoSampleError", "Sampler", "complaint", "require_validator"]

Schema = Mapping[str, Any]

TEXT = "it's “naïve” 漢字 🚀"
"""Holds what shells, encodings and JSON treat specially."""
MAX_DEPTH = 6
MAX_LENGTH = 10_000
NO_DEFAULT = object()
"""Equals no value."""
_REFERENCE = "#/$defs/"
_FORMATS = {
    "date-time": "2026-02-28T12:30:00Z",
    "date": "2026-02-28",
    "time": "12:30:00Z",
    "duration": "P1DT2H",
    "uuid": "12345678-1234-5678-1234-567812345678",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "hostname": "example.com",
    "decimal": "1.50",
}
_STEPS = {"integer": 1, "number": 0.5}
_BASE64 = "c2FtcGxl"
_WRONG: tuple[Any, ...] = (12_345, "not this", [], {}, True, None, [[]], 0.5)


class NoSampleError(ValueError):
    """No value that the schema takes could be derived; the message says for what."""


def require_validator() -> None:
    """Import the validator.

    Raises
    ------
    ImportError
        It is not installed; the message says how to install it.
    """
    try:
        importlib.import_module("jsonschema")
    except ImportError as error:
        missing_extra("nexus check", "testing", error)


def complaint(schema: Schema, value: Any) -> str:
    """Return why `value` does not match `schema`, or nothing.

    A validator decides that no channel uses. References lead to places in `schema` itself; others
    are not followed, least of all over the network, and are taken to admit anything.
    """
    jsonschema = importlib.import_module("jsonschema")  # by name, since it publishes no types
    referencing = importlib.import_module("referencing")
    validator = jsonschema.Draft202012Validator(schema, registry=referencing.Registry())
    try:
        error = next(validator.iter_errors(value), None)
    except referencing.exceptions.Unresolvable:
        return ""
    return "" if error is None else str(error.message)


class Sampler:
    """Derives values for one workflow's inputs.

    Parameters
    ----------
    schema
        The JSON Schema of the inputs.
    """

    def __init__(self, schema: Schema) -> None:
        self._definitions: Mapping[str, Schema] = schema.get("$defs", {})
        self._properties: Mapping[str, Schema] = schema.get("properties", {})
        self._required = tuple(schema.get("required", ()))
        self._schema = schema

    def required_only(self) -> dict[str, Any]:
        """Return inputs without those that have a default.

        Raises
        ------
        NoSampleError
            For one of them no value could be derived.
        """
        return self._checked({name: self._input(name) for name in self._required})

    def everything(self) -> dict[str, Any]:
        """Return all inputs, each with another value than its default where there is one.

        An optional input for which no value could be derived is left out.

        Raises
        ------
        NoSampleError
            For a required one no value could be derived.
        """
        inputs = self.required_only()
        for name in self._properties:
            if name not in inputs:
                with contextlib.suppress(NoSampleError):
                    inputs[name] = self._input(name)
        return self._checked({name: inputs[name] for name in self._properties if name in inputs})

    def wrong(self) -> tuple[str, Any] | None:
        """Return an input and a value that it does not take, or None if all take anything."""
        for name, schema in self._properties.items():
            for value in _WRONG:
                if not self._admits(schema, value):
                    return name, value
        return None

    def _input(self, name: str) -> Any:
        return self._first_of(name, self._properties.get(name, {}), 0)

    def _first_of(self, name: str, schema: Schema, depth: int) -> Any:
        """Return the first candidate that is not the default, or at worst that one."""
        default = schema.get("default", NO_DEFAULT)
        fallback = []
        # The candidates of a schema are few, but what a validator refuses may be all of them.
        for candidate in itertools.islice(self._candidates(schema, depth), MAX_LENGTH):
            if self._admits(schema, candidate):
                if type(candidate) is not type(default) or candidate != default:
                    return candidate
                fallback.append(candidate)
        if fallback:
            return fallback[0]
        raise NoSampleError(f"no value for {name!r} can be derived from its schema")

    def _candidates(self, schema: Schema, depth: int) -> Iterator[Any]:
        """Yield values that `schema` may take, the most telling first."""
        yield from schema.get("examples", ())
        if "const" in schema:
            yield schema["const"]
        yield from schema.get("enum", ())
        reference = schema.get("$ref")
        if isinstance(reference, str) and depth < MAX_DEPTH:
            target = self._definitions.get(reference.removeprefix(_REFERENCE), {})
            yield from self._candidates(target, depth + 1)
        members = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
        # null says least, so it comes last.
        for member in sorted(members, key=lambda member: bool(member.get("type") == "null")):
            yield from self._candidates(member, depth)
        kinds = schema.get("type", ())
        for kind in [kinds] if isinstance(kinds, str) else kinds:
            yield from self._of_type(kind, schema, depth)
        if not kinds and not members and reference is None:
            yield TEXT
        if "default" in schema:
            yield schema["default"]

    def _of_type(self, kind: str, schema: Schema, depth: int) -> Iterable[Any]:
        if kind == "array":
            return self._arrays(schema, depth)
        if kind == "object":
            return self._objects(schema, depth)
        if kind == "string":
            return _strings(schema)
        if kind in _STEPS:
            return _numbers(schema, _STEPS[kind])
        return (True, False) if kind == "boolean" else (None,)

    def _arrays(self, schema: Schema, depth: int) -> Iterator[list[Any]]:
        prefix, items = schema.get("prefixItems", ()), schema.get("items") or {}
        length = max(int(schema.get("minItems", 0)), len(prefix), 1)
        if depth < MAX_DEPTH and length <= MAX_LENGTH:
            schemas = [*prefix, *[items] * (length - len(prefix))]
            with contextlib.suppress(NoSampleError):
                yield [self._first_of("an item", each, depth + 1) for each in schemas]
            if schema.get("uniqueItems") and length > 1:
                yield list(itertools.islice(self._candidates(items, depth + 1), length))
        yield []

    def _objects(self, schema: Schema, depth: int) -> Iterator[dict[str, Any]]:
        required = set(schema.get("required", ()))
        value = {}
        for name, each in schema.get("properties", {}).items():
            if depth < MAX_DEPTH or name in required:
                try:
                    value[name] = self._first_of(name, each, depth + 1)
                except NoSampleError:
                    if name in required:
                        return
        additional = schema.get("additionalProperties")
        if not value and depth < MAX_DEPTH and isinstance(additional, Mapping):
            for candidate in self._candidates(additional, depth + 1):
                yield {"key": candidate}
        yield value
        yield {}

    def _admits(self, schema: Schema, value: Any) -> bool:
        return not complaint({**schema, "$defs": self._definitions}, value)

    def _checked(self, inputs: dict[str, Any]) -> dict[str, Any]:
        if problem := complaint(self._schema, inputs):
            raise NoSampleError(f"no inputs can be derived from the schema: {problem}")
        return inputs


def _strings(schema: Schema) -> Iterator[str]:
    least = min(int(schema.get("minLength", 0)), MAX_LENGTH)
    most = int(schema.get("maxLength", MAX_LENGTH))
    if "contentEncoding" in schema:
        yield _BASE64
    elif schema.get("format") in _FORMATS:
        yield _FORMATS[schema["format"]]
    else:
        for text in (TEXT, "text", "0"):
            yield text.ljust(least, "x")[:most]


def _numbers(schema: Schema, step: float) -> Iterator[float]:
    """Yield a number near the default, or near a bound."""
    default = schema.get("default")
    if isinstance(default, (int, float)) and not isinstance(default, bool):
        yield from (default + step, default - step)
    yield from (step, step + 1)
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is not None and high is not None and isinstance(step, float):
        yield (low + high) / 2
    for bound in (low, high, 0):
        if bound is not None:
            yield from (bound, bound + step, bound - step)
    multiple = schema.get("multipleOf")
    if multiple is not None:
        start = multiple if low is None else low - low % multiple + multiple
        yield from (start, -start)
