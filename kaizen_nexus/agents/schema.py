"""JSON Schema and validation of inputs, both by msgspec.

One struct type for each workflow validates inputs, fills in defaults and yields the schema, so the
published schema and the check cannot differ.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin

from kaizen_nexus._extras import missing_extra
from kaizen_nexus.agents.errors import InvalidInputsError, input_errors
from kaizen_nexus.agents.signature import Field

try:
    import msgspec
except ModuleNotFoundError as error:
    missing_extra("building a workflow", "serve", error)

__all__ = [
    "InputModel",
    "JsonSchema",
    "described",
    "explained",
    "from_builtins",
    "is_pydantic_model",
    "schema_of",
]

JsonSchema = dict[str, Any]

_DEFS = "#/$defs/{name}"


class InputModel:
    """The inputs of a workflow: their JSON Schema, and how to check and convert them.

    Parameters
    ----------
    fields
        The inputs, in the order in which help texts list them.
    accepts_extra
        Whether inputs that are not in `fields` are passed on unchecked.
    label
        What the inputs belong to, for error messages.

    Raises
    ------
    TypeError
        An annotation has no JSON representation.
    """

    def __init__(self, fields: Sequence[Field], *, accepts_extra: bool, label: str) -> None:
        self._accepts_extra = accepts_extra
        with explained(
            f"the inputs of {label} have",
            "Annotate them with JSON types, dataclasses, enums, typed dictionaries, msgspec "
            "structs or pydantic models",
            fields,
        ):
            self._struct = msgspec.defstruct(
                "Inputs",
                [_struct_field(field) for field in fields],
                kw_only=True,
                forbid_unknown_fields=not accepts_extra,
            )
            self.schema = schema_of(self._struct)
        self._sentinels = [
            field.name
            for field in msgspec.structs.fields(self._struct)
            if field.default is msgspec.UNSET
        ]
        self.schema.pop("title", None)
        self.schema.setdefault("properties", {})

    def convert(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return `inputs` checked, converted to the annotated types, with defaults filled in.

        Raises
        ------
        InvalidInputsError
            An input is missing, unknown or of the wrong type; its pointer says which.
        """
        try:
            checked = msgspec.convert(inputs, self._struct, dec_hook=from_builtins)
        except msgspec.ValidationError as error:
            raise InvalidInputsError(input_errors(error)) from None
        values = msgspec.structs.asdict(checked)
        for name in self._sentinels:
            if values[name] is msgspec.UNSET:
                del values[name]
        if self._accepts_extra:
            for name, value in inputs.items():
                if name not in values:
                    values[name] = value
        return values


def _struct_field(field: Field) -> tuple[str, Any, Any] | tuple[str, Any]:
    annotation = described(field.annotation)
    if field.required:
        return (field.name, annotation)
    default = field.default
    try:
        msgspec.json.encode(default)
    except (TypeError, ValueError):
        # A sentinel: without the input, the callable applies its own default.
        return (field.name, annotation | msgspec.UnsetType, msgspec.UNSET)
    if default is None:
        annotation = annotation if annotation is Any else annotation | None
    if isinstance(default, (list, dict, set, bytearray)) or not _is_hashable(default):
        return (
            field.name,
            annotation,
            msgspec.field(default_factory=lambda: copy.deepcopy(default)),
        )
    return (field.name, annotation, default)


@contextlib.contextmanager
def explained(subject: str, advice: str, fields: Sequence[Field] = ()) -> Iterator[None]:
    """Raise a `TypeError` that says what has no JSON Schema, and what to do.

    Parameters
    ----------
    subject
        The beginning of the message, such as ``"the inputs of f have"``.
    advice
        Its end.
    fields
        The message names the first of these without a JSON Schema.
    """
    try:
        yield
    except (TypeError, ValueError, RecursionError) as error:
        culprit = next((f"{field.name!r}: " for field in fields if not _has_schema(field)), "")
        raise TypeError(f"{subject} no JSON Schema: {culprit}{error}. {advice}") from error


def _has_schema(field: Field) -> bool:
    try:
        schema_of(msgspec.defstruct("Input", [_struct_field(field)], kw_only=True))
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def described(annotation: Any) -> Any:
    """Turn plain strings in ``Annotated[str, "what to ask"]`` into descriptions."""
    if get_origin(annotation) is not Annotated:
        return annotation
    base, *extras = get_args(annotation)
    described = tuple(
        msgspec.Meta(description=extra) if isinstance(extra, str) else extra for extra in extras
    )
    return Annotated[(base, *described)]


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def schema_of(annotation: Any) -> JsonSchema:
    """Return the JSON Schema of `annotation`, self-contained: references lead to ``$defs``."""
    (root,), components = msgspec.json.schema_components(
        [annotation], schema_hook=_schema_hook, ref_template=_DEFS
    )
    reference = root.get("$ref", "")
    name = reference.rpartition("/")[2]
    if set(root) == {"$ref"} and name in components and not _refers_to(components, reference):
        root = components.pop(name)
    definitions: JsonSchema = {}
    schema: JsonSchema = _hoist(root, definitions)
    for component, definition in components.items():
        definitions[component] = _hoist(definition, definitions)
    if definitions:
        schema["$defs"] = definitions
    return schema


def _hoist(node: Any, definitions: JsonSchema) -> Any:
    """Return `node` with all nested ``$defs`` moved to `definitions`."""
    if isinstance(node, Mapping):
        for name, definition in node.get("$defs", {}).items():
            definitions[name] = _hoist(definition, definitions)
        return {key: _hoist(child, definitions) for key, child in node.items() if key != "$defs"}
    if isinstance(node, (list, tuple)):
        return [_hoist(child, definitions) for child in node]
    return node


def _refers_to(node: Any, reference: str) -> bool:
    """Whether `reference` occurs anywhere in `node`: a recursive type stays in ``$defs``."""
    if isinstance(node, Mapping):
        return node.get("$ref") == reference or any(
            _refers_to(child, reference) for child in node.values()
        )
    if isinstance(node, (list, tuple)):
        return any(_refers_to(child, reference) for child in node)
    return False


def is_pydantic_model(candidate: Any) -> bool:
    """Whether `candidate` is the class of a pydantic model."""
    return inspect.isclass(candidate) and hasattr(candidate, "__pydantic_core_schema__")


def _schema_hook(annotation: Any) -> JsonSchema:
    if is_pydantic_model(annotation):
        schema: JsonSchema = annotation.model_json_schema()
        return schema
    # After NotImplementedError, msgspec would accept anything for a type with a description.
    raise TypeError(f"{annotation!r} is not a JSON type")


def from_builtins(annotation: Any, value: Any) -> Any:
    """Convert JSON values to pydantic models, which msgspec does not know."""
    if is_pydantic_model(annotation):
        return annotation.model_validate(value)
    raise TypeError(f"{annotation!r} is not a JSON type")
