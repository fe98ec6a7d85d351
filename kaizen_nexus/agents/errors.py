"""Errors in an agent's inputs and results, and reading them from validators' reports."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from kaizen_nexus._errors import NexusError

__all__ = ["InputError", "InvalidInputsError", "InvalidOutputError", "input_errors", "model_errors"]

_AT_PATH = re.compile(r" - at `(?P<path>\$[^`]*)`$")
_NAMES_A_FIELD = re.compile(r"(?:required|unknown) field `(?P<field>[^`]*)`")
_PATH_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+|\.\.\.)\]")


@dataclass(frozen=True)
class InputError:
    """One thing that is wrong with one input."""

    pointer: str
    """RFC 6901 JSON Pointer to the offending value, for example ``/filters/0/name``."""
    message: str


class InvalidInputsError(NexusError, ValueError):
    """The inputs of an invocation do not match the workflow's input schema."""

    def __init__(self, errors: tuple[InputError, ...]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{e.pointer or '/'}: {e.message}" for e in errors))


class InvalidOutputError(NexusError, TypeError):
    """An agent returned what is not of its declared type, or has no JSON form."""


def input_errors(error: Exception) -> tuple[InputError, ...]:
    """Split msgspec's message into a pointer and the message without the path."""
    message, pointer = str(error), ""
    match = _AT_PATH.search(message)
    if match:
        message = message[: match.start()]
        for step in _PATH_STEP.finditer(match["path"]):
            pointer += _step(step["name"] or step["index"])
    if callable(getattr(error.__cause__, "errors", None)):
        return model_errors(error.__cause__, pointer)
    named = _NAMES_A_FIELD.search(message)
    if named:
        pointer += _step(named["field"])
    return (InputError(pointer, message),)


def model_errors(error: Any, pointer: str = "") -> tuple[InputError, ...]:
    """Return all the errors of pydantic's report."""
    return tuple(
        InputError(pointer + "".join(_step(str(part)) for part in detail["loc"]), detail["msg"])
        for detail in error.errors()
    )


def _step(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
