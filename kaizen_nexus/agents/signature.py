"""Read the signature of a callable once: parameters, resolved annotations, description.

Nothing here needs an optional dependency: the deployment cache reads signatures for its keys even
where no schema is ever built.
"""

from __future__ import annotations

import functools
import inspect
import typing
import weakref
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Mapping,
    MutableMapping,
)
from dataclasses import dataclass
from types import FunctionType
from typing import Annotated, Any, Union

__all__ = ["ITERATORS", "CallSignature", "Field", "read_fields", "read_signature"]

_ASYNC_ITERATORS = frozenset({AsyncGenerator, AsyncIterator})
ITERATORS = frozenset({Generator, Iterator, *_ASYNC_ITERATORS})
"""The return types of callables whose results stream."""
_INJECTED_MAPPINGS = (dict, Mapping, MutableMapping)


@dataclass(frozen=True)
class Field:
    """One input: a parameter of a callable, or an annotated attribute of a signature class."""

    name: str
    annotation: Any
    default: Any = inspect.Parameter.empty

    @property
    def required(self) -> bool:
        """Whether the input must be given."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True)
class CallSignature:
    """The properties of a callable that its workflow depends on."""

    qualified_name: str
    fields: tuple[Field, ...]
    accepts_extra: bool
    """Whether unknown inputs are passed on (the callable has ``**kwargs``)."""
    wants_context: bool
    wants_session: bool
    output: Any
    is_async: bool
    """Whether it returns an awaitable or an asynchronous iterator."""
    is_streaming: bool
    """Whether it is a generator, or returns one."""
    description: str


def read_signature(function: Callable[..., Any]) -> CallSignature:
    """Return the signature of `function`, read once for each underlying function object.

    Raises
    ------
    TypeError
        The signature cannot be read, an annotation cannot be resolved, or a parameter can be
        given by position only.
    """
    underlying = getattr(function, "__func__", function)
    if not isinstance(underlying, FunctionType):
        return _read(function)
    is_method = underlying is not function
    known = _signatures.get(underlying)
    if known is None or known[0] != is_method:
        known = _signatures[underlying] = (is_method, _read(function))
    return known[1]


_signatures: weakref.WeakKeyDictionary[FunctionType, tuple[bool, CallSignature]] = (
    weakref.WeakKeyDictionary()
)
"""By function: whether it was read as a method, without its first parameter, and the result."""


def _read(function: Callable[..., Any]) -> CallSignature:
    label = getattr(function, "__qualname__", type(function).__qualname__)
    try:
        signature = inspect.signature(function)
    except ValueError as error:
        raise TypeError(
            f"the signature of {label} cannot be read ({error}): wrap it in a Python function "
            "with annotated parameters"
        ) from error
    source = _annotated_source(function)
    hints = _resolve(source, label)
    fields: list[Field] = []
    accepts_extra = wants_context = wants_session = False
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            accepts_extra = True
        elif parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise TypeError(
                f"parameter {parameter.name!r} of {label} is positional-only, and inputs are "
                "given by name: remove the '/' from its signature"
            )
        elif parameter.kind is not inspect.Parameter.VAR_POSITIONAL:
            annotation = hints.get(parameter.name, Any)
            if parameter.name == "context" and _is_mapping_like(annotation):
                wants_context = True
            elif parameter.name == "session" and _is_session_like(annotation):
                wants_session = True
            else:
                fields.append(Field(parameter.name, annotation, parameter.default))
    output = _output(hints.get("return", Any))
    is_async_generator = inspect.isasyncgenfunction(source)
    is_generator = is_async_generator or inspect.isgeneratorfunction(source)
    returned = typing.get_origin(output) or output
    return CallSignature(
        qualified_name=f"{getattr(source, '__module__', '')}.{label}",
        fields=tuple(fields),
        accepts_extra=accepts_extra,
        wants_context=wants_context,
        wants_session=wants_session,
        output=output,
        is_async=is_async_generator
        or inspect.iscoroutinefunction(source)
        or (not is_generator and _is_one_of(returned, _ASYNC_ITERATORS)),
        is_streaming=is_generator or _is_one_of(returned, ITERATORS),
        description=inspect.cleandoc(getattr(source, "__doc__", None) or ""),
    )


def read_fields(signature_class: type) -> tuple[Field, ...]:
    """Return the annotated attributes of a signature class as inputs, in definition order.

    Dataclasses, typed dictionaries, pydantic models and plain annotated classes all work: the
    annotations give the types, the class attributes (or field defaults) give the defaults.
    """
    hints = _resolve(signature_class, signature_class.__qualname__)
    parameters: Mapping[str, inspect.Parameter] = {}
    if hasattr(signature_class, "__dataclass_fields__") or hasattr(
        signature_class, "__pydantic_fields__"
    ):
        parameters = inspect.signature(signature_class).parameters
    optional: frozenset[str] = getattr(signature_class, "__optional_keys__", frozenset())
    fields = []
    for name, annotation in hints.items():
        if typing.get_origin(annotation) is typing.ClassVar or name.startswith("_"):
            continue
        default = getattr(signature_class, name, inspect.Parameter.empty)
        if name in parameters:
            default = parameters[name].default
        elif name in optional:
            default = None
        fields.append(Field(name, annotation, default))
    return tuple(fields)


def _annotated_source(function: Callable[..., Any]) -> Any:
    """Return the function that has the annotations and docstring, and is async or not."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function):
        return inspect.unwrap(getattr(function, "__func__", function))
    call = type(function).__call__
    return inspect.unwrap(call) if inspect.isfunction(call) else function


def _resolve(source: Any, label: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(source, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"an annotation of {label} cannot be resolved ({error}): import the name in the "
            "module that uses it, outside 'if TYPE_CHECKING'"
        ) from error
    except TypeError:
        # A mock, or an instance of a class without annotations.
        return {}


def _output(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (Awaitable, Coroutine):
        return typing.get_args(annotation)[-1]
    return annotation


def _is_one_of(annotation: Any, types: frozenset[Any]) -> bool:
    return isinstance(annotation, type) and annotation in types


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union other than None; anything else is its only member."""
    if typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    origin = typing.get_origin(annotation)
    if origin is Union or type(annotation).__name__ == "UnionType":
        return tuple(a for a in typing.get_args(annotation) if a is not type(None))
    return (annotation,)


def _is_mapping_like(annotation: Any) -> bool:
    """Whether an input named ``context`` with this annotation is the session's state."""
    return all(
        member is Any or (typing.get_origin(member) or member) in _INJECTED_MAPPINGS
        for member in _alternatives(annotation)
    )


def _is_session_like(annotation: Any) -> bool:
    """Whether an input named ``session`` with this annotation is the session handle."""
    return all(
        member is Any or getattr(member, "__name__", "") == "CrossChannelSession"
        for member in _alternatives(annotation)
    )
