"""The compiled modules and their twins describe themselves alike: the twins are the stubs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from kaizen_nexus._common.latency_values import RECORDERS

MODULES = ("cache_key", "latency_histogram", "session_table")
# Methods of these are called for every request, and take the instance by position alone.
IMPLICIT = {"self", "cls"}
# Attributes that a pure-Python instance has and its class does not, and one that makes it fast.
OWN = {"context", "recorder", "tended", *RECORDERS.values()}


def public(module: str, package: str) -> dict[str, Any]:
    """Return the public names of a module and of its classes."""
    loaded = import_module(f"kaizen_nexus.{package}.{module}")
    found: dict[str, Any] = {}
    for name in loaded.__all__:
        value = getattr(loaded, name)
        found[name] = value
        if inspect.isclass(value):
            members = {each for kind in value.__mro__[:-1] for each in vars(kind)}
            for member in members - OWN:
                if not member.startswith("_"):
                    found[f"{name}.{member}"] = getattr(value, member)
    return found


def names() -> Iterator[tuple[str, str]]:
    for module in MODULES:
        for name in sorted(public(module, "_fallback").keys() | public(module, "_core").keys()):
            yield module, name


def parameters(value: Any) -> list[tuple[str, Any, Any]] | None:
    if isinstance(value, property) or not callable(value):
        return None
    try:
        signature = inspect.signature(value)
    except ValueError:
        return None  # a class whose text signature the interpreter does not read
    return [
        (name, each.kind, each.default)
        for name, each in signature.parameters.items()
        if name not in IMPLICIT
    ]


def words(value: Any) -> str:
    """Return the docstring without the signature that Cython may put before it."""
    text = value.__doc__ or ""
    if text.startswith(f"{getattr(value, '__name__', None)}("):
        text = text.partition("\n")[2]
    return inspect.cleandoc(text)


@pytest.mark.parametrize(("module", "name"), list(names()))
def test_twins_have_the_same_docstrings_and_signatures(module: str, name: str) -> None:
    compiled, pure = public(module, "_core"), public(module, "_fallback")
    assert name in compiled
    assert name in pure
    assert words(compiled[name]) == words(pure[name])
    if not inspect.isclass(pure[name]):
        assert parameters(compiled[name]) == parameters(pure[name])
